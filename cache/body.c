#include "cache/body.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/error.h"

#define UNFINISHED "unfinished"
#define PATH_BYTES 40

// A finished body that found no room on disk: it lives for as long as descriptors of it are open.
typedef struct {
  dev_t device;
  ino_t file;
  uint64_t size;
  unsigned descriptors;
} MemoryBody;

struct BodyStore {
  char *path;     // .../bodies
  int directory;  // the same, open
  _Atomic uint64_t unfinished_number;
  pthread_mutex_t memory_lock;  // guards the next two
  uint64_t memory_used;
  GArray *memory_bodies;  // of MemoryBody
};

struct BodyWriter {
  BodyStore *store;
  int fd;
  bool in_memory;
  uint64_t reserved;  // of the store's memory
  uint64_t size;
  EVP_MD_CTX *digest;
  char path[PATH_BYTES];  // beside; empty once it is renamed or in memory
};

static bool fail_with_errno(GError **error, const char *attempt) {
  int saved = errno;
  g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(saved), "cache: %s: %s", attempt,
              g_strerror(saved));
  return false;
}

// bodies/3f/1a2b3f: spread over 256 directories by the inode's last byte.
static void body_path(uint64_t ino, char path[PATH_BYTES]) {
  g_snprintf(path, PATH_BYTES, "%02x/%" PRIx64, (unsigned)(ino & 0xff), ino);
}

static void empty_directory(int parent, const char *name) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
  g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
  const char *entry;
  while (directory != NULL && (entry = g_dir_read_name(directory)) != NULL)
    unlinkat(fd, entry, 0);
  close(fd);
}

// A descriptor of the directory, made if it is missing; -1: errno.
static int open_directory(const char *path) {
  g_autofree char *unfinished = g_build_filename(path, UNFINISHED, NULL);
  if (g_mkdir_with_parents(unfinished, 0700) != 0) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// The user deleted the cache while it is in use. Other threads may use the descriptor meanwhile, so
// it keeps its number.
static bool renew_directory(BodyStore *store) {
  int fd = open_directory(store->path);
  bool renewed = fd >= 0 && dup3(fd, store->directory, O_CLOEXEC) >= 0;
  if (fd >= 0) close(fd);
  return renewed;
}

BodyStore *body_store_new(const char *directory, GError **error) {
  g_autofree char *path = g_build_filename(directory, "bodies", NULL);
  int fd = open_directory(path);
  if (fd < 0) {
    fail_with_errno(error, path);
    return NULL;
  }
  BodyStore *store = g_new0(BodyStore, 1);
  store->path = g_steal_pointer(&path);
  store->directory = fd;
  store->memory_bodies = g_array_new(FALSE, FALSE, sizeof(MemoryBody));
  pthread_mutex_init(&store->memory_lock, NULL);
  empty_directory(fd, UNFINISHED);
  return store;
}

void body_store_free(BodyStore *store) {
  if (store == NULL) return;
  close(store->directory);
  g_free(store->path);
  g_array_free(store->memory_bodies, TRUE);
  pthread_mutex_destroy(&store->memory_lock);
  g_free(store);
}

bool body_store_clear(BodyStore *store, GError **error) {
  for (unsigned i = 0; i < 256; i++) {
    char name[4];
    g_snprintf(name, sizeof name, "%02x", i);
    empty_directory(store->directory, name);
    if (unlinkat(store->directory, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
      return fail_with_errno(error, "remove old bodies");
  }
  return true;
}

int body_open(BodyStore *store, uint64_t ino, uint64_t size) {
  char path[PATH_BYTES];
  struct stat status;
  body_path(ino, path);
  int fd = openat(store->directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size)
    return fd;
  close(fd);
  return -1;
}

// The record of a body in memory, or NULL. Locked by the caller.
static MemoryBody *find_in_memory(BodyStore *store, int fd, unsigned *at) {
  struct stat status;
  if (fstat(fd, &status) != 0) return NULL;
  for (*at = 0; *at < store->memory_bodies->len; (*at)++) {
    MemoryBody *body = &g_array_index(store->memory_bodies, MemoryBody, *at);
    if (body->file == status.st_ino && body->device == status.st_dev) return body;
  }
  return NULL;
}

int body_dup(BodyStore *store, int fd) {
  unsigned at;
  pthread_mutex_lock(&store->memory_lock);
  MemoryBody *body = find_in_memory(store, fd, &at);
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (body != NULL && copy >= 0) body->descriptors++;
  pthread_mutex_unlock(&store->memory_lock);
  return copy;
}

void body_close(BodyStore *store, int fd) {
  unsigned at;
  pthread_mutex_lock(&store->memory_lock);
  MemoryBody *body = find_in_memory(store, fd, &at);
  if (body != NULL && --body->descriptors == 0) {
    store->memory_used -= body->size;
    g_array_remove_index_fast(store->memory_bodies, at);
  }
  close(fd);
  pthread_mutex_unlock(&store->memory_lock);
}

void body_remove(BodyStore *store, uint64_t ino) {
  char path[PATH_BYTES];
  body_path(ino, path);
  unlinkat(store->directory, path, 0);
}

static bool is_full(int code) {
  return code == ENOSPC || code == EDQUOT || code == EFBIG || code == EROFS;
}

static bool open_in_memory(BodyWriter *writer, GError **error) {
  writer->fd = memfd_create("mailfs-body", MFD_CLOEXEC);
  writer->in_memory = true;
  writer->path[0] = '\0';
  return writer->fd >= 0 || fail_with_errno(error, "no room for a body");
}

static int create_unfinished(const BodyWriter *writer) {
  return openat(writer->store->directory, writer->path,
                O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

BodyWriter *body_writer_new(BodyStore *store, GError **error) {
  g_autoptr(BodyWriter) writer = g_new0(BodyWriter, 1);
  writer->store = store;
  writer->digest = EVP_MD_CTX_new();
  EVP_DigestInit_ex(writer->digest, EVP_sha256(), NULL);
  uint64_t number = atomic_fetch_add(&store->unfinished_number, 1);
  g_snprintf(writer->path, PATH_BYTES, UNFINISHED "/%" PRIx64, number);
  writer->fd = create_unfinished(writer);
  if (writer->fd < 0 && errno == ENOENT && renew_directory(store))
    writer->fd = create_unfinished(writer);
  if (writer->fd >= 0) return g_steal_pointer(&writer);
  if (is_full(errno)) return open_in_memory(writer, error) ? g_steal_pointer(&writer) : NULL;
  fail_with_errno(error, writer->path);
  writer->path[0] = '\0';
  return NULL;
}

static void release_memory(BodyWriter *writer) {
  pthread_mutex_lock(&writer->store->memory_lock);
  writer->store->memory_used -= writer->reserved;
  pthread_mutex_unlock(&writer->store->memory_lock);
  writer->reserved = 0;
}

static bool reserve_memory(BodyWriter *writer, uint64_t size, GError **error) {
  BodyStore *store = writer->store;
  pthread_mutex_lock(&store->memory_lock);
  bool fits = store->memory_used + size <= BODY_MEMORY_MAX;
  if (fits) store->memory_used += size;
  pthread_mutex_unlock(&store->memory_lock);
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
  MemoryBody body = {
      .device = status.st_dev, .file = status.st_ino, .size = writer->reserved, .descriptors = 1};
  pthread_mutex_lock(&writer->store->memory_lock);
  g_array_append_val(writer->store->memory_bodies, body);
  pthread_mutex_unlock(&writer->store->memory_lock);
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

// The disk is full: what was written so far moves into memory and the file is given back.
static bool move_to_memory(BodyWriter *writer, GError **error) {
  int file = writer->fd;
  if (!reserve_memory(writer, writer->size, error)) return false;
  unlinkat(writer->store->directory, writer->path, 0);
  bool moved = open_in_memory(writer, error);
  if (moved && !copy_bytes(file, writer->fd, writer->size))
    moved = fail_with_errno(error, "no room for a body");
  close(file);
  return moved;
}

bool body_writer_write(BodyWriter *writer, const void *bytes, size_t size, GError **error) {
  EVP_DigestUpdate(writer->digest, bytes, size);
  if (writer->in_memory && !reserve_memory(writer, size, error)) return false;
  for (const char *from = bytes; size > 0;) {
    ssize_t n = pwrite(writer->fd, from, size, (off_t)writer->size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && !writer->in_memory && is_full(errno)) {
      if (!move_to_memory(writer, error) || !reserve_memory(writer, size, error)) return false;
      continue;
    }
    if (n < 0) return fail_with_errno(error, "write a body");
    from += n;
    size -= (size_t)n;
    writer->size += (uint64_t)n;
  }
  return true;
}

bool body_writer_reset(BodyWriter *writer, GError **error) {
  release_memory(writer);
  writer->size = 0;
  EVP_DigestInit_ex(writer->digest, EVP_sha256(), NULL);
  return ftruncate(writer->fd, 0) == 0 || fail_with_errno(error, "empty a body");
}

static bool put_in_place(BodyWriter *writer, uint64_t ino) {
  char path[PATH_BYTES];
  int directory = writer->store->directory;
  body_path(ino, path);
  if (renameat(directory, writer->path, directory, path) == 0) return true;
  if (errno != ENOENT) return false;
  path[2] = '\0';
  mkdirat(directory, path, 0700);
  path[2] = '/';
  return renameat(directory, writer->path, directory, path) == 0;
}

int body_writer_finish(BodyWriter *writer, uint64_t ino, uint64_t *size,
                       uint8_t sha256[BODY_SHA256_BYTES], bool *on_disk, GError **error) {
  EVP_DigestFinal_ex(writer->digest, sha256, NULL);
  *size = writer->size;
  *on_disk = !writer->in_memory && put_in_place(writer, ino);
  if (*on_disk) writer->path[0] = '\0';
  int fd = fcntl(writer->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail_with_errno(error, "keep a body open");
  if (fd >= 0 && writer->in_memory) keep_memory(writer, fd);
  return fd;
}

void body_writer_free(BodyWriter *writer) {
  if (writer == NULL) return;
  release_memory(writer);
  if (writer->path[0] != '\0') unlinkat(writer->store->directory, writer->path, 0);
  if (writer->fd >= 0) close(writer->fd);
  EVP_MD_CTX_free(writer->digest);
  g_free(writer);
}
