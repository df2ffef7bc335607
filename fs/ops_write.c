#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/errno.h"
#include "fs/ops.h"
#include "fs/xattr.h"

// Changes go to the outbox; the server's folders and messages are for reading (EROFS), but for
// messages that can be removed. All names
// here come from the kernel, so only their length can be wrong.
static bool name_fits(fuse_req_t req, const char *name) {
  if (strlen(name) <= OPS_NAME_MAX) return true;
  fuse_reply_err(req, ENAMETOOLONG);
  return false;
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (!name_fits(req, name)) return;
  if (outbox_owns(parent))
    outbox_dir_create(filesystem->outbox_dir, req, parent, name, mode, file);
  else
    fuse_reply_err(req, EROFS);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (!name_fits(req, name)) return;
  if (ops_announced_make(req, parent, name)) return;
  if (!outbox_owns(parent))
    fuse_reply_err(req, EROFS);
  else if (!S_ISREG(mode))
    fuse_reply_err(req, EPERM);
  else
    outbox_dir_mknod(filesystem->outbox_dir, req, parent, name, mode);
}

// The outbox holds letters and nothing else.
static void refuse_other_kinds(fuse_req_t req, fuse_ino_t parent) {
  fuse_reply_err(req, outbox_owns(parent) ? EPERM : EROFS);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
  if (!ops_announced_make(req, parent, name)) refuse_other_kinds(req, parent);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name) {
  refuse_other_kinds(req, parent);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (!name_fits(req, name)) return;
  if (outbox_owns(ino) != outbox_owns(parent))
    fuse_reply_err(req, EXDEV);
  else if (outbox_owns(parent))
    outbox_dir_link(filesystem->outbox_dir, req, ino, parent, name);
  else
    fuse_reply_err(req, EROFS);
}

static void resume_removed(Request *request, const PendingResult *result) {
  if (result->error != NULL) g_info("%s: %s", request->name, result->error->message);
  fuse_reply_err(request->req, result->error != NULL ? errno_from_error(result->error) : 0);
}

// The answer waits for our disk only, not for the server.
static bool answer_unlink(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_lookup(filesystem->tree, request->ino, request->name, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  if (thing_is_directory(&thing))
    fuse_reply_err(request->req, EISDIR);
  else
    pending_remove(filesystem->pendings, request, thing.ino, filesystem->timeout_ms,
                   resume_removed);
  return true;
}

static void unlink_message(Filesystem *filesystem, fuse_req_t req, uint64_t parent,
                           const char *name) {
  StoreRemoval removal = store_removal(filesystem->store);
  Request request = {.filesystem = filesystem, .req = req, .ino = parent, .name = name};
  if (filesystem->read_only || removal == STORE_REMOVES_NOTHING)
    fuse_reply_err(req, EROFS);
  else if (removal == STORE_REFUSES_REMOVAL)
    fuse_reply_err(req, EPERM);
  else
    pending_answer(filesystem->pendings, &request, answer_unlink, filesystem->timeout_ms);
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (ops_announced_remove(req, parent, name)) return;
  if (outbox_owns(parent))
    outbox_dir_unlink(filesystem->outbox_dir, req, parent, name);
  else
    unlink_message(filesystem, req, parent, name);
}

// The only directory in the outbox is failed/, which stays.
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name) {
  if (!ops_announced_remove(req, parent, name))
    fuse_reply_err(req, outbox_owns(parent) ? EBUSY : EROFS);
}

static bool is_directory_of_outbox(Filesystem *filesystem, uint64_t parent, const char *name) {
  Thing thing;
  return tree_lookup(filesystem->tree, parent, name, &thing) == STORE_FOUND &&
         thing_is_directory(&thing);
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (!name_fits(req, new_name)) return;
  if (outbox_owns(parent) != outbox_owns(new_parent))
    fuse_reply_err(req, EXDEV);
  else if (!outbox_owns(parent))
    fuse_reply_err(req, EROFS);
  else if (is_directory_of_outbox(filesystem, parent, name) ||
           is_directory_of_outbox(filesystem, new_parent, new_name))
    fuse_reply_err(req, EBUSY);
  else
    outbox_dir_rename(filesystem->outbox_dir, req, parent, name, new_parent, new_name, flags);
}

static bool answer_setattr(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_get(filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  struct stat now;
  attr_fill(&filesystem->identity, &thing, &now);
  if (ops_announced_touch(request->req, request->ino) ||
      attr_is_unchanged(&now, &request->attr, request->attr_set)) {
    fuse_reply_attr(request->req, &now, attr_timeout(&thing));
    ops_told(filesystem, &thing);
  } else {
    fuse_reply_err(request->req, filesystem->read_only ? EROFS : EPERM);
  }
  return true;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
                 struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino)) {
    outbox_dir_setattr(filesystem->outbox_dir, req, ino, attr, set, file);
    return;
  }
  Request request = {
      .filesystem = filesystem, .req = req, .ino = ino, .attr = *attr, .attr_set = set};
  pending_answer(filesystem->pendings, &request, answer_setattr, filesystem->timeout_ms);
}

// Only files of the outbox are ever open for writing.
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
               struct fuse_file_info *file) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino))
    outbox_dir_write(filesystem->outbox_dir, req, bytes, size, offset, file);
  else
    fuse_reply_err(req, EBADF);
}

// value NULL: the attribute is to go.
static void set_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                      size_t size, int flags) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (outbox_owns(ino))
    outbox_dir_setxattr(filesystem->outbox_dir, req, ino, name, value, size, flags);
  else
    fuse_reply_err(req, xattr_is_supported(name) ? EROFS : EOPNOTSUPP);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags) {
  set_xattr(req, ino, name, value, size, flags);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name) {
  set_xattr(req, ino, name, NULL, 0, 0);
}
