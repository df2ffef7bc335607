#include "cache/body_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/body_private.h"
#include "net/error.h"

#define PART_BUFFER_BYTES (1 << 17)
// The pieces in which bytes come are smaller than what is worth a call.
#define BUFFER_BYTES ((size_t)64 << 10)

struct BodyWriter {
  BodyStore *store;
  uint64_t ino;  // 0: not known at first
  int fd;
  bool in_memory;
  bool in_parts;
  uint64_t reserved;  // of the store's memory
  uint64_t size;
  EVP_MD_CTX *digest;
  size_t buffered;  // written, but not in the file yet
  char *buffer;
  char path[BODY_PATH_BYTES];  // beside; empty once it is renamed or in memory
};

static bool is_full(int code) {
  return code == ENOSPC || code == EDQUOT || code == EFBIG || code == EROFS;
}

static bool open_in_memory(BodyWriter *writer, GError **error) {
  writer->fd = memfd_create("mailfs-body", MFD_CLOEXEC);
  writer->in_memory = true;
  writer->path[0] = '\0';
  return writer->fd >= 0 || body_fail(error, "no room for a body");
}

// What lies there already (a crash left it, or it is another message's too) is not touched.
static bool create_at(const char *path, gpointer data) {
  BodyWriter *writer = data;
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  int directory = writer->store->directory;
  g_strlcpy(writer->path, path, sizeof writer->path);
  writer->fd = openat(directory, path, flags, 0600);
  if (writer->fd < 0 && errno == EEXIST && unlinkat(directory, path, 0) == 0)
    writer->fd = openat(directory, path, flags, 0600);
  return writer->fd >= 0;
}

static bool create_file(BodyWriter *writer, uint64_t ino) {
  char path[BODY_PATH_BYTES];
  if (ino != 0) return body_place(writer->store, ino, create_at, writer);
  uint64_t number = atomic_fetch_add(&writer->store->unfinished_number, 1);
  g_snprintf(path, sizeof path, BODY_UNFINISHED "/%" PRIx64, number);
  return create_at(path, writer);
}

BodyWriter *body_writer_new(BodyStore *store, uint64_t ino, GError **error) {
  g_autoptr(BodyWriter) writer = g_new0(BodyWriter, 1);
  writer->store = store;
  writer->ino = ino;
  writer->fd = -1;
  writer->digest = EVP_MD_CTX_new();
  EVP_DigestInit_ex(writer->digest, EVP_sha256(), NULL);
  bool created = create_file(writer, ino) ||
                 (errno == ENOENT && body_renew_directory(store) && create_file(writer, ino));
  if (created) return g_steal_pointer(&writer);
  writer->path[0] = '\0';
  if (is_full(errno)) return open_in_memory(writer, error) ? g_steal_pointer(&writer) : NULL;
  body_fail(error, "make a body");
  return NULL;
}

static void release_memory(BodyWriter *writer) {
  pthread_mutex_lock(&writer->store->lock);
  writer->store->memory_used -= writer->reserved;
  pthread_mutex_unlock(&writer->store->lock);
  writer->reserved = 0;
}

static bool reserve_memory(BodyWriter *writer, uint64_t size, GError **error) {
  BodyStore *store = writer->store;
  pthread_mutex_lock(&store->lock);
  bool fits = store->memory_used + size <= BODY_MEMORY_MAX;
  if (fits) store->memory_used += size;
  pthread_mutex_unlock(&store->lock);
  if (fits) {
    writer->reserved += size;
  } else {
    g_set_error(error, NET_ERROR, NET_ERROR_LIMIT,
                "the cache's disk is full, and %u MiB of memory are in use instead",
                (unsigned)(BODY_MEMORY_MAX >> 20));
  }
  return fits;
}

// A finished body keeps what its writer reserved, until its last descriptor is closed.
static void keep_memory(BodyWriter *writer, int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return;
  MemoryBody body = {.device = status.st_dev, .file = status.st_ino, .size = writer->reserved};
  pthread_mutex_lock(&writer->store->lock);
  g_array_append_val(writer->store->memory_bodies, body);
  pthread_mutex_unlock(&writer->store->lock);
  writer->reserved = 0;
}

// Copies `size` bytes from the start of `from` to `to`.
static bool copy_bytes(int from, int to, uint64_t size) {
  char buffer[1 << 15];
  for (uint64_t done = 0; done < size;) {
    ssize_t n = pread(from, buffer, MIN(sizeof buffer, size - done), (off_t)done);
    if (n <= 0 || write(to, buffer, (size_t)n) != n) return false;
    done += (uint64_t)n;
  }
  return true;
}

// The disk is full: what was written so far moves into memory, which was reserved for it, and the
// file is given back.
static bool move_to_memory(BodyWriter *writer, GError **error) {
  int file = writer->fd;
  unlinkat(writer->store->directory, writer->path, 0);
  bool moved = open_in_memory(writer, error);
  if (moved && !copy_bytes(file, writer->fd, writer->size))
    moved = body_fail(error, "no room for a body");
  close(file);
  return moved;
}

// Writes all of it at its place; how much was written before it failed is told in `done`.
static bool write_all(int fd, const char *bytes, size_t size, uint64_t offset, size_t *done) {
  for (*done = 0; *done < size;) {
    ssize_t n = pwrite(fd, bytes + *done, size - *done, (off_t)(offset + *done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    *done += (size_t)n;
  }
  return true;
}

// Puts bytes behind what the file holds.
static bool append(BodyWriter *writer, const char *bytes, size_t size, GError **error) {
  size_t done;
  if (writer->in_memory && !reserve_memory(writer, size, error)) return false;
  bool written = write_all(writer->fd, bytes, size, writer->size, &done);
  writer->size += done;
  if (!written && !writer->in_memory && is_full(errno)) {
    size -= done;
    if (!reserve_memory(writer, writer->size + size, error) || !move_to_memory(writer, error))
      return false;
    written = write_all(writer->fd, bytes + done, size, writer->size, &done);
    writer->size += done;
  }
  return written || body_fail(error, "write a body");
}

static bool flush(BodyWriter *writer, GError **error) {
  size_t size = writer->buffered;
  writer->buffered = 0;
  return size == 0 || append(writer, writer->buffer, size, error);
}

bool body_writer_write(BodyWriter *writer, const void *bytes, size_t size, GError **error) {
  g_assert(!writer->in_parts);
  EVP_DigestUpdate(writer->digest, bytes, size);
  if (size > BUFFER_BYTES - writer->buffered && !flush(writer, error)) return false;
  if (size > BUFFER_BYTES) return append(writer, bytes, size, error);
  if (writer->buffer == NULL) writer->buffer = g_malloc(BUFFER_BYTES);
  memcpy(writer->buffer + writer->buffered, bytes, size);
  writer->buffered += size;
  return true;
}

static bool is_free(const BodyWriter *writer, uint64_t size) {
  struct statvfs disk;
  return fstatvfs(writer->fd, &disk) != 0 || size <= (uint64_t)disk.f_bavail * disk.f_frsize;
}

// Gives back what was taken of the room without need.
static bool set_length(BodyWriter *writer, uint64_t size, GError **error) {
  bool set =
      ftruncate(writer->fd, (off_t)writer->size) == 0 && ftruncate(writer->fd, (off_t)size) == 0;
  return set || body_fail(error, "make room for a body");
}

// False: there is no such room on disk, or error is set.
static bool take_room(BodyWriter *writer, uint64_t size, GError **error) {
  if (!is_free(writer, size - writer->size)) return false;
  if (size == 0 || fallocate(writer->fd, 0, 0, (off_t)size) == 0) return true;
  if (is_full(errno)) return false;
  bool unsupported = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR;
  return unsupported ? set_length(writer, size, error) : body_fail(error, "make room for a body");
}

// All at once where that is no more than `most` and than there is; in memory where that has more.
static bool find_room(BodyWriter *writer, uint64_t size, uint64_t most, GError **error) {
  g_autoptr(GError) failure = NULL;
  bool is_modest = most == 0 || size <= most;
  if (is_modest && take_room(writer, size, &failure)) return true;
  if (failure != NULL) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  if (is_modest && reserve_memory(writer, size, NULL) && !move_to_memory(writer, error))
    return false;
  return set_length(writer, size, error);
}

bool body_writer_set_size(BodyWriter *writer, uint64_t size, uint64_t most, GError **error) {
  if (!flush(writer, error)) return false;
  g_assert(size >= writer->size);
  if (!writer->in_memory) {
    if (!find_room(writer, size, most, error)) return false;
  } else if (!reserve_memory(writer, size - writer->size, error) ||
             !set_length(writer, size, error)) {
    return false;
  }
  writer->size = size;
  writer->in_parts = true;
  EVP_DigestInit_ex(writer->digest, EVP_sha256(), NULL);
  return true;
}

bool body_writer_write_at(BodyWriter *writer, uint64_t offset, const void *bytes, size_t size,
                          GError **error) {
  size_t done;
  g_assert(writer->in_parts && offset <= writer->size && size <= writer->size - offset);
  if (write_all(writer->fd, bytes, size, offset, &done)) return true;
  if (!is_full(errno)) return body_fail(error, "write a body");
  g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "the cache's disk is full");
  return false;
}

int body_writer_fd(const BodyWriter *writer) {
  return writer->fd;
}

bool body_writer_is_in_memory(const BodyWriter *writer) {
  return writer->in_memory;
}

static int steal_descriptor(BodyWriter *writer) {
  int fd = writer->fd;
  writer->fd = -1;
  return fd;
}

static bool rename_to(const char *path, gpointer data) {
  const BodyWriter *writer = data;
  if (strcmp(path, writer->path) == 0) return true;
  int directory = writer->store->directory;
  return renameat(directory, writer->path, directory, path) == 0;
}

static bool digest_parts(BodyWriter *writer, GError **error) {
  g_autofree char *buffer = g_malloc(PART_BUFFER_BYTES);
  for (uint64_t at = 0; at < writer->size;) {
    ssize_t n = pread(writer->fd, buffer, PART_BUFFER_BYTES, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return body_fail(error, "read a body");
    EVP_DigestUpdate(writer->digest, buffer, (size_t)n);
    at += (uint64_t)n;
  }
  return true;
}

// Its file had its whole size from the beginning: what a power loss leaves of it could not be told
// from a body. One that grew as it was written is too short then.
static bool settle_parts(BodyWriter *writer, GError **error) {
  if (!writer->in_parts) return true;
  if (!digest_parts(writer, error)) return false;
  return writer->in_memory || fdatasync(writer->fd) == 0 || body_fail(error, "write a body");
}

int body_writer_finish(BodyWriter *writer, uint64_t ino, uint64_t *size,
                       uint8_t sha256[BODY_SHA256_BYTES], bool *on_disk, GError **error) {
  if (!flush(writer, error) || !settle_parts(writer, error)) return -1;
  EVP_DigestFinal_ex(writer->digest, sha256, NULL);
  *size = writer->size;
  *on_disk = !writer->in_memory && body_place(writer->store, ino, rename_to, writer);
  if (*on_disk) writer->path[0] = '\0';
  if (writer->in_memory) keep_memory(writer, writer->fd);
  body_note_open(writer->store, ino);
  return steal_descriptor(writer);
}

void body_writer_free(BodyWriter *writer) {
  if (writer == NULL) return;
  release_memory(writer);
  if (writer->path[0] != '\0') unlinkat(writer->store->directory, writer->path, 0);
  if (writer->fd >= 0) close(writer->fd);
  EVP_MD_CTX_free(writer->digest);
  g_free(writer->buffer);
  g_free(writer);
}
