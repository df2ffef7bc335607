#include "cache/outbox_inline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/outbox.h"
#include "cache/outbox_spool.h"

// From here on a file of its own is written no slower than the journal, which is written twice.
#define INLINE_MAX (32u << 10)
// What may gather in the journal.
#define GATHER_MAX (8u << 20)
// Longer than letters are held, and shorter than the kernel takes to write files by itself.
#define IDLE_MS 5000

struct OutboxInline {
  OutboxJournal *journal;
  int letters_fd;
  GHashTable *sizes;  // id, as int64_t * -> size
  size_t gathered;    // the sum of them
};

OutboxInline *outbox_inline_new(OutboxJournal *journal, int letters_fd) {
  OutboxInline *letters = g_new0(OutboxInline, 1);
  letters->journal = journal;
  letters->letters_fd = letters_fd;
  letters->sizes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  return letters;
}

void outbox_inline_free(OutboxInline *letters) {
  if (letters == NULL) return;
  g_hash_table_unref(letters->sizes);
  g_free(letters);
}

// -- Files.

static bool read_all(int fd, char *bytes, size_t size) {
  size_t done = 0;
  ssize_t got = 1;
  while (done < size && (got > 0 || errno == EINTR)) {
    got = pread(fd, bytes + done, size - done, (off_t)done);
    if (got == 0) return false;
    if (got > 0) done += (size_t)got;
  }
  return done == size;
}

static char *read_file(int fd, size_t size) {
  g_autofree char *bytes = g_malloc(size);
  return read_all(fd, bytes, size) ? g_steal_pointer(&bytes) : NULL;
}

GBytes *outbox_inline_read(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0 || status.st_size == 0 || status.st_size > INLINE_MAX) return NULL;
  size_t size = (size_t)status.st_size;
  char *bytes = read_file(fd, size);
  return bytes != NULL ? g_bytes_new_take(bytes, size) : NULL;
}

static bool write_all(int fd, const char *bytes, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t put = pwrite(fd, bytes + done, size - done, (off_t)done);
    if (put == 0) errno = EIO;
    if (put <= 0 && errno != EINTR) return false;
    if (put > 0) done += (size_t)put;
  }
  return true;
}

// -- What is inline.

bool outbox_inline_has(const OutboxInline *letters, uint64_t id) {
  int64_t key = (int64_t)id;
  return g_hash_table_contains(letters->sizes, &key);
}

void outbox_inline_remove(OutboxInline *letters, uint64_t id) {
  int64_t key = (int64_t)id;
  letters->gathered -= GPOINTER_TO_SIZE(g_hash_table_lookup(letters->sizes, &key));
  g_hash_table_remove(letters->sizes, &key);
}

void outbox_inline_add(OutboxInline *letters, uint64_t id, size_t size) {
  outbox_inline_remove(letters, id);
  int64_t *key = g_new(int64_t, 1);
  *key = (int64_t)id;
  g_hash_table_insert(letters->sizes, key, GSIZE_TO_POINTER(size));
  letters->gathered += size;
}

bool outbox_inline_is_full(const OutboxInline *letters) {
  return letters->gathered >= GATHER_MAX;
}

int outbox_inline_idle_ms(const OutboxInline *letters) {
  return g_hash_table_size(letters->sizes) > 0 ? IDLE_MS : -1;
}

// -- Settling.

static bool sync_file(int letters_fd, uint64_t id) {
  int fd = outbox_file_open(letters_fd, id, O_RDWR);
  bool ok = fd >= 0 && fsync(fd) == 0;
  int code = errno;
  if (fd >= 0) close(fd);
  if (fd < 0 && code == ENOENT)
    g_message("outbox: letter %" PRIu64 ": its file is gone, the next start makes it again", id);
  else if (!ok)
    g_warning("outbox: letter %" PRIu64 ": cannot write it to the disk: %s", id, g_strerror(code));
  return ok;
}

static bool drop_contents(OutboxJournal *journal, const GArray *synced, GError **error) {
  if (!outbox_journal_begin(journal, false, error)) return false;
  bool ok = true;
  for (guint i = 0; ok && i < synced->len; i++)
    ok = outbox_journal_drop_content(journal, g_array_index(synced, uint64_t, i), error);
  if (ok && outbox_journal_commit(journal, error)) return true;
  outbox_journal_rollback(journal);
  return false;
}

void outbox_inline_settle(OutboxInline *letters) {
  if (g_hash_table_size(letters->sizes) == 0) return;
  g_autoptr(GArray) synced = g_array_new(false, false, sizeof(uint64_t));
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, letters->sizes);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    uint64_t id = (uint64_t) * (const int64_t *)key;
    if (sync_file(letters->letters_fd, id)) g_array_append_val(synced, id);
  }
  g_autoptr(GError) error = NULL;
  if (fsync(letters->letters_fd) < 0)
    g_warning("outbox: cannot write the directory of letters to the disk: %s", g_strerror(errno));
  else if (!drop_contents(letters->journal, synced, &error))
    g_warning("outbox: %s", error->message);
  g_hash_table_remove_all(letters->sizes);
  letters->gathered = 0;
}

// -- Restoring.

static bool is_content(int fd, const OutboxContent *content) {
  struct stat status;
  if (fstat(fd, &status) < 0 || (size_t)status.st_size < content->size) return false;
  bool may_be_longer = !outbox_phase_is_waiting(content->phase);
  if ((size_t)status.st_size > content->size && !may_be_longer) return false;
  g_autofree char *bytes = read_file(fd, content->size);
  return bytes != NULL && memcmp(bytes, content->bytes, content->size) == 0;
}

static bool write_content(int fd, const OutboxContent *content) {
  return ftruncate(fd, 0) == 0 && write_all(fd, content->bytes, content->size);
}

static bool restore(const OutboxContent *content, gpointer data, GError **error) {
  int letters_fd = *(const int *)data;
  int fd = outbox_file_open(letters_fd, content->id, O_RDWR | O_CREAT);
  bool ok = fd >= 0 && (is_content(fd, content) || write_content(fd, content)) && fsync(fd) == 0;
  if (!ok)
    g_set_error(error, OUTBOX_ERROR, errno, "outbox: letter %" PRIu64 ": cannot write its file: %s",
                content->id, g_strerror(errno));
  if (fd >= 0) close(fd);
  return ok;
}

bool outbox_inline_restore(OutboxJournal *journal, int letters_fd, GError **error) {
  if (!outbox_journal_each_content(journal, restore, &letters_fd, error)) return false;
  if (fsync(letters_fd) == 0) return true;
  g_set_error(error, OUTBOX_ERROR, errno, "outbox: the directory of letters: %s",
              g_strerror(errno));
  return false;
}
