#include "cache/outbox_inline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/outbox.h"
#include "cache/outbox_letters.h"

// From here on a file of its own is written no slower than the journal, which is written twice.
#define INLINE_MAX (32u << 10)
// What may gather in the journal.
#define GATHER_MAX (8u << 20)
#define GATHER_MAX_LETTERS 512
// Longer than letters are held, and shorter than the kernel takes to write files by itself.
#define IDLE_MS 5000

struct OutboxInline {
  OutboxJournal *journal;
  int letters_fd;
  GTree *sizes;      // id, as int64_t * -> size
  size_t gathered;   // the sum of them
  bool is_settling;  // until there are none, or others come
};

static int compare_ids(gconstpointer a, gconstpointer b, gpointer unused) {
  int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
  return (first > second) - (first < second);
}

OutboxInline *outbox_inline_new(OutboxJournal *journal, int letters_fd) {
  OutboxInline *letters = g_new0(OutboxInline, 1);
  letters->journal = journal;
  letters->letters_fd = letters_fd;
  letters->sizes = g_tree_new_full(compare_ids, NULL, g_free, NULL);
  return letters;
}

void outbox_inline_free(OutboxInline *letters) {
  if (letters == NULL) return;
  g_tree_unref(letters->sizes);
  g_free(letters);
}

// -- Files.

static bool read_all(int fd, char *bytes, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = pread(fd, bytes + done, size - done, (off_t)done);
    if (got == 0 || (got < 0 && errno != EINTR)) return false;
    if (got > 0) done += (size_t)got;
  }
  return true;
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

// -- What is inline.

void outbox_inline_remove(OutboxInline *letters, uint64_t id) {
  int64_t key = (int64_t)id;
  letters->gathered -= GPOINTER_TO_SIZE(g_tree_lookup(letters->sizes, &key));
  g_tree_remove(letters->sizes, &key);
}

void outbox_inline_add(OutboxInline *letters, uint64_t id, size_t size) {
  outbox_inline_remove(letters, id);
  int64_t *key = g_new(int64_t, 1);
  *key = (int64_t)id;
  g_tree_insert(letters->sizes, key, GSIZE_TO_POINTER(size));
  letters->gathered += size;
  letters->is_settling = false;
}

bool outbox_inline_is_full(const OutboxInline *letters) {
  return letters->gathered >= GATHER_MAX || g_tree_nnodes(letters->sizes) >= GATHER_MAX_LETTERS;
}

int outbox_inline_idle_ms(const OutboxInline *letters) {
  if (g_tree_nnodes(letters->sizes) == 0) return -1;
  return letters->is_settling ? 0 : IDLE_MS;
}

// -- Settling.

typedef struct {
  GArray *ids;  // uint64_t
  unsigned most;
} Oldest;

static gboolean gather(gpointer key, gpointer size, gpointer data) {
  Oldest *oldest = data;
  uint64_t id = (uint64_t)(*(const int64_t *)key);
  g_array_append_val(oldest->ids, id);
  return oldest->ids->len == oldest->most;
}

static void tell_unsynced(uint64_t id, int code, OutboxInlineFailed failed, gpointer data) {
  g_warning("outbox: letter %" PRIu64 ": cannot write it to the disk: %s", id, g_strerror(code));
  if (code != EINTR) failed(id, code, data);
}

// One that cannot be opened is none the worse for that.
static bool sync_file(int letters_fd, uint64_t id, OutboxInlineFailed failed, gpointer data) {
  int fd = outbox_file_open(letters_fd, id, O_RDWR);
  if (fd < 0) {
    g_message("outbox: letter %" PRIu64
              ": its file cannot be opened, the next start sees to it: %s",
              id, g_strerror(errno));
    return false;
  }
  bool synced = fsync(fd) == 0;
  if (!synced) tell_unsynced(id, errno, failed, data);
  close(fd);
  return synced;
}

static GArray *sync_files(OutboxInline *letters, const GArray *ids, OutboxInlineFailed failed,
                          gpointer data) {
  GArray *synced = g_array_new(false, false, sizeof(uint64_t));
  for (guint i = 0; i < ids->len; i++) {
    uint64_t id = g_array_index(ids, uint64_t, i);
    if (sync_file(letters->letters_fd, id, failed, data)) g_array_append_val(synced, id);
  }
  return synced;
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

void outbox_inline_settle(OutboxInline *letters, unsigned most, OutboxInlineFailed failed,
                          gpointer data) {
  g_autoptr(GArray) ids = g_array_new(false, false, sizeof(uint64_t));
  Oldest oldest = {ids, most};
  g_tree_foreach(letters->sizes, gather, &oldest);
  g_autoptr(GArray) synced = sync_files(letters, ids, failed, data);
  g_autoptr(GError) error = NULL;
  if (fsync(letters->letters_fd) < 0)
    g_warning("outbox: cannot write the directory of letters to the disk: %s", g_strerror(errno));
  else if (!drop_contents(letters->journal, synced, &error))
    g_warning("outbox: %s", error->message);
  for (guint i = 0; i < ids->len; i++)
    outbox_inline_remove(letters, g_array_index(ids, uint64_t, i));
  letters->is_settling = true;
}

// -- Restoring.

// What was being written may have more than was made durable.
static bool has_more(int fd, const OutboxContent *content) {
  struct stat status;
  bool may_have = !outbox_phase_is_waiting(content->phase) && fstat(fd, &status) == 0 &&
                  (size_t)status.st_size > content->size;
  g_autofree char *bytes = may_have ? read_file(fd, content->size) : NULL;
  return bytes != NULL && memcmp(bytes, content->bytes, content->size) == 0;
}

// Also where the file has these bytes already: what is read may be what could not be written, and a
// sync of it would not say so again, see fsync(2).
static bool write_content(int fd, const OutboxContent *content) {
  bool keeps_more = has_more(fd, content);
  return outbox_file_write(fd, content->bytes, content->size, 0) == content->size &&
         (keeps_more || ftruncate(fd, (off_t)content->size) == 0);
}

static bool restore(const OutboxContent *content, gpointer data, GError **error) {
  int letters_fd = *(const int *)data;
  if (outbox_file_is_buried(letters_fd, content->id)) return true;
  int fd = outbox_file_open(letters_fd, content->id, O_RDWR | O_CREAT);
  bool ok = fd >= 0 && write_content(fd, content) && fsync(fd) == 0;
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
