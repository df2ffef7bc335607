#include <errno.h>
#include <fcntl.h>

#include "fs/errno.h"
#include "fs/ops.h"
#include "net/error.h"

// The store itself ends a fetch that makes no progress; this only bounds one that does, or a fault.
#define FETCH_TIMEOUTS 10

static bool wants_to_write(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

// Takes fd. The exact size is known now: where the kernel was told another, it has to ask again
// before the file is open, else it would cut the file short.
static void reply_open(Request *request, int fd, bool resized) {
  struct fuse_file_info file = request->file;
  file.fh = (uint64_t)fd;
  file.keep_cache = 1;
  file.noflush = 1;
  if (resized) ops_forget_attr(request->filesystem, request->ino);
  if (fuse_reply_open(request->req, &file) != 0) store_close_body(request->filesystem->store, fd);
}

// After an error nothing has come that could change a size; only a wait that was given up may still
// bring it.
static void forget_failed(const Request *request, const GError *error) {
  if (!request->unsure && !g_error_matches(error, NET_ERROR, NET_ERROR_TIMEOUT))
    ino_set_remove(request->filesystem->unsure, request->ino);
}

static void resume_fetched(Request *request, const PendingResult *result) {
  if (result->fd < 0) {
    forget_failed(request, result->error);
    fuse_reply_err(request->req, errno_from_error(result->error));
    return;
  }
  ino_set_remove(request->filesystem->unsure, request->ino);
  reply_open(request, result->fd, result->resized || request->unsure);
}

static void open_message(Request *request) {
  Filesystem *filesystem = request->filesystem;
  request->unsure = ino_set_remove(filesystem->unsure, request->ino);
  int fd = store_body(filesystem->store, request->ino);
  if (fd >= 0) {
    reply_open(request, fd, request->unsure);
    return;
  }
  ino_set_add(filesystem->unsure, request->ino);
  pending_fetch(filesystem->pendings, request, filesystem->timeout_ms * FETCH_TIMEOUTS,
                resume_fetched);
}

static bool answer_open(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_get(filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  if (wants_to_write(request->file.flags))
    fuse_reply_err(request->req, filesystem->read_only ? EROFS : EPERM);
  else
    open_message(request);
  return true;
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino)) {
    outbox_dir_open(filesystem->outbox_dir, req, ino, file);
    return;
  }
  Request request = {.filesystem = filesystem, .req = req, .ino = ino, .file = *file};
  pending_answer(filesystem->pendings, &request, answer_open, filesystem->timeout_ms);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino))
    outbox_dir_read(filesystem->outbox_dir, req, size, offset, file);
  else
    reader_read(filesystem->reader, req, (int)file->fh, size, offset);
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino))
    outbox_dir_flush(filesystem->outbox_dir, req, file);
  else
    fuse_reply_err(req, 0);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino))
    outbox_dir_fsync(filesystem->outbox_dir, req, file);
  else
    fuse_reply_err(req, 0);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino)) {
    outbox_dir_release(filesystem->outbox_dir, req, file);
    return;
  }
  store_close_body(filesystem->store, (int)file->fh);
  fuse_reply_err(req, 0);
}
