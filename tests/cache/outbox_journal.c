// Claim: the journal gives back exactly what was stored, a transaction whole or not at all, and it
// never touches a file that is no journal of its own.
#include "cache/outbox_journal.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/outbox.h"

typedef struct {
  char *directory, *path;
  OutboxJournal *journal;
} Fixture;

static void open_journal(Fixture *fixture) {
  g_autoptr(GError) error = NULL;
  fixture->journal = outbox_journal_open(fixture->path, &error);
  g_assert_no_error(error);
}

static void set_up(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  fixture->directory = g_dir_make_tmp("mailfs-journal-XXXXXX", &error);
  g_assert_no_error(error);
  fixture->path = g_build_filename(fixture->directory, "outbox.db", NULL);
  open_journal(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
  outbox_journal_free(fixture->journal);
  remove(fixture->path);
  g_assert_cmpint(remove(fixture->directory), ==, 0);
  g_free(fixture->path);
  g_free(fixture->directory);
}

static char *addressees[] = {(char *)"b@example.org", (char *)"a@example.org", NULL};
static const OutboxRow full_row = {
    .id = 7,
    .ino = (1ull << 52) + 14,
    .directory = (1ull << 52) + 2,
    .name = (char *)"entw\xc3\xbcrfe, \"quoted\"",
    .phase = OUTBOX_HELD,
    .mode = 0640,
    .atime_ns = -1,
    .mtime_ns = INT64_MAX,
    .ctime_ns = 3,
    .queued_at = 4,
    .attempts = 5,
    .next_try = 6,
    .message_id = (char *)"id@example.org",
    .from = (char *)"me@example.org",
    .date = 8,
    .error = (char *)"words\nof two lines",
    .broken = ENOSPC,
    .perhaps_sent = true,
    .accepted_at = 9,
    .envelope = {.from = (char *)"",
                 .recipients = addressees,
                 .notify = (char *)"SUCCESS,DELAY",
                 .ret = (char *)"HDRS",
                 .envid = (char *)"x1"},
    .origin = (char *)"drop-1",
};

static GPtrArray *recipients_of(const char *address, int verdict) {
  GPtrArray *recipients = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  g_ptr_array_add(recipients, outbox_recipient_new(address, verdict, "250 ok"));
  return recipients;
}

static void put(Fixture *fixture, const OutboxRow *row, GPtrArray *recipients) {
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_journal_begin(fixture->journal, true, &error));
  g_assert_true(outbox_journal_put(fixture->journal, row, recipients, &error));
  g_assert_true(outbox_journal_commit(fixture->journal, &error));
}

typedef struct {
  unsigned rows;
  OutboxRow row;  // the last
  GPtrArray *recipients;
} Found;

static void keep_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Found *found = data;
  outbox_row_clear(&found->row);
  g_clear_pointer(&found->recipients, g_ptr_array_unref);
  outbox_row_copy(&found->row, row);
  found->recipients = g_ptr_array_ref(recipients);
  found->rows++;
}

static void load(Fixture *fixture, Found *found) {
  g_autoptr(GError) error = NULL;
  *found = (Found){0};
  g_assert_true(outbox_journal_load(fixture->journal, keep_row, found, &error));
}

static void found_clear(Found *found) {
  outbox_row_clear(&found->row);
  g_clear_pointer(&found->recipients, g_ptr_array_unref);
}

static void assert_rows_equal(const OutboxRow *a, const OutboxRow *b) {
  g_assert_cmpuint(a->id, ==, b->id);
  g_assert_cmpuint(a->ino, ==, b->ino);
  g_assert_cmpuint(a->directory, ==, b->directory);
  g_assert_cmpstr(a->name, ==, b->name);
  g_assert_cmpint(a->phase, ==, b->phase);
  g_assert_cmpuint(a->mode, ==, b->mode);
  g_assert_cmpint(a->atime_ns, ==, b->atime_ns);
  g_assert_cmpint(a->mtime_ns, ==, b->mtime_ns);
  g_assert_cmpint(a->ctime_ns, ==, b->ctime_ns);
  g_assert_cmpint(a->queued_at, ==, b->queued_at);
  g_assert_cmpuint(a->attempts, ==, b->attempts);
  g_assert_cmpint(a->next_try, ==, b->next_try);
  g_assert_cmpstr(a->message_id, ==, b->message_id);
  g_assert_cmpstr(a->from, ==, b->from);
  g_assert_cmpint(a->date, ==, b->date);
  g_assert_cmpstr(a->error, ==, b->error);
  g_assert_cmpint(a->broken, ==, b->broken);
  g_assert_cmpint(a->accepted_at, ==, b->accepted_at);
  g_assert_cmpint(a->perhaps_sent, ==, b->perhaps_sent);
  g_assert_cmpstr(a->envelope.from, ==, b->envelope.from);
  g_assert_cmpstr(a->envelope.notify, ==, b->envelope.notify);
  g_assert_cmpstr(a->envelope.ret, ==, b->envelope.ret);
  g_assert_cmpstr(a->envelope.envid, ==, b->envelope.envid);
  g_assert_cmpstr(a->origin, ==, b->origin);
  g_assert_true((a->envelope.recipients == NULL) == (b->envelope.recipients == NULL));
  if (a->envelope.recipients != NULL)
    g_assert_cmpstrv(a->envelope.recipients, b->envelope.recipients);
}

static void test_round_trip(Fixture *fixture, gconstpointer unused) {
  const OutboxRow bare = {.id = 8, .ino = (1ull << 52) + 16, .name = (char *)"", .phase = 1};
  g_autoptr(GPtrArray) recipients = recipients_of("bob@example.org", 2);
  put(fixture, &full_row, recipients);
  outbox_journal_free(fixture->journal);
  open_journal(fixture);
  Found found;
  load(fixture, &found);
  g_assert_cmpuint(found.rows, ==, 1);
  assert_rows_equal(&found.row, &full_row);
  g_assert_cmpuint(found.recipients->len, ==, 1);
  const OutboxRecipient *recipient = g_ptr_array_index(found.recipients, 0);
  g_assert_cmpstr(recipient->address, ==, "bob@example.org");
  g_assert_cmpint(recipient->verdict, ==, 2);
  g_assert_cmpstr(recipient->reply, ==, "250 ok");
  found_clear(&found);
  put(fixture, &bare, NULL);
  load(fixture, &found);
  g_assert_cmpuint(found.rows, ==, 2);
  assert_rows_equal(&found.row, &bare);
  g_assert_cmpuint(found.recipients->len, ==, 0);
  found_clear(&found);
}

// A relabelling leaves alone what the courier may be writing; a put replaces all.
static void test_relabel_and_advance(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) bob = recipients_of("bob@example.org", 0);
  g_autoptr(GPtrArray) carol = recipients_of("carol@example.org", 0);
  put(fixture, &full_row, bob);
  OutboxRow relabelled = full_row;
  relabelled.name = (char *)"mail+1";
  relabelled.phase = OUTBOX_QUEUED;
  g_assert_true(outbox_journal_begin(fixture->journal, false, &error));
  g_assert_true(outbox_journal_advance(fixture->journal, 7, OUTBOX_SENT_DATA, carol, &error));
  g_assert_true(outbox_journal_relabel(fixture->journal, &relabelled, &error));
  g_assert_true(outbox_journal_commit(fixture->journal, &error));
  Found found;
  load(fixture, &found);
  relabelled.phase = OUTBOX_SENT_DATA;
  assert_rows_equal(&found.row, &relabelled);
  g_assert_cmpuint(found.recipients->len, ==, 2);
  found_clear(&found);
  put(fixture, &full_row, carol);
  load(fixture, &found);
  g_assert_cmpuint(found.recipients->len, ==, 1);
  found_clear(&found);
}

static void test_rollback(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  put(fixture, &full_row, NULL);
  g_assert_true(outbox_journal_begin(fixture->journal, true, &error));
  g_assert_true(outbox_journal_remove(fixture->journal, 7, &error));
  g_assert_true(outbox_journal_reserve(fixture->journal, 1000, &error));
  outbox_journal_rollback(fixture->journal);
  Found found;
  load(fixture, &found);
  g_assert_cmpuint(found.rows, ==, 1);
  found_clear(&found);
  uint64_t next;
  g_assert_true(outbox_journal_numbers(fixture->journal, &next, &error));
  g_assert_cmpuint(next, ==, 0);
}

static void test_remove_and_reserve(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) recipients = recipients_of("bob@example.org", 0);
  put(fixture, &full_row, recipients);
  g_assert_cmpuint(outbox_journal_count(fixture->path), ==, 1);
  g_assert_true(outbox_journal_begin(fixture->journal, true, &error));
  g_assert_true(outbox_journal_remove(fixture->journal, 7, &error));
  g_assert_true(outbox_journal_reserve(fixture->journal, 1000, &error));
  g_assert_true(outbox_journal_reserve(fixture->journal, 10, &error));
  g_assert_true(outbox_journal_commit(fixture->journal, &error));
  g_assert_cmpuint(outbox_journal_count(fixture->path), ==, 0);
  uint64_t next;
  g_assert_true(outbox_journal_numbers(fixture->journal, &next, &error));
  g_assert_cmpuint(next, ==, 1000);
  put(fixture, &full_row, NULL);
  Found found;
  load(fixture, &found);
  g_assert_cmpuint(found.recipients->len, ==, 0);
  found_clear(&found);
}

static bool take_content(const OutboxContent *content, gpointer data, GError **error) {
  g_string_append_printf(data, "%" G_GUINT64_FORMAT " %d %.*s;", content->id, content->phase,
                         (int)content->size, (const char *)content->bytes);
  return true;
}

static void assert_contents(Fixture *fixture, const char *want) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) found = g_string_new(NULL);
  g_assert_true(outbox_journal_each_content(fixture->journal, take_content, found, &error));
  g_assert_cmpstr(found->str, ==, want);
}

static void put_content(Fixture *fixture, const char *bytes) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) content = g_bytes_new_static(bytes, strlen(bytes));
  g_assert_true(outbox_journal_put_content(fixture->journal, 7, content, &error));
}

// A letter has one content, which goes with its row.
static void test_contents(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  put(fixture, &full_row, NULL);
  put_content(fixture, "one");
  put_content(fixture, "two");
  put(fixture, &full_row, NULL);
  assert_contents(fixture, "7 3 two;");
  g_assert_true(outbox_journal_drop_content(fixture->journal, 7, &error));
  assert_contents(fixture, "");
  put_content(fixture, "three");
  g_assert_true(outbox_journal_remove(fixture->journal, 7, &error));
  put(fixture, &full_row, NULL);
  assert_contents(fixture, "");
  put_content(fixture, "four");
  g_assert_true(outbox_journal_drop_contents(fixture->journal, &error));
  assert_contents(fixture, "");
}

static void copy_journal(const char *from, const char *to) {
  static const char *const suffixes[] = {"", "-wal"};
  for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
    g_autofree char *source = g_strconcat(from, suffixes[i], NULL);
    g_autofree char *target = g_strconcat(to, suffixes[i], NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(source, &bytes, &size, NULL));
    g_assert_true(g_file_set_contents(target, bytes, (gssize)size, NULL));
  }
}

// Deleted bytes are overwritten when the journal is closed, not before.
static void test_deleted(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  put(fixture, &full_row, NULL);
  g_autofree char *secret = g_strnfill(500, 'S');
  put_content(fixture, secret);
  g_assert_true(outbox_journal_drop_content(fixture->journal, 7, &error));
  outbox_journal_free(fixture->journal);
  g_autofree char *bytes = NULL;
  gsize size;
  g_assert_true(g_file_get_contents(fixture->path, &bytes, &size, NULL));
  g_assert_null(memmem(bytes, size, "SSSSSSSS", 8));
  g_assert_nonnull(memmem(bytes, size, "id@example.org", 14));
  open_journal(fixture);
}

static goffset log_size(const Fixture *fixture) {
  g_autofree char *path = g_strconcat(fixture->path, "-wal", NULL);
  struct stat status;
  return stat(path, &status) == 0 ? status.st_size : 0;
}

// The log gets longer once for many commits, also for those beyond a checkpoint, and a start that
// finds it longer than it is reads all that there is.
static void test_room(Fixture *fixture, gconstpointer unused) {
  unsigned longer = 0;
  goffset size = 0;
  for (unsigned i = 0; i < 600; i++) {
    OutboxRow row = full_row;
    row.id = row.ino = i;
    put(fixture, &row, NULL);
    longer += log_size(fixture) > size;
    size = log_size(fixture);
  }
  g_assert_cmpuint(longer, <=, 10);
  g_autofree char *left = g_strconcat(fixture->path, "-left", NULL);
  copy_journal(fixture->path, left);
  outbox_journal_free(fixture->journal);
  g_autoptr(GError) error = NULL;
  fixture->journal = outbox_journal_open(left, &error);
  g_assert_no_error(error);
  Found found;
  load(fixture, &found);
  g_assert_cmpuint(found.rows, ==, 600);
  found_clear(&found);
  outbox_journal_free(fixture->journal);
  remove(left);
  open_journal(fixture);
}

static void run_sql(const char *path, const char *sql) {
  sqlite3 *database;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_exec(database, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close(database);
}

static void assert_left_alone(Fixture *fixture) {
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  size_t size_before, size_after;
  g_assert_true(g_file_get_contents(fixture->path, &before, &size_before, NULL));
  g_autoptr(GError) error = NULL;
  g_assert_null(outbox_journal_open(fixture->path, &error));
  g_assert_error(error, OUTBOX_ERROR, EIO);
  g_assert_true(g_file_get_contents(fixture->path, &after, &size_after, NULL));
  g_assert_cmpmem(before, size_before, after, size_after);
}

static void test_foreign(Fixture *fixture, gconstpointer unused) {
  g_clear_pointer(&fixture->journal, outbox_journal_free);
  run_sql(fixture->path, "PRAGMA user_version = 5");
  assert_left_alone(fixture);
  remove(fixture->path);
  run_sql(fixture->path, "CREATE TABLE other (x)");
  assert_left_alone(fixture);
  g_assert_true(g_file_set_contents(fixture->path, "a text", -1, NULL));
  assert_left_alone(fixture);
  remove(fixture->path);
  open_journal(fixture);
}

// A file that was made but not yet written to, by a crash, is a new journal.
static void test_empty_file(Fixture *fixture, gconstpointer unused) {
  g_clear_pointer(&fixture->journal, outbox_journal_free);
  g_assert_true(g_file_set_contents(fixture->path, "", 0, NULL));
  open_journal(fixture);
  put(fixture, &full_row, NULL);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/journal/round trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add("/outbox/journal/relabel and advance", Fixture, NULL, set_up, test_relabel_and_advance,
             tear_down);
  g_test_add("/outbox/journal/rollback", Fixture, NULL, set_up, test_rollback, tear_down);
  g_test_add("/outbox/journal/remove and reserve", Fixture, NULL, set_up, test_remove_and_reserve,
             tear_down);
  g_test_add("/outbox/journal/contents", Fixture, NULL, set_up, test_contents, tear_down);
  g_test_add("/outbox/journal/deleted", Fixture, NULL, set_up, test_deleted, tear_down);
  g_test_add("/outbox/journal/room", Fixture, NULL, set_up, test_room, tear_down);
  g_test_add("/outbox/journal/foreign", Fixture, NULL, set_up, test_foreign, tear_down);
  g_test_add("/outbox/journal/empty file", Fixture, NULL, set_up, test_empty_file, tear_down);
  return g_test_run();
}
