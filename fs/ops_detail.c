#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/ops.h"
#include "fs/xattr.h"

#define BLOCK_SIZE 4096

// Of the directory, or of the first one above it that exists: a cache may be deleted at any time.
static bool find_disk(const char *directory, struct statvfs *disk) {
  g_autofree char *path = g_strdup(directory);
  while (statvfs(path, disk) != 0) {
    g_autofree char *above = g_path_get_dirname(path);
    if (errno != ENOENT || strcmp(above, path) == 0) return false;
    g_free(path);
    path = g_steal_pointer(&above);
  }
  return true;
}

// Free space is what the account may still hold; without a quota, what the disk of the cache has.
void ops_statfs(fuse_req_t req, fuse_ino_t ino) {
  Filesystem *filesystem = fuse_req_userdata(req);
  uint64_t used, limit, messages;
  struct statvfs disk;
  store_usage(filesystem->store, &used, &limit, &messages);
  uint64_t free_bytes = limit > used ? limit - used : 0;
  if (limit == 0 && find_disk(filesystem->cache_dir, &disk))
    free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
  uint64_t used_blocks = used / BLOCK_SIZE + (used % BLOCK_SIZE != 0);
  struct statvfs result = {
      .f_bsize = BLOCK_SIZE,
      .f_frsize = BLOCK_SIZE,
      .f_blocks = MAX(used_blocks + free_bytes / BLOCK_SIZE, 1),
      .f_bfree = free_bytes / BLOCK_SIZE,
      .f_bavail = free_bytes / BLOCK_SIZE,
      .f_files = messages,
      .f_namemax = OPS_NAME_MAX,
  };
  fuse_reply_statfs(req, &result);
}

// Size 0 asks how long it is.
static void reply_xattr(fuse_req_t req, size_t size, const char *bytes, size_t length) {
  if (size == 0)
    fuse_reply_xattr(req, length);
  else if (size < length)
    fuse_reply_err(req, ERANGE);
  else
    fuse_reply_buf(req, bytes, length);
}

static bool answer_getxattr(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_get(filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  g_autofree char *text = NULL;
  answer = xattr_get(filesystem->store, filesystem->outbox, &thing, request->name, &text);
  if (answer == STORE_LATER) return false;
  if (answer == STORE_ABSENT)
    fuse_reply_err(request->req, ENODATA);
  else if (ops_found(request->req, answer))
    reply_xattr(request->req, request->size, text, strlen(text));
  return true;
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size) {
  Filesystem *filesystem = fuse_req_userdata(req);
  if (!xattr_is_supported(name)) {
    fuse_reply_err(req, EOPNOTSUPP);
    return;
  }
  Request request = {.filesystem = filesystem, .req = req, .ino = ino, .name = name, .size = size};
  pending_answer(filesystem->pendings, &request, answer_getxattr, filesystem->timeout_ms);
}

static bool answer_listxattr(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Thing thing;
  StoreAnswer answer = tree_get(filesystem->tree, request->ino, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  g_autoptr(GString) names = NULL;
  answer = xattr_list(filesystem->store, filesystem->outbox, &thing, &names);
  if (answer == STORE_LATER) return false;
  if (ops_found(request->req, answer))
    reply_xattr(request->req, request->size, names->str, names->len);
  return true;
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Request request = {.filesystem = filesystem, .req = req, .ino = ino, .size = size};
  pending_answer(filesystem->pendings, &request, answer_listxattr, filesystem->timeout_ms);
}
