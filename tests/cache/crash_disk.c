// The calls are defined under both their names, for code with 32 and 64 bits of file offset.
#undef _FILE_OFFSET_BITS
#include "crash_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// A write or a truncation that is not synced yet.
typedef struct {
  bool truncates;
  goffset offset;  // or the new size
  GBytes *bytes;   // NULL: truncates
} Change;

typedef struct {
  GByteArray *synced;
  GPtrArray *changes;  // of Change *, in order
} File;

// A name that came or went and is not synced yet.
typedef struct {
  char *name;
  File *file;  // NULL: it went
} NameChange;

typedef struct {
  GHashTable *synced;  // name -> File *
  GPtrArray *changes;  // of NameChange *, in order
} Directory;

static struct {
  pthread_mutex_t mutex;
  char *root, *left;
  Crash crash;
  unsigned step, at_step;
  GRand *random;
  GHashTable *files;        // inode -> File *, as they are now
  GHashTable *directories;  // path -> Directory *
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

// -- What is known.

static File *file_new(void) {
  File *file = g_new0(File, 1);
  file->synced = g_byte_array_new();
  file->changes = g_ptr_array_new();
  return file;
}

// The process ends soon: what is no more wanted is just left.
static void apply_change(GByteArray *content, const Change *change) {
  gsize size;
  const void *bytes = change->bytes != NULL ? g_bytes_get_data(change->bytes, &size) : NULL;
  guint old = content->len;
  guint end = (guint)(change->truncates ? (gsize)change->offset : (gsize)change->offset + size);
  if (change->truncates || end > old) g_byte_array_set_size(content, end);
  if (end > old) memset(content->data + old, 0, end - old);
  if (bytes != NULL) memcpy(content->data + change->offset, bytes, size);
}

static void apply_name(GHashTable *names, const NameChange *change) {
  if (change->file != NULL)
    g_hash_table_insert(names, change->name, change->file);
  else
    g_hash_table_remove(names, change->name);
}

static Directory *directory_of(const char *path) {
  Directory *directory = g_hash_table_lookup(disk.directories, path);
  if (directory != NULL) return directory;
  directory = g_new0(Directory, 1);
  directory->synced = g_hash_table_new(g_str_hash, g_str_equal);
  directory->changes = g_ptr_array_new();
  g_hash_table_insert(disk.directories, g_strdup(path), directory);
  return directory;
}

static void note_name(const char *path, File *file) {
  g_autofree char *parent = g_path_get_dirname(path);
  NameChange *change = g_new0(NameChange, 1);
  change->name = g_path_get_basename(path);
  change->file = file;
  g_ptr_array_add(directory_of(parent)->changes, change);
}

static void note_change(File *file, bool truncates, goffset offset, const void *bytes,
                        size_t size) {
  Change *change = g_new0(Change, 1);
  *change = (Change){truncates, offset, bytes != NULL ? g_bytes_new(bytes, size) : NULL};
  g_ptr_array_add(file->changes, change);
}

static gpointer key_of(ino_t ino) {
  return GSIZE_TO_POINTER((gsize)ino);
}

static File *file_of(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return NULL;
  return g_hash_table_lookup(disk.files, key_of(status.st_ino));
}

static void sync_file(File *file) {
  for (guint i = 0; i < file->changes->len; i++)
    apply_change(file->synced, g_ptr_array_index(file->changes, i));
  g_ptr_array_set_size(file->changes, 0);
}

static void sync_directory(Directory *directory) {
  for (guint i = 0; i < directory->changes->len; i++)
    apply_name(directory->synced, g_ptr_array_index(directory->changes, i));
  g_ptr_array_set_size(directory->changes, 0);
}

// -- What is left.

static bool survives(void) {
  return disk.crash == CRASH_POWER_SOME && g_rand_boolean(disk.random);
}

static void leave_file(const char *path, File *file) {
  g_autoptr(GByteArray) content = g_byte_array_new();
  g_byte_array_append(content, file->synced->data, file->synced->len);
  for (guint i = 0; i < file->changes->len; i++)
    if (survives()) apply_change(content, g_ptr_array_index(file->changes, i));
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(syscall(SYS_write, fd, content->data, (size_t)content->len), ==, content->len);
  syscall(SYS_close, fd);
}

static File a_directory;  // stands for one among the names of another

static void leave_directory(const char *path, const char *target) {
  g_assert_cmpint(syscall(SYS_mkdirat, AT_FDCWD, target, 0700), ==, 0);
  Directory *directory = directory_of(path);
  for (guint i = 0; i < directory->changes->len; i++)
    if (survives()) apply_name(directory->synced, g_ptr_array_index(directory->changes, i));
  GHashTableIter iter;
  gpointer name, file;
  g_hash_table_iter_init(&iter, directory->synced);
  while (g_hash_table_iter_next(&iter, &name, &file)) {
    g_autofree char *inner = g_build_filename(path, name, NULL);
    g_autofree char *inner_target = g_build_filename(target, name, NULL);
    if (file == &a_directory)
      leave_directory(inner, inner_target);
    else
      leave_file(inner_target, file);
  }
}

// The mutex is held, for ever.
static void step(void) {
  if (disk.step++ != disk.at_step) return;
  if (disk.crash != CRASH_KILL) leave_directory(disk.root, disk.left);
  _exit(CRASH_EXIT_CODE);
}

// -- What was there before.

static void take_in_file(const char *path, Directory *parent, const char *name) {
  File *file = file_new();
  struct stat status;
  gsize size;
  char *bytes;
  g_assert_cmpint(stat(path, &status), ==, 0);
  g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
  g_byte_array_append(file->synced, (const guint8 *)bytes, (guint)size);
  g_free(bytes);
  g_hash_table_insert(disk.files, key_of(status.st_ino), file);
  g_hash_table_insert(parent->synced, g_strdup(name), file);
}

static void take_in(const char *path) {
  Directory *directory = directory_of(path);
  g_autoptr(GDir) listing = g_dir_open(path, 0, NULL);
  const char *name;
  while (listing != NULL && (name = g_dir_read_name(listing)) != NULL) {
    g_autofree char *inner = g_build_filename(path, name, NULL);
    if (g_file_test(inner, G_FILE_TEST_IS_DIR)) {
      g_hash_table_insert(directory->synced, g_strdup(name), &a_directory);
      take_in(inner);
    } else if (!g_str_has_suffix(name, "-shm")) {
      take_in_file(inner, directory, name);
    }
  }
}

void crash_disk_watch(const char *directory, Crash crash, unsigned at_step, const char *left) {
  disk.files = g_hash_table_new(NULL, NULL);
  disk.directories = g_hash_table_new(g_str_hash, g_str_equal);
  disk.left = g_strdup(left);
  disk.crash = crash;
  disk.at_step = at_step;
  disk.random = g_rand_new_with_seed(at_step);
  take_in(directory);
  disk.root = g_strdup(directory);
}

void crash_disk_step(void) {
  pthread_mutex_lock(&disk.mutex);
  step();
  pthread_mutex_unlock(&disk.mutex);
}

unsigned crash_disk_steps(void) {
  return disk.step;
}

// -- The calls. SQLite's shared memory is no part of what is on disk: each start makes it anew.

static bool is_watched(const char *path) {
  return disk.root != NULL && g_str_has_prefix(path, disk.root) && !g_str_has_suffix(path, "-shm");
}

// The path of an open file, or of a name below an open directory; NULL: it is not watched.
static char *watched_path(int fd, const char *name) {
  if (disk.root == NULL) return NULL;
  if (name != NULL && (*name == '/' || fd == AT_FDCWD))
    return is_watched(name) ? g_strdup(name) : NULL;
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return NULL;
  path[length] = '\0';
  char *whole = name != NULL ? g_build_filename(path, name, NULL) : g_strdup(path);
  if (!is_watched(whole)) g_clear_pointer(&whole, g_free);
  return whole;
}

// As below: what is watched is a step, with the mutex held until the end of the call.
static char *enter(int fd, const char *name) {
  char *path = watched_path(fd, name);
  if (path == NULL) return NULL;
  pthread_mutex_lock(&disk.mutex);
  step();
  return path;
}

static void leave(char *path) {
  if (path == NULL) return;
  pthread_mutex_unlock(&disk.mutex);
  g_free(path);
}

static int do_open(int at, const char *name, int flags, mode_t mode) {
  struct stat status;
  bool creates = (flags & O_CREAT) != 0 && fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) < 0;
  char *path = creates || (flags & O_TRUNC) != 0 ? enter(at, name) : NULL;
  int fd = (int)syscall(SYS_openat, at, name, flags, mode);
  if (path != NULL && fd >= 0 && creates && fstat(fd, &status) == 0) {
    File *file = file_new();
    g_hash_table_insert(disk.files, key_of(status.st_ino), file);
    note_name(path, file);
  } else if (path != NULL && fd >= 0 && file_of(fd) != NULL) {
    note_change(file_of(fd), true, 0, NULL, 0);
  }
  leave(path);
  return fd;
}

static mode_t mode_argument(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? (mode_t)va_arg(arguments, unsigned) : 0;
}

#define DEFINE_OPEN(NAME, AT, ...)                 \
  int NAME(__VA_ARGS__, int flags, ...) {          \
    va_list arguments;                             \
    va_start(arguments, flags);                    \
    mode_t mode = mode_argument(flags, arguments); \
    va_end(arguments);                             \
    return do_open(AT, name, flags, mode);         \
  }
DEFINE_OPEN(open, AT_FDCWD, const char *name)
DEFINE_OPEN(open64, AT_FDCWD, const char *name)
DEFINE_OPEN(openat, at, int at, const char *name)
DEFINE_OPEN(openat64, at, int at, const char *name)

int mkdir(const char *name, mode_t mode) {
  char *path = enter(AT_FDCWD, name);
  int result = (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
  if (path != NULL && result == 0) note_name(path, &a_directory);
  leave(path);
  return result;
}

int mkdirat(int at, const char *name, mode_t mode) {
  char *path = enter(at, name);
  int result = (int)syscall(SYS_mkdirat, at, name, mode);
  if (path != NULL && result == 0) note_name(path, &a_directory);
  leave(path);
  return result;
}

// Of a file that is watched or was made before the watch; its bytes are as synced as they were.
int linkat(int from, const char *name, int to, const char *new_name, int flags) {
  struct stat status;
  char *path = enter(to, new_name);
  int result = (int)syscall(SYS_linkat, from, name, to, new_name, flags);
  if (path != NULL && result == 0 && fstatat(to, new_name, &status, 0) == 0)
    note_name(path, g_hash_table_lookup(disk.files, key_of(status.st_ino)));
  leave(path);
  return result;
}

// Within one directory or from one to another; each name by itself survives a power failure or not,
// as on the poorest of file systems.
int renameat(int from, const char *name, int to, const char *new_name) {
  struct stat status;
  char *old_path = watched_path(from, name);
  char *path = enter(to, new_name);
  int result = (int)syscall(SYS_renameat, from, name, to, new_name);
  if (path != NULL && result == 0 && fstatat(to, new_name, &status, 0) == 0) {
    note_name(path, g_hash_table_lookup(disk.files, key_of(status.st_ino)));
    if (old_path != NULL) note_name(old_path, NULL);
  }
  leave(path);
  g_free(old_path);
  return result;
}

static ssize_t do_write(int fd, const void *bytes, size_t size, off_t offset) {
  char *path = enter(fd, NULL);
  ssize_t done = syscall(SYS_pwrite64, fd, bytes, size, offset);
  File *file = path != NULL && done > 0 ? file_of(fd) : NULL;
  if (file != NULL) note_change(file, false, offset, bytes, (size_t)done);
  leave(path);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  return do_write(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
  return do_write(fd, bytes, size, offset);
}

static int do_truncate(int fd, off_t size) {
  char *path = enter(fd, NULL);
  int result = (int)syscall(SYS_ftruncate, fd, size);
  File *file = path != NULL && result == 0 ? file_of(fd) : NULL;
  if (file != NULL) note_change(file, true, size, NULL, 0);
  leave(path);
  return result;
}

int ftruncate(int fd, off_t size) {
  return do_truncate(fd, size);
}

int ftruncate64(int fd, off64_t size) {
  return do_truncate(fd, size);
}

static int do_sync(int fd) {
  char *path = enter(fd, NULL);
  if (path == NULL) return (int)syscall(SYS_fsync, fd);
  File *file = file_of(fd);
  if (file != NULL)
    sync_file(file);
  else
    sync_directory(directory_of(path));
  leave(path);
  return 0;
}

int fsync(int fd) {
  return do_sync(fd);
}

int fdatasync(int fd) {
  return do_sync(fd);
}

int unlinkat(int at, const char *name, int flags) {
  char *path = enter(at, name);
  int result = (int)syscall(SYS_unlinkat, at, name, flags);
  if (path != NULL && result == 0) note_name(path, NULL);
  leave(path);
  return result;
}

int unlink(const char *name) {
  return unlinkat(AT_FDCWD, name, 0);
}
