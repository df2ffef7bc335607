#include "cache/body.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/body_private.h"

// How many used bodies are kept in mind: order among more than that says little.
#define USED_MAX 32768

bool body_fail(GError **error, const char *attempt) {
  int saved = errno;
  g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(saved), "cache: %s: %s", attempt,
              g_strerror(saved));
  return false;
}

void body_path(uint64_t ino, char path[BODY_PATH_BYTES]) {
  g_snprintf(path, BODY_PATH_BYTES, "%02x/%" PRIx64, (unsigned)(ino & 0xff), ino);
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
  g_autofree char *unfinished = g_build_filename(path, BODY_UNFINISHED, NULL);
  if (g_mkdir_with_parents(unfinished, 0700) != 0) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// The user deleted the cache while it is in use. Other threads may use the descriptor meanwhile, so
// it keeps its number.
bool body_renew_directory(BodyStore *store) {
  int fd = open_directory(store->path);
  bool renewed = fd >= 0 && dup3(fd, store->directory, O_CLOEXEC) >= 0;
  if (fd >= 0) close(fd);
  return renewed;
}

static GHashTable *new_ino_set(void) {
  return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

BodyStore *body_store_new(const char *directory, GError **error) {
  g_autofree char *path = g_build_filename(directory, "bodies", NULL);
  int fd = open_directory(path);
  if (fd < 0) {
    body_fail(error, path);
    return NULL;
  }
  BodyStore *store = g_new0(BodyStore, 1);
  store->path = g_steal_pointer(&path);
  store->directory = fd;
  store->memory_bodies = g_array_new(FALSE, FALSE, sizeof(MemoryBody));
  store->open = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  store->used = new_ino_set();
  store->placed = new_ino_set();
  pthread_mutex_init(&store->place_lock, NULL);
  pthread_mutex_init(&store->lock, NULL);
  empty_directory(fd, BODY_UNFINISHED);
  return store;
}

void body_store_free(BodyStore *store) {
  if (store == NULL) return;
  close(store->directory);
  g_free(store->path);
  g_array_free(store->memory_bodies, TRUE);
  g_hash_table_unref(store->open);
  g_hash_table_unref(store->used);
  if (store->placed != NULL) g_hash_table_unref(store->placed);
  pthread_mutex_destroy(&store->place_lock);
  pthread_mutex_destroy(&store->lock);
  g_free(store);
}

bool body_store_clear(BodyStore *store, GError **error) {
  for (unsigned i = 0; i < 256; i++) {
    char name[4];
    g_snprintf(name, sizeof name, "%02x", i);
    empty_directory(store->directory, name);
    if (unlinkat(store->directory, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
      return body_fail(error, "remove old bodies");
  }
  return true;
}

void body_note_open(BodyStore *store, uint64_t ino) {
  pthread_mutex_lock(&store->lock);
  gpointer count = g_hash_table_lookup(store->open, &ino);
  g_hash_table_insert(store->open, g_memdup2(&ino, sizeof ino),
                      GUINT_TO_POINTER(GPOINTER_TO_UINT(count) + 1));
  pthread_mutex_unlock(&store->lock);
}

void body_adopt(BodyStore *store, uint64_t ino) {
  body_note_open(store, ino);
}

static void note_used(BodyStore *store, uint64_t ino) {
  pthread_mutex_lock(&store->lock);
  if (g_hash_table_size(store->used) < USED_MAX)
    g_hash_table_add(store->used, g_memdup2(&ino, sizeof ino));
  pthread_mutex_unlock(&store->lock);
}

int body_open(BodyStore *store, uint64_t ino, uint64_t size) {
  char path[BODY_PATH_BYTES];
  struct stat status;
  body_path(ino, path);
  // Before the file is open, so that it is hardly ever evicted in between: then it is fetched again
  // by the next reader.
  body_note_open(store, ino);
  int fd = openat(store->directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
      (uint64_t)status.st_size == size) {
    note_used(store, ino);
    return fd;
  }
  body_close(store, ino, fd);
  return -1;
}

// Gives back the memory of a body that lies there. Locked by the caller.
static void release_memory_body(BodyStore *store, int fd) {
  struct stat status;
  if (store->memory_bodies->len == 0 || fstat(fd, &status) != 0) return;
  for (unsigned i = 0; i < store->memory_bodies->len; i++) {
    MemoryBody *body = &g_array_index(store->memory_bodies, MemoryBody, i);
    if (body->file != status.st_ino || body->device != status.st_dev) continue;
    store->memory_used -= body->size;
    g_array_remove_index_fast(store->memory_bodies, i);
    return;
  }
}

void body_close(BodyStore *store, uint64_t ino, int fd) {
  pthread_mutex_lock(&store->lock);
  unsigned count = GPOINTER_TO_UINT(g_hash_table_lookup(store->open, &ino));
  if (count > 1)
    g_hash_table_insert(store->open, g_memdup2(&ino, sizeof ino), GUINT_TO_POINTER(count - 1));
  else
    g_hash_table_remove(store->open, &ino);
  if (fd >= 0) {
    release_memory_body(store, fd);
    close(fd);
  }
  pthread_mutex_unlock(&store->lock);
}

void body_remove(BodyStore *store, uint64_t ino) {
  char path[BODY_PATH_BYTES];
  body_path(ino, path);
  unlinkat(store->directory, path, 0);
}

bool body_evict(BodyStore *store, uint64_t ino, bool *is_last) {
  char path[BODY_PATH_BYTES];
  struct stat status;
  pthread_mutex_lock(&store->lock);
  bool is_open = g_hash_table_contains(store->open, &ino);
  pthread_mutex_unlock(&store->lock);
  if (is_open) return false;
  body_path(ino, path);
  *is_last =
      fstatat(store->directory, path, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_nlink <= 1;
  body_remove(store, ino);
  return true;
}

static void note_placed(BodyStore *store, uint64_t ino) {
  pthread_mutex_lock(&store->place_lock);
  if (store->placed != NULL) g_hash_table_add(store->placed, g_memdup2(&ino, sizeof ino));
  pthread_mutex_unlock(&store->place_lock);
}

bool body_place(BodyStore *store, uint64_t ino, bool (*place)(const char *path, gpointer data),
                gpointer data) {
  char path[BODY_PATH_BYTES];
  note_placed(store, ino);
  body_path(ino, path);
  if (place(path, data)) return true;
  if (errno != ENOENT) return false;
  path[2] = '\0';
  if (mkdirat(store->directory, path, 0700) < 0 && errno != EEXIST) return false;
  path[2] = '/';
  return place(path, data);
}

typedef struct {
  BodyStore *store;
  char from[BODY_PATH_BYTES];
} Link;

static bool link_at(const char *path, gpointer data) {
  const Link *link = data;
  int directory = link->store->directory;
  if (linkat(directory, link->from, directory, path, 0) == 0) return true;
  return errno == EEXIST && unlinkat(directory, path, 0) == 0 &&
         linkat(directory, link->from, directory, path, 0) == 0;
}

bool body_link(BodyStore *store, uint64_t from, uint64_t size, uint64_t ino) {
  Link link = {.store = store};
  body_path(from, link.from);
  int fd = body_open(store, from, size);
  bool linked = fd >= 0 && body_place(store, ino, link_at, &link);
  if (fd >= 0) body_close(store, from, fd);
  return linked;
}

static void append_ino(gpointer key, gpointer value, gpointer array) {
  g_array_append_vals(array, key, 1);
}

GArray *body_take_used(BodyStore *store) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  pthread_mutex_lock(&store->lock);
  g_hash_table_foreach(store->used, append_ino, inos);
  g_hash_table_remove_all(store->used);
  pthread_mutex_unlock(&store->lock);
  return inos;
}

// ---- What nobody knows of.

// The inode whose body is called so; 0: nobody's.
static uint64_t ino_of(const char *name, unsigned directory) {
  char path[BODY_PATH_BYTES];
  uint64_t ino;
  if (!g_ascii_string_to_unsigned(name, 16, 1, UINT64_MAX, &ino, NULL)) return 0;
  body_path(ino, path);
  return (ino & 0xff) == directory && strcmp(path + 3, name) == 0 ? ino : 0;
}

GArray *body_in_directory(BodyStore *store, unsigned directory) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  char name[4];
  g_snprintf(name, sizeof name, "%02x", directory);
  int fd = openat(store->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return inos;
  DIR *entries = fdopendir(fd);
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    uint64_t ino = ino_of(entry->d_name, directory);
    if (ino != 0) g_array_append_val(inos, ino);
  }
  closedir(entries);
  return inos;
}

void body_sweep(BodyStore *store, uint64_t ino) {
  pthread_mutex_lock(&store->lock);
  bool is_open = g_hash_table_contains(store->open, &ino);
  pthread_mutex_unlock(&store->lock);
  pthread_mutex_lock(&store->place_lock);
  if (!is_open && store->placed != NULL && !g_hash_table_contains(store->placed, &ino))
    body_remove(store, ino);
  pthread_mutex_unlock(&store->place_lock);
}

void body_end_sweep(BodyStore *store) {
  pthread_mutex_lock(&store->place_lock);
  g_clear_pointer(&store->placed, g_hash_table_unref);
  pthread_mutex_unlock(&store->place_lock);
}
