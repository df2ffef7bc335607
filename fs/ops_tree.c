#include <errno.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/errno.h"
#include "fs/ops.h"
#include "net/error.h"

// The longest that a listing already here is held back for a newer one, and that a name may be
// looked for in a folder never listed: its directory is locked meanwhile.
#define REFRESH_MS 5000
// The store itself ends a listing that makes no progress; this only bounds one that does, or a
// fault.
#define LISTING_TIMEOUTS 10
// What one READDIR may fill: more than the kernel asks for.
#define DIRECTORY_MAX (1 << 20)

static unsigned refresh_ms(const Filesystem *filesystem) {
  return MIN(REFRESH_MS, filesystem->timeout_ms);
}

static void resume_lookup(Request *request, const PendingResult *result);

static bool answer_lookup(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_lookup(filesystem->tree, request->ino, request->name, &thing);
  if (answer == STORE_LATER) return false;
  if (answer == STORE_ABSENT && !request->waited && !outbox_owns(request->ino) &&
      store_listing(filesystem->store, request->ino) == STORE_UNLISTED) {
    pending_sync(filesystem->pendings, request, request->ino, refresh_ms(filesystem),
                 resume_lookup);
    return true;
  }
  if (ops_found(request->req, answer)) {
    struct fuse_entry_param entry;
    attr_fill_entry(&filesystem->identity, &thing, &entry);
    if (request->ino == OUTBOX_INO)
      outbox_dir_seen(filesystem->outbox_dir, request->req, request->name);
    fuse_reply_entry(request->req, &entry);
    ops_told(filesystem, &thing);
  }
  return true;
}

// Not knowing is never told as "not there".
static void resume_lookup(Request *request, const PendingResult *result) {
  Filesystem *filesystem = request->filesystem;
  if (result->error != NULL) {
    bool denied = errno_from_error(result->error) == EACCES;
    fuse_reply_err(request->req, denied ? EACCES : EHOSTUNREACH);
    return;
  }
  request->waited = true;
  pending_answer(filesystem->pendings, request, answer_lookup, filesystem->timeout_ms);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (strlen(name) > OPS_NAME_MAX) {
    fuse_reply_err(req, ENAMETOOLONG);
    return;
  }
  if (ops_announced_lookup(req, parent, name)) return;
  Request request = {.filesystem = filesystem, .req = req, .ino = parent, .name = name};
  // The notifier on its way to a folder waits for nobody.
  request.waited = announcer_is(filesystem->announcer, fuse_req_ctx(req)->pid);
  pending_answer(filesystem->pendings, &request, answer_lookup, filesystem->timeout_ms);
}

// There is no table of inodes to forget from.
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) {
  fuse_reply_none(req);
}

static bool answer_getattr(Request *request) {
  Thing thing;
  StoreAnswer answer = tree_get(request->filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (ops_found(request->req, answer)) {
    struct stat attr;
    attr_fill(&request->filesystem->identity, &thing, &attr);
    fuse_reply_attr(request->req, &attr, attr_timeout(&thing));
    ops_told(request->filesystem, &thing);
  }
  return true;
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Request request = {.filesystem = filesystem, .req = req, .ino = ino};
  pending_answer(filesystem->pendings, &request, answer_getattr, filesystem->timeout_ms);
}

// The kernel may keep a folder's entries for as long as its mtime stays the same; so it must look
// at the mtime again where the listing changed.
static void reply_opendir(Request *request) {
  Filesystem *filesystem = request->filesystem;
  struct fuse_file_info file = request->file;
  if (!outbox_owns(request->ino)) {
    if (ino_set_remove(filesystem->moved, request->ino)) ops_forget_attr(filesystem, request->ino);
    file.cache_readdir = 1;
    file.keep_cache = 1;
  }
  fuse_reply_open(request->req, &file);
}

// The last good listing does, but not of a folder that is no more.
static void resume_refreshed(Request *request, const PendingResult *result) {
  if (g_error_matches(result->error, NET_ERROR, NET_ERROR_GONE))
    fuse_reply_err(request->req, ENOENT);
  else
    reply_opendir(request);
}

static void resume_listed(Request *request, const PendingResult *result) {
  if (result->error != NULL)
    fuse_reply_err(request->req, errno_from_error(result->error));
  else
    reply_opendir(request);
}

static void open_folder(Request *request) {
  Filesystem *filesystem = request->filesystem;
  switch (store_listing(filesystem->store, request->ino)) {
    case STORE_FRESH:
      reply_opendir(request);
      break;
    case STORE_STALE:
      pending_sync(filesystem->pendings, request, request->ino, refresh_ms(filesystem),
                   resume_refreshed);
      break;
    case STORE_UNLISTED:
      pending_sync(filesystem->pendings, request, request->ino,
                   filesystem->timeout_ms * LISTING_TIMEOUTS, resume_listed);
      break;
  }
}

static bool answer_opendir(Request *request) {
  Thing thing;
  StoreAnswer answer = tree_get(request->filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (answer == STORE_FOUND && thing.gone) answer = STORE_ABSENT;
  if (!ops_found(request->req, answer)) return true;
  if (outbox_owns(request->ino))
    reply_opendir(request);
  else
    open_folder(request);
  return true;
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Request request = {.filesystem = filesystem, .req = req, .ino = ino, .file = *file};
  pending_answer(filesystem->pendings, &request, answer_opendir, filesystem->timeout_ms);
}

static void told(const Thing *thing, gpointer data) {
  ops_told(data, thing);
}

static bool answer_readdir(Request *request) {
  Filesystem *filesystem = request->filesystem;
  g_autofree char *bytes = g_malloc(request->size);
  Directory directory = {
      .req = request->req,
      .tree = filesystem->tree,
      .identity = &filesystem->identity,
      .bytes = bytes,
      .size = request->size,
      .plus = request->plus,
      .told = told,
      .data = filesystem,
  };
  StoreAnswer answer = directory_read(&directory, request->ino, request->offset);
  if (answer == STORE_LATER) return false;
  // One that went since it was opened must not look empty, and the C library takes ENOENT for the
  // end of a directory.
  if (answer == STORE_ABSENT)
    fuse_reply_err(request->req, ESTALE);
  else if (ops_found(request->req, answer))
    fuse_reply_buf(request->req, bytes, directory.used);
  return true;
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Request request = {
      .filesystem = filesystem,
      .req = req,
      .ino = ino,
      .size = MIN(size, DIRECTORY_MAX),
      .offset = offset,
      .plus = plus,
  };
  pending_answer(filesystem->pendings, &request, answer_readdir, filesystem->timeout_ms);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *file) {
  read_directory(req, ino, size, offset, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *file) {
  read_directory(req, ino, size, offset, true);
}
