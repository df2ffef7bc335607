#include "fs/outbox_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/errno.h"
#include "fs/xattr.h"

struct OutboxDir {
  Outbox *outbox;
  Tree *tree;
  const Identity *identity;
  GHashTable *owed;  // set of Owed, each freed by on_done
};

// An answer that waits for the disk.
typedef struct {
  OutboxDir *dir;  // NULL: answered, the mount is gone
  fuse_req_t req;  // NULL: nobody asked
  // For a link: what it is answered with.
  uint64_t parent;
  char *name;
} Owed;

OutboxDir *outbox_dir_new(Outbox *outbox, Tree *tree, const Identity *identity) {
  OutboxDir *dir = g_new0(OutboxDir, 1);
  dir->outbox = outbox;
  dir->tree = tree;
  dir->identity = identity;
  dir->owed = g_hash_table_new(NULL, NULL);
  return dir;
}

bool outbox_dir_is_busy(const OutboxDir *dir) {
  return g_hash_table_size(dir->owed) > 0;
}

void outbox_dir_free(OutboxDir *dir) {
  if (dir == NULL) return;
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, dir->owed);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    Owed *owed = key;
    owed->dir = NULL;
    if (owed->req != NULL) fuse_reply_err(owed->req, EIO);
  }
  g_hash_table_unref(dir->owed);
  g_free(dir);
}

static Owed *owe(OutboxDir *dir, fuse_req_t req) {
  Owed *owed = g_new0(Owed, 1);
  owed->dir = dir;
  owed->req = req;
  g_hash_table_add(dir->owed, owed);
  return owed;
}

static void on_done(const GError *error, gpointer data) {
  Owed *owed = data;
  if (error != NULL) g_info("outbox: %s", error->message);
  if (owed->dir != NULL) {
    g_hash_table_remove(owed->dir->owed, owed);
    if (owed->req != NULL) fuse_reply_err(owed->req, error != NULL ? errno_from_error(error) : 0);
  }
  g_free(owed->name);
  g_free(owed);
}

static void refuse(fuse_req_t req, const GError *error) {
  g_info("outbox: %s", error->message);
  fuse_reply_err(req, errno_from_error(error));
}

static pid_t caller(fuse_req_t req) {
  return fuse_req_ctx(req)->pid;
}

static OutboxHandle *handle_of(const struct fuse_file_info *file) {
  return (OutboxHandle *)(uintptr_t)file->fh;
}

static struct fuse_file_info with_handle(const struct fuse_file_info *file, OutboxHandle *handle) {
  struct fuse_file_info result = *file;
  result.fh = (uintptr_t)handle;
  result.noflush = (file->flags & O_ACCMODE) == O_RDONLY;
  return result;
}

// A reply that did not arrive (result not 0) opened nothing: no RELEASE will come.
static void undo_unless(OutboxDir *dir, int result, OutboxHandle *handle) {
  if (result != 0) outbox_release(handle, on_done, owe(dir, NULL));
}

// The entry of a letter just made; false: replied that it is gone.
static bool fill_entry(OutboxDir *dir, fuse_req_t req, uint64_t ino,
                       struct fuse_entry_param *entry) {
  Thing thing;
  if (tree_get(dir->tree, ino, &thing) != STORE_FOUND) {
    fuse_reply_err(req, ENOENT);
    return false;
  }
  attr_fill_entry(dir->identity, &thing, entry);
  return true;
}

void outbox_dir_seen(OutboxDir *dir, fuse_req_t req, const char *name) {
  outbox_seen(dir->outbox, name, caller(req));
}

// Another process was faster: without O_EXCL its letter is what gets opened.
static OutboxHandle *create_or_open(OutboxDir *dir, fuse_req_t req, uint64_t parent,
                                    const char *name, mode_t mode, int flags, OutboxFile *file,
                                    GError **error) {
  g_autoptr(GError) refused = NULL;
  OutboxHandle *handle =
      outbox_create(dir->outbox, parent, name, mode, caller(req), file, &refused);
  if (handle != NULL) return handle;
  if (errno_from_error(refused) == EEXIST) outbox_dir_seen(dir, req, name);
  if (errno_from_error(refused) == EEXIST && !(flags & O_EXCL) &&
      outbox_lookup(dir->outbox, parent, name, file))
    return outbox_open_file(dir->outbox, file->ino, flags, caller(req), error);
  g_propagate_error(error, g_steal_pointer(&refused));
  return NULL;
}

void outbox_dir_create(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                       mode_t mode, const struct fuse_file_info *file) {
  g_autoptr(GError) error = NULL;
  OutboxFile made;
  OutboxHandle *handle =
      create_or_open(dir, req, parent, name, mode & 0777, file->flags, &made, &error);
  if (handle == NULL) {
    refuse(req, error);
    return;
  }
  struct fuse_entry_param entry;
  struct fuse_file_info reply = with_handle(file, handle);
  bool filled = fill_entry(dir, req, made.ino, &entry);
  undo_unless(dir, filled ? fuse_reply_create(req, &entry, &reply) : ENOENT, handle);
}

void outbox_dir_mknod(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                      mode_t mode) {
  g_autoptr(GError) error = NULL;
  OutboxFile made;
  OutboxHandle *handle =
      outbox_create(dir->outbox, parent, name, mode & 0777, caller(req), &made, &error);
  if (handle == NULL) {
    refuse(req, error);
    return;
  }
  struct fuse_entry_param entry;
  if (fill_entry(dir, req, made.ino, &entry)) fuse_reply_entry(req, &entry);
  outbox_release(handle, on_done, owe(dir, NULL));
}

void outbox_dir_open(OutboxDir *dir, fuse_req_t req, uint64_t ino,
                     const struct fuse_file_info *file) {
  g_autoptr(GError) error = NULL;
  OutboxHandle *handle = outbox_open_file(dir->outbox, ino, file->flags, caller(req), &error);
  if (handle == NULL) {
    refuse(req, error);
    return;
  }
  struct fuse_file_info reply = with_handle(file, handle);
  undo_unless(dir, fuse_reply_open(req, &reply), handle);
}

static void read_note(fuse_req_t req, OutboxHandle *handle, size_t size, off_t offset) {
  g_autoptr(GError) error = NULL;
  g_autofree char *bytes = g_malloc(size);
  ssize_t got = outbox_read(handle, bytes, size, offset, &error);
  if (got < 0)
    refuse(req, error);
  else
    fuse_reply_buf(req, bytes, (size_t)got);
}

void outbox_dir_read(Reader *reader, fuse_req_t req, size_t size, off_t offset,
                     const struct fuse_file_info *file) {
  OutboxHandle *handle = handle_of(file);
  int fd = outbox_handle_fd(handle);
  if (fd < 0)
    read_note(req, handle, size, offset);
  else
    reader_read_to_end(reader, req, fd, size, offset);
}

void outbox_dir_write(OutboxDir *dir, fuse_req_t req, const char *bytes, size_t size, off_t offset,
                      const struct fuse_file_info *file) {
  g_autoptr(GError) error = NULL;
  // The kernel's own idea of the end may be that of a letter which had this inode before.
  off_t at = (file->flags & O_APPEND) ? OUTBOX_APPEND : offset;
  outbox_note_writer(handle_of(file), caller(req));
  ssize_t done = outbox_write(handle_of(file), bytes, size, at, &error);
  if (done < 0)
    refuse(req, error);
  else
    fuse_reply_write(req, (size_t)done);
}

void outbox_dir_flush(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file) {
  outbox_flush(handle_of(file), caller(req), on_done, owe(dir, req));
}

void outbox_dir_fsync(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file) {
  outbox_fsync(handle_of(file), on_done, owe(dir, req));
}

void outbox_dir_release(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file) {
  outbox_release(handle_of(file), on_done, owe(dir, req));
}

void outbox_dir_release_rest(OutboxDir *dir) {
  OutboxHandle *handle;
  while ((handle = outbox_find_closed(dir->outbox)) != NULL)
    outbox_release(handle, on_done, owe(dir, NULL));
}

void outbox_dir_rename(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                       uint64_t new_parent, const char *new_name, unsigned flags) {
  outbox_rename(dir->outbox, parent, name, new_parent, new_name, flags, on_done, owe(dir, req));
}

static void on_linked(const GError *error, gpointer data) {
  Owed *owed = data;
  Thing thing;
  fuse_req_t req = owed->req;
  if (error == NULL && owed->dir != NULL) {
    owed->req = NULL;
    if (tree_lookup(owed->dir->tree, owed->parent, owed->name, &thing) == STORE_FOUND) {
      struct fuse_entry_param entry;
      attr_fill_entry(owed->dir->identity, &thing, &entry);
      fuse_reply_entry(req, &entry);
    } else {
      fuse_reply_err(req, ENOENT);
    }
  }
  on_done(error, owed);
}

void outbox_dir_link(OutboxDir *dir, fuse_req_t req, uint64_t ino, uint64_t parent,
                     const char *name) {
  Owed *owed = owe(dir, req);
  owed->parent = parent;
  owed->name = g_strdup(name);
  outbox_link(dir->outbox, ino, parent, name, on_linked, owed);
}

void outbox_dir_unlink(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name) {
  outbox_unlink(dir->outbox, parent, name, caller(req), on_done, owe(dir, req));
}

// 0, or the errno that stands against it.
static int check_xattr(OutboxDir *dir, uint64_t ino, const char *name, const char *value,
                       size_t size, int flags) {
  bool is_directory = ino == OUTBOX_INO || ino == OUTBOX_FAILED_INO;
  if (strcmp(name, XATTR_ENVELOPE_FROM) != 0 || is_directory) return EOPNOTSUPP;
  if (value != NULL && memchr(value, '\0', size) != NULL) return EINVAL;
  g_autofree char *now = outbox_detail(dir->outbox, ino, OUTBOX_ENVELOPE_FROM);
  if (now != NULL && (flags & XATTR_CREATE)) return EEXIST;
  return now == NULL && (value == NULL || (flags & XATTR_REPLACE)) ? ENODATA : 0;
}

void outbox_dir_setxattr(OutboxDir *dir, fuse_req_t req, uint64_t ino, const char *name,
                         const char *value, size_t size, int flags) {
  int code = check_xattr(dir, ino, name, value, size, flags);
  if (code != 0) {
    fuse_reply_err(req, code);
    return;
  }
  g_autofree char *text = value != NULL ? g_strndup(value, size) : NULL;
  outbox_set_envelope_from(dir->outbox, ino, text, on_done, owe(dir, req));
}

static bool set_attr(OutboxDir *dir, const Thing *now, OutboxHandle *handle,
                     const struct stat *attr, int set, GError **error) {
  int times =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW;
  int64_t atime_ns = attr_time_ns(&attr->st_atim, now->atime_ns, set & FUSE_SET_ATTR_ATIME,
                                  set & FUSE_SET_ATTR_ATIME_NOW);
  int64_t mtime_ns = attr_time_ns(&attr->st_mtim, now->mtime_ns, set & FUSE_SET_ATTR_MTIME,
                                  set & FUSE_SET_ATTR_MTIME_NOW);
  if ((set & FUSE_SET_ATTR_SIZE) &&
      !outbox_truncate(dir->outbox, now->ino, handle, (uint64_t)attr->st_size, error))
    return false;
  if ((set & FUSE_SET_ATTR_MODE) &&
      !outbox_set_mode(dir->outbox, now->ino, attr->st_mode & 0777, error))
    return false;
  return !(set & times) || outbox_set_times(dir->outbox, now->ino, atime_ns, mtime_ns, error);
}

void outbox_dir_setattr(OutboxDir *dir, fuse_req_t req, uint64_t ino, const struct stat *attr,
                        int set, const struct fuse_file_info *file) {
  g_autoptr(GError) error = NULL;
  Thing thing;
  if (tree_get(dir->tree, ino, &thing) != STORE_FOUND) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  OutboxHandle *handle = file != NULL ? handle_of(file) : NULL;
  if (!thing_is_directory(&thing) && !set_attr(dir, &thing, handle, attr, set, &error)) {
    refuse(req, error);
    return;
  }
  struct fuse_entry_param entry;
  if (fill_entry(dir, req, ino, &entry)) fuse_reply_attr(req, &entry.attr, entry.attr_timeout);
}
