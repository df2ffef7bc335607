#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/fs/fake.h"

G_DEFINE_QUARK(mailfs_outbox_error, outbox_error)

typedef struct {
  uint64_t ino;
  char *name;
  GByteArray *bytes;
  mode_t mode;
  int64_t atime_ns, mtime_ns;
  char *from;
  int fd;  // -1: the bytes are here
} FakeLetter;

struct Outbox {
  GPtrArray *letters;  // by rising ino
  uint64_t next_ino;
  int64_t mtime_ns;
  atomic_int seen_by;
};

struct OutboxHandle {
  Outbox *outbox;
  FakeLetter *letter;
};

static void fake_letter_free(gpointer data) {
  FakeLetter *letter = data;
  g_byte_array_unref(letter->bytes);
  g_free(letter->name);
  g_free(letter->from);
  g_free(letter);
}

Outbox *fake_outbox_new(void) {
  Outbox *outbox = g_new0(Outbox, 1);
  outbox->letters = g_ptr_array_new_with_free_func(fake_letter_free);
  outbox->next_ino = OUTBOX_FAILED_INO + 1;
  outbox->mtime_ns = 1;
  return outbox;
}

void fake_outbox_free(Outbox *outbox) {
  g_ptr_array_unref(outbox->letters);
  g_free(outbox);
}

static FakeLetter *add_letter(Outbox *outbox, const char *name, mode_t mode) {
  FakeLetter *letter = g_new0(FakeLetter, 1);
  letter->ino = outbox->next_ino++;
  letter->name = g_strdup(name);
  letter->bytes = g_byte_array_new();
  letter->mode = mode;
  letter->fd = -1;
  g_ptr_array_add(outbox->letters, letter);
  return letter;
}

void fake_lend_letter(Outbox *outbox, const char *name, int fd, unsigned size) {
  FakeLetter *letter = add_letter(outbox, name, 0600);
  g_byte_array_set_size(letter->bytes, size);
  letter->fd = fd;
}

static void refuse(GError **error, int code) {
  g_set_error(error, OUTBOX_ERROR, code, "refused: %s", g_strerror(code));
}

static FakeLetter *find(Outbox *outbox, uint64_t ino) {
  for (unsigned i = 0; i < outbox->letters->len; i++) {
    FakeLetter *letter = outbox->letters->pdata[i];
    if (letter->ino == ino) return letter;
  }
  return NULL;
}

static FakeLetter *find_name(Outbox *outbox, const char *name) {
  for (unsigned i = 0; i < outbox->letters->len; i++) {
    FakeLetter *letter = outbox->letters->pdata[i];
    if (strcmp(letter->name, name) == 0) return letter;
  }
  return NULL;
}

static void fill(const FakeLetter *letter, OutboxFile *file) {
  *file = (OutboxFile){
      .ino = letter->ino,
      .parent = OUTBOX_INO,
      .name = letter->name,
      .size = letter->bytes->len,
      .mode = letter->mode,
      .mtime_ns = letter->mtime_ns,
      .ctime_ns = letter->mtime_ns,
      .atime_ns = letter->atime_ns,
      .links = 1,
  };
}

void outbox_set_listener(Outbox *outbox, const OutboxListener *listener, gpointer data) {}

bool outbox_owns(uint64_t ino) {
  return ino > INODE_OUTBOX_BASE;
}

int64_t outbox_directory_mtime_ns(const Outbox *outbox, uint64_t directory) {
  return outbox->mtime_ns;
}

bool outbox_get(Outbox *outbox, uint64_t ino, OutboxFile *file) {
  FakeLetter *letter = find(outbox, ino);
  if (letter != NULL) fill(letter, file);
  return letter != NULL;
}

bool outbox_lookup(Outbox *outbox, uint64_t parent, const char *name, OutboxFile *file) {
  FakeLetter *letter = parent == OUTBOX_INO ? find_name(outbox, name) : NULL;
  if (letter != NULL) fill(letter, file);
  return letter != NULL;
}

void outbox_seen(Outbox *outbox, const char *name, pid_t pid) {
  atomic_store(&outbox->seen_by, pid);
}

pid_t fake_seen_by(Outbox *outbox) {
  return atomic_exchange(&outbox->seen_by, 0);
}

void outbox_children(Outbox *outbox, uint64_t parent, uint64_t after, OutboxEach each,
                     gpointer data) {
  for (unsigned i = 0; parent == OUTBOX_INO && i < outbox->letters->len; i++) {
    FakeLetter *letter = outbox->letters->pdata[i];
    OutboxFile file;
    fill(letter, &file);
    if (letter->ino > after && !each(&file, data)) return;
  }
}

char *outbox_detail(Outbox *outbox, uint64_t ino, OutboxDetail detail) {
  FakeLetter *letter = find(outbox, ino);
  if (detail == OUTBOX_ENVELOPE_FROM) return g_strdup(letter != NULL ? letter->from : NULL);
  return detail == OUTBOX_STATE ? g_strdup("held") : NULL;
}

static OutboxHandle *open_fake_letter(Outbox *outbox, FakeLetter *letter) {
  OutboxHandle *handle = g_new0(OutboxHandle, 1);
  handle->outbox = outbox;
  handle->letter = letter;
  return handle;
}

OutboxHandle *outbox_create(Outbox *outbox, uint64_t parent, const char *name, mode_t mode,
                            pid_t pid, OutboxFile *file, GError **error) {
  if (parent != OUTBOX_INO || g_str_has_suffix(name, ".error")) {
    refuse(error, parent != OUTBOX_INO ? EPERM : EINVAL);
    return NULL;
  }
  FakeLetter *letter = add_letter(outbox, name, mode);
  fill(letter, file);
  return open_fake_letter(outbox, letter);
}

OutboxHandle *outbox_open_file(Outbox *outbox, uint64_t ino, int open_flags, pid_t pid,
                               GError **error) {
  FakeLetter *letter = find(outbox, ino);
  if (letter == NULL) {
    refuse(error, ENOENT);
    return NULL;
  }
  if (open_flags & O_TRUNC) g_byte_array_set_size(letter->bytes, 0);
  return open_fake_letter(outbox, letter);
}

int outbox_handle_fd(const OutboxHandle *handle) {
  return handle->letter->fd;
}

ssize_t outbox_read(OutboxHandle *handle, void *buffer, size_t size, off_t offset, GError **error) {
  const GByteArray *bytes = handle->letter->bytes;
  if (handle->letter->fd >= 0) return pread(handle->letter->fd, buffer, size, offset);
  if (offset >= (off_t)bytes->len) return 0;
  size_t count = MIN(size, bytes->len - (size_t)offset);
  memcpy(buffer, bytes->data + offset, count);
  return (ssize_t)count;
}

void outbox_note_writer(OutboxHandle *handle, pid_t pid) {}

ssize_t outbox_write(OutboxHandle *handle, const void *bytes, size_t size, off_t offset,
                     GError **error) {
  GByteArray *all = handle->letter->bytes;
  if (offset + size > 1000) {
    refuse(error, ENOSPC);
    return -1;
  }
  if (offset + size > all->len) g_byte_array_set_size(all, (unsigned)(offset + size));
  memcpy(all->data + offset, bytes, size);
  return (ssize_t)size;
}

bool outbox_truncate(Outbox *outbox, uint64_t ino, OutboxHandle *handle, uint64_t size,
                     GError **error) {
  g_byte_array_set_size(find(outbox, ino)->bytes, (unsigned)size);
  return true;
}

bool outbox_set_mode(Outbox *outbox, uint64_t ino, mode_t mode, GError **error) {
  find(outbox, ino)->mode = mode;
  return true;
}

bool outbox_set_times(Outbox *outbox, uint64_t ino, int64_t atime_ns, int64_t mtime_ns,
                      GError **error) {
  find(outbox, ino)->atime_ns = atime_ns;
  find(outbox, ino)->mtime_ns = mtime_ns;
  return true;
}

// A letter whose bytes start with "bad" is refused.
void outbox_flush(OutboxHandle *handle, pid_t pid, OutboxDone done, gpointer data) {
  const GByteArray *bytes = handle->letter->bytes;
  g_autoptr(GError) error = NULL;
  if (bytes->len >= 3 && memcmp(bytes->data, "bad", 3) == 0) refuse(&error, EINVAL);
  done(error, data);
}

void outbox_set_envelope_from(Outbox *outbox, uint64_t ino, const char *from, OutboxDone done,
                              gpointer data) {
  FakeLetter *letter = find(outbox, ino);
  g_autoptr(GError) error = NULL;
  if (g_strcmp0(from, "bad") == 0) {
    refuse(&error, EINVAL);
  } else {
    g_free(letter->from);
    letter->from = g_strdup(from);
  }
  done(error, data);
}

void outbox_fsync(OutboxHandle *handle, OutboxDone done, gpointer data) {
  done(NULL, data);
}

void outbox_release(OutboxHandle *handle, OutboxDone done, gpointer data) {
  g_free(handle);
  done(NULL, data);
}

OutboxHandle *outbox_find_closed(Outbox *outbox) {
  return NULL;
}

void outbox_rename(Outbox *outbox, uint64_t parent, const char *name, uint64_t new_parent,
                   const char *new_name, unsigned flags, OutboxDone done, gpointer data) {
  FakeLetter *letter = find_name(outbox, name);
  g_autoptr(GError) error = NULL;
  if (letter == NULL || new_parent != OUTBOX_INO)
    refuse(&error, letter == NULL ? ENOENT : EPERM);
  else {
    g_free(letter->name);
    letter->name = g_strdup(new_name);
  }
  done(error, data);
}

void outbox_link(Outbox *outbox, uint64_t ino, uint64_t new_parent, const char *new_name,
                 OutboxDone done, gpointer data) {
  g_autoptr(GError) error = NULL;
  refuse(&error, EPERM);
  done(error, data);
}

void outbox_unlink(Outbox *outbox, uint64_t parent, const char *name, pid_t pid, OutboxDone done,
                   gpointer data) {
  FakeLetter *letter = find_name(outbox, name);
  g_autoptr(GError) error = NULL;
  if (letter == NULL)
    refuse(&error, ENOENT);
  else
    g_ptr_array_remove(outbox->letters, letter);
  done(error, data);
}
