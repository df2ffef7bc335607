#include "cache/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

// 16 hex digits, and numbers where several messages have one.
#define ID_MAX 40
#define BESIDE_BYTES (ID_MAX + 2)
#define BUFFER_BYTES (1 << 17)
#define COPIED_AT_ONCE (1 << 30)

struct Archive {
  int directory;
};

static bool fail(GError **error, int code, const char *id, const char *doing) {
  g_set_error(error, LEDGER_ERROR, code, "archive: cannot %s %s: %s", doing, id, g_strerror(code));
  return false;
}

Archive *archive_new(const char *directory, GError **error) {
  int fd = mkdir(directory, 0700) < 0 && errno != EEXIST
               ? -1
               : open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    fail(error, errno, directory, "open");
    return NULL;
  }
  Archive *archive = g_new0(Archive, 1);
  archive->directory = fd;
  return archive;
}

void archive_free(Archive *archive) {
  if (archive == NULL) return;
  close(archive->directory);
  g_free(archive);
}

// Nothing else becomes a file name.
static bool is_id(const char *id) {
  size_t length = strlen(id);
  return length > 0 && length <= ID_MAX && strspn(id, "0123456789abcdef-.") == length &&
         g_ascii_isxdigit(id[0]);
}

// Calls `each` for every file until it returns false.
static void walk(Archive *archive, bool (*each)(Archive *archive, const char *name, gpointer data),
                 gpointer data) {
  int fd = openat(archive->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
  if (entries == NULL) return;
  for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (!is_dots && !each(archive, entry->d_name, data)) break;
  }
  closedir(entries);
}

typedef struct {
  LedgerFate (*fate)(const char *id, gpointer data);
  gpointer data;
  unsigned n_aside;
} Sweep;

// The cache has it too: it was on its way into the archive.
static bool has_another_name(Archive *archive, const char *name) {
  struct stat status;
  return fstatat(archive->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         status.st_nlink > 1;
}

// Under its name, or that with a number behind it.
static bool put_aside(Archive *archive, const char *name) {
  if (mkdirat(archive->directory, ARCHIVE_ASIDE, 0700) < 0 && errno != EEXIST) return false;
  for (unsigned n = 1;; n++) {
    g_autofree char *path = n == 1 ? g_strdup_printf("%s/%s", ARCHIVE_ASIDE, name)
                                   : g_strdup_printf("%s/%s.%u", ARCHIVE_ASIDE, name, n);
    if (linkat(archive->directory, name, archive->directory, path, 0) == 0)
      return unlinkat(archive->directory, name, 0) == 0;
    if (errno != EEXIST) return false;
  }
}

static bool sweep_one(Archive *archive, const char *name, gpointer data) {
  Sweep *sweep = data;
  if (name[0] == '.' && is_id(name + 1)) unlinkat(archive->directory, name, 0);
  if (!is_id(name)) return true;
  LedgerFate fate = sweep->fate(name, sweep->data);
  if (fate == LEDGER_REMOVES || (fate == LEDGER_KNOWS_NOT && has_another_name(archive, name)))
    unlinkat(archive->directory, name, 0);
  else if (fate == LEDGER_KNOWS_NOT && put_aside(archive, name))
    sweep->n_aside++;
  return true;
}

unsigned archive_sweep(Archive *archive, LedgerFate (*fate)(const char *id, gpointer data),
                       gpointer data) {
  Sweep sweep = {fate, data, 0};
  walk(archive, sweep_one, &sweep);
  return sweep.n_aside;
}

static bool note_one(Archive *archive, const char *name, gpointer found) {
  *(bool *)found = is_id(name);
  return !*(bool *)found;
}

bool archive_is_empty(Archive *archive) {
  bool found = false;
  walk(archive, note_one, &found);
  return !found;
}

// ---- A body's way in.

static int digest_of(int fd, uint64_t *size, uint8_t sha256[BODY_SHA256_BYTES]) {
  g_autofree char *buffer = g_malloc(BUFFER_BYTES);
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  ssize_t n;
  EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
  for (*size = 0; (n = pread(fd, buffer, BUFFER_BYTES, (off_t)*size)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    EVP_DigestUpdate(digest, buffer, (size_t)n);
    *size += (uint64_t)n;
  }
  int code = n < 0 ? errno : 0;
  EVP_DigestFinal_ex(digest, sha256, NULL);
  EVP_MD_CTX_free(digest);
  return code;
}

static bool fail_reading(GError **error, int code, const char *id) {
  g_set_error(error, LEDGER_ERROR, EILSEQ, "archive: cannot read %s: %s", id, g_strerror(code));
  return false;
}

// What is kept for ever is looked at once: a power failure may have damaged what the cache has.
static bool check(const char *id, int fd, uint64_t size, const uint8_t *sha256, GError **error) {
  uint64_t actual_size;
  uint8_t actual[BODY_SHA256_BYTES];
  int code = digest_of(fd, &actual_size, actual);
  if (code != 0) return fail_reading(error, code, id);
  if (actual_size == size && memcmp(actual, sha256, sizeof actual) == 0) return true;
  return fail(error, EILSEQ, id, "take");
}

// 0 or an errno.
static int copy_to(int from, int to) {
  off_t at = 0;
  ssize_t sent;
  do
    sent = sendfile(to, from, &at, COPIED_AT_ONCE);
  while (sent > 0 || (sent < 0 && errno == EINTR));
  return sent < 0 ? errno : 0;
}

static int copy_beside(Archive *archive, int from, const char *beside) {
  int fd = openat(archive->directory, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  int code = copy_to(from, fd);
  close(fd);
  return code;
}

// One file, two names: not where the cache lies on another file system, or in memory.
static int link_beside(Archive *archive, int from, const char *beside) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", from);
  return linkat(AT_FDCWD, path, archive->directory, beside, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

static int lay(Archive *archive, int from, const char *beside) {
  unlinkat(archive->directory, beside, 0);
  int code = link_beside(archive, from, beside);
  return code == 0 || code == ENOSPC || code == EDQUOT ? code : copy_beside(archive, from, beside);
}

static void name_beside(const char *id, char beside[BESIDE_BYTES]) {
  snprintf(beside, BESIDE_BYTES, ".%s", id);
}

bool archive_lay(Archive *archive, const char *id, int fd, uint64_t size,
                 const uint8_t sha256[BODY_SHA256_BYTES], GError **error) {
  char beside[BESIDE_BYTES];
  if (!is_id(id)) return fail(error, EINVAL, id, "take");
  if (!check(id, fd, size, sha256, error)) return false;
  name_beside(id, beside);
  int code = lay(archive, fd, beside);
  if (code == 0) return true;
  unlinkat(archive->directory, beside, 0);
  return fail(error, code, id, "take");
}

static int sync_one(Archive *archive, const char *beside) {
  int fd = openat(archive->directory, beside, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno;
  int code = fsync(fd) < 0 ? errno : 0;
  close(fd);
  return code;
}

static int rename_one(Archive *archive, const char *beside, const char *id) {
  return renameat(archive->directory, beside, archive->directory, id) < 0 ? errno : 0;
}

bool archive_place(Archive *archive, const char *const *ids, size_t n, GError **error) {
  char beside[BESIDE_BYTES];
  int code = 0;
  for (size_t i = 0; code == 0 && i < n; i++) {
    name_beside(ids[i], beside);
    code = sync_one(archive, beside);
  }
  for (size_t i = 0; i < n; i++) {
    name_beside(ids[i], beside);
    if (code == 0) code = rename_one(archive, beside, ids[i]);
    // Still there, too, where both names are of one file.
    unlinkat(archive->directory, beside, 0);
  }
  if (code == 0 && fsync(archive->directory) < 0) code = errno;
  return code == 0 || fail(error, code, "directory", "write");
}

bool archive_has(Archive *archive, const char *id, uint64_t size) {
  struct stat status;
  return is_id(id) && fstatat(archive->directory, id, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode) && (uint64_t)status.st_size == size;
}

int archive_open(Archive *archive, const char *id, uint64_t size) {
  struct stat status;
  if (!is_id(id)) return -1;
  int fd = openat(archive->directory, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size)
    return fd;
  close(fd);
  return -1;
}

void archive_remove(Archive *archive, const char *id) {
  if (is_id(id)) unlinkat(archive->directory, id, 0);
}
