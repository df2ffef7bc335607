#include <errno.h>
#include <fcntl.h>

#include "fs/errno.h"
#include "fs/ops.h"

// The store itself ends a wait without progress; this only bounds a fault.
#define FETCH_TIMEOUTS 10

static bool wants_to_write(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static OpenFile *file_of(const struct fuse_file_info *file) {
  return (OpenFile *)(uintptr_t)file->fh;
}

static StoreBody *body_of(const struct fuse_file_info *file) {
  return file_of(file)->body;
}

static void push(Filesystem *filesystem, uint64_t ino, StoreBody *body) {
  uint64_t size = store_body_size(body);
  if (store_body_is_whole(body))
    pushed_open(filesystem->pushed, filesystem->session, ino, store_body_fd(body), size);
  else
    pushed_open_partly(filesystem->pushed, ino);
}

// Takes the body. The exact size is known now: where the kernel was told another, it has to ask
// again before the file is open, else it would cut the file short. It may hold bytes of an earlier
// edition: it drops them, or if somebody still reads those, this reader passes them by.
static void reply_open(Request *request, StoreBody *body) {
  Filesystem *filesystem = request->filesystem;
  struct fuse_file_info file = request->file;
  uint64_t edition = store_edition(filesystem->store, request->ino);
  OpenFile *open = opened_open(filesystem->opened, request->ino, edition, body);
  if (open == NULL) {
    fuse_reply_err(request->req, EIO);
    return;
  }
  file.fh = (uintptr_t)open;
  file.keep_cache = edition == 0;
  file.direct_io = open->is_beside;
  file.noflush = 1;
  if (estimates_settle(filesystem->estimates, request->ino, store_body_size(body)) || edition > 0)
    ops_forget_attr(filesystem, request->ino);
  push(filesystem, request->ino, body);
  if (fuse_reply_open(request->req, &file) != 0) opened_close(filesystem->opened, open);
}

static void resume_fetched(Request *request, const PendingResult *result) {
  if (result->body != NULL)
    reply_open(request, result->body);
  else
    fuse_reply_err(request->req, errno_from_error(result->error));
}

static void open_message(Request *request) {
  Filesystem *filesystem = request->filesystem;
  StoreBody *body = store_body(filesystem->store, request->ino);
  if (body != NULL)
    reply_open(request, body);
  else
    pending_fetch(filesystem->pendings, request, filesystem->timeout_ms * FETCH_TIMEOUTS,
                  resume_fetched);
}

// The store is not asked first whether the message is there: its body is, or fetching it says so.
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Request request = {.filesystem = filesystem, .req = req, .ino = ino, .file = *file};
  if (outbox_owns(ino))
    outbox_dir_open(filesystem->outbox_dir, req, ino, file);
  else if (wants_to_write(file->flags))
    fuse_reply_err(req, filesystem->read_only ? EROFS : EPERM);
  else
    open_message(&request);
}

static bool is_ready(const Request *request) {
  return store_body_is_ready(body_of(&request->file), (uint64_t)request->offset, request->size);
}

static void read_ready(const Request *request) {
  reader_read(request->filesystem->reader, request->req, store_body_fd(body_of(&request->file)),
              request->size, request->offset);
}

// Bytes that are said to be there and are not would be read as zeros.
static void resume_wanted(Request *request, const PendingResult *result) {
  if (result->error != NULL)
    fuse_reply_err(request->req, errno_from_error(result->error));
  else if (!is_ready(request))
    fuse_reply_err(request->req, EIO);
  else
    read_ready(request);
}

// The kernel sends RELEASE only after the answer, so the body outlives the wait.
static void read_message(Request *request) {
  Filesystem *filesystem = request->filesystem;
  if (is_ready(request))
    read_ready(request);
  else
    pending_want(filesystem->pendings, request, body_of(&request->file),
                 filesystem->timeout_ms * FETCH_TIMEOUTS, resume_wanted);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino)) {
    outbox_dir_read(filesystem->reader, req, size, offset, file);
    return;
  }
  uint64_t end = store_body_size(body_of(file));
  uint64_t left = (uint64_t)offset < end ? end - (uint64_t)offset : 0;
  Request request = {
      .filesystem = filesystem, .req = req, .ino = ino, .offset = offset, .file = *file};
  request.size = MIN(size, left);
  if (request.size == 0)
    fuse_reply_buf(req, NULL, 0);
  else
    read_message(&request);
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
  opened_close(filesystem->opened, file_of(file));
  fuse_reply_err(req, 0);
}
