// What a crash, or just the end of the program, left: every letter is brought into a phase from
// which it goes on, and files that belong to no letter are removed.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/outbox_letters.h"
#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

// 2020-01-01: a state directory made anew starts beyond every number an older one has given out.
#define NUMBERS_EPOCH 1577836800

typedef struct {
  Outbox *outbox;
  OutboxJournal *journal;
  GHashTable *files;    // int64_t * ids of letters whose files are wanted
  GArray *gone;         // uint64_t ids whose rows are not wanted
  GHashTable *origins;  // char * ids of drops that have a row
  GPtrArray *drafts;    // OutboxLetter *: OPEN, DRAFT or KEPT, decided when all names are known
  GError *error;        // the first of those that rows met
} Recovery;

// False where it is gone. One that cannot be looked at is not gone: `*error`.
static bool find_file(int letters_fd, const OutboxRow *row, uint64_t *size, GError **error) {
  char name[24];
  struct stat status;
  outbox_file_name(row->id, name);
  if (fstatat(letters_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
    *size = (uint64_t)status.st_size;
    return true;
  }
  if (errno == ENOENT)
    g_message("outbox: %s is forgotten, its file is gone", row->name);
  else if (*error == NULL)
    outbox_set_error(error, errno, row->name, g_strerror(errno));
  return false;
}

static void want_file(Recovery *recovery, uint64_t id) {
  int64_t *key = g_new(int64_t, 1);
  *key = (int64_t)id;
  g_hash_table_add(recovery->files, key);
}

// A crash between two renames can leave two rows of one name.
static void link_letter(Outbox *outbox, OutboxLetter *letter) {
  char *name =
      outbox_table_find(outbox->table, letter->row.directory, letter->row.name) == NULL
          ? g_strdup(letter->row.name)
          : outbox_table_free_name(outbox->table, letter->row.directory, letter->row.name, 1);
  g_free(letter->row.name);
  letter->row.name = name;
  outbox_table_link(outbox->table, letter);
}

static OutboxLetter *add_letter(Recovery *recovery, const OutboxRow *stored,
                                const GPtrArray *recipients, uint64_t size) {
  OutboxRow row;
  outbox_row_copy(&row, stored);
  OutboxLetter *letter = outbox_table_add(recovery->outbox->table, &row);
  for (unsigned i = 0; i < recipients->len; i++)
    g_ptr_array_add(letter->recipients, outbox_recipient_copy(g_ptr_array_index(recipients, i)));
  letter->size = size;
  letter->journaled = true;
  letter->revision = letter->synced = 1;
  want_file(recovery, letter->row.id);
  return letter;
}

static void take_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Recovery *recovery = data;
  Outbox *outbox = recovery->outbox;
  uint64_t size;
  if (row->origin != NULL) g_hash_table_add(recovery->origins, g_strdup(row->origin));
  // Without its file, it was removed and only its row was not. One that was sent is only wanted for
  // its copy.
  bool sent = row->phase == OUTBOX_ACCEPTED;
  bool wanted = !sent || (outbox->options.save_copy != NULL && !row->copied);
  if (!wanted || !find_file(outbox->letters_fd, row, &size, &recovery->error)) {
    g_array_append_val(recovery->gone, row->id);
    return;
  }
  OutboxLetter *letter = add_letter(recovery, row, recipients, size);
  if (sent) return;
  link_letter(outbox, letter);
  if (row->phase == OUTBOX_FAILED) {
    if (row->error != NULL) outbox_table_set_note(outbox->table, letter, row->error);
  } else if (outbox_phase_is_waiting(row->phase)) {
    if (row->phase == OUTBOX_SENT_DATA) letter->row.perhaps_sent = true;
    letter->row.phase = OUTBOX_QUEUED;
    outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
  } else {
    g_ptr_array_add(recovery->drafts, letter);
  }
}

static void fail(Outbox *outbox, OutboxLetter *letter, const char *reason) {
  g_autofree char *note = outbox_report(outbox, letter, false, reason, NULL);
  outbox_place_failed(outbox, letter, note);
  g_message("outbox: %s/%s was not sent: see %s%s", OUTBOX_FAILED_NAME, letter->row.name,
            letter->row.name, OUTBOX_ERROR_SUFFIX);
}

// A letter that an editor still holds stays; one whose lock is gone with the crash is not known to
// be finished. Nor is a file that was open: another name makes no letter of it.
static bool decide_draft(Recovery *recovery, OutboxLetter *letter, GError **error) {
  Outbox *outbox = recovery->outbox;
  bool was_open = letter->row.phase == OUTBOX_OPEN && letter->size > 0;
  bool was_kept = letter->row.phase == OUTBOX_KEPT;
  letter->row.phase = OUTBOX_DRAFT;
  if (was_kept) {
    fail(outbox, letter,
         "another program removed it in the moment before mailfs ended, perhaps"
         " only to put another in its place");
  } else if (outbox_is_fit_name(outbox, letter, letter->row.name)) {
    fail(outbox, letter, OUTBOX_UNFINISHED);
  } else if (was_open && letter->row.broken == 0) {
    letter->row.broken = EOWNERDEAD;
  }
  return outbox_journal_put(recovery->journal, &letter->row, letter->recipients, error);
}

static bool reserve_numbers(Recovery *recovery, GError **error) {
  Outbox *outbox = recovery->outbox;
  int64_t seconds = g_get_real_time() / G_USEC_PER_SEC - NUMBERS_EPOCH;
  uint64_t by_time = seconds > 0 ? (uint64_t)seconds << 12 : 1u << 12;
  outbox->next_number = MAX(outbox->next_number, by_time);
  outbox->reserved = outbox->next_number + OUTBOX_NUMBERS_BLOCK;
  return outbox_journal_reserve(recovery->journal, outbox->reserved, error);
}

static bool store_decisions(Recovery *recovery, GError **error) {
  if (!outbox_journal_begin(recovery->journal, true, error)) return false;
  bool ok =
      reserve_numbers(recovery, error) && outbox_journal_drop_contents(recovery->journal, error);
  for (unsigned i = 0; ok && i < recovery->gone->len; i++)
    ok =
        outbox_journal_remove(recovery->journal, g_array_index(recovery->gone, uint64_t, i), error);
  for (unsigned i = 0; ok && i < recovery->drafts->len; i++)
    ok = decide_draft(recovery, g_ptr_array_index(recovery->drafts, i), error);
  if (ok && outbox_journal_commit(recovery->journal, error)) return true;
  outbox_journal_rollback(recovery->journal);
  return false;
}

static bool is_orphan(const Recovery *recovery, const char *name) {
  int64_t id;
  return g_ascii_string_to_signed(name, 10, 0, G_MAXINT64, &id, NULL) &&
         !g_hash_table_contains(recovery->files, &id);
}

// A journal that has never given out a number knows nothing of letters that are there: then it is
// not theirs, and they are left alone.
static bool remove_orphan(Recovery *recovery, const char *name, GError **error) {
  if (recovery->outbox->next_number == 0)
    return outbox_set_error(error, EIO, "letters",
                            "there are letters, but the journal that belongs to them is lost");
  unlinkat(recovery->outbox->letters_fd, name, 0);
  return true;
}

static bool remove_orphans(Recovery *recovery, GError **error) {
  int fd = openat(recovery->outbox->letters_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
  if (directory == NULL)
    return outbox_set_error(error, errno, "letters", "the directory cannot be read");
  const struct dirent *entry;
  bool ok = true;
  while (ok && (entry = readdir(directory)) != NULL)
    ok = !is_orphan(recovery, entry->d_name) || remove_orphan(recovery, entry->d_name, error);
  closedir(directory);
  return ok;
}

static bool load(Recovery *recovery, GError **error) {
  if (!outbox_journal_load(recovery->journal, take_row, recovery, error)) return false;
  if (recovery->error == NULL) return true;
  g_propagate_error(error, g_steal_pointer(&recovery->error));
  return false;
}

bool outbox_recover(Outbox *outbox, OutboxJournal *journal, GError **error) {
  g_autoptr(GHashTable) files = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr(GHashTable) origins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GArray) gone = g_array_new(false, false, sizeof(uint64_t));
  g_autoptr(GPtrArray) drafts = g_ptr_array_new();
  Recovery recovery = {outbox, journal, files, gone, origins, drafts, NULL};
  bool ok = load(&recovery, error) &&
            outbox_journal_numbers(journal, &outbox->next_number, error) &&
            outbox_settle_drops(outbox, origins, error) && remove_orphans(&recovery, error) &&
            store_decisions(&recovery, error);
  if (ok) outbox_files_remove_buried(outbox->letters_fd);
  return ok;
}
