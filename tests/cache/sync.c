// Synchronisation believes what the server says of its messages in whatever order, as often and as
// sparsely as it says it: duplicates are one, updates in between change nothing but flags, a
// message of which nothing is told is still shown, and an update that breaks off changes no
// listing.

#include "cache/sync.h"

#include <string.h>

#include "net/error.h"
#include "scratch.h"

// A server that answers from a table of rows.
typedef struct {
  uint32_t uid;
  const char *flags;
  const char *subject;  // NULL: nothing but flags is told
} Row;

typedef struct {
  Mailbox base;
  const Row *rows;
  size_t n_rows;
  const MailboxMessage *pieces;  // told as they stand, before the rows
  size_t n_pieces;
  const Row *again;  // told instead of the rows by the second update
  size_t n_again;
  unsigned n_updates;
  uint32_t n_uncounted;  // came after the server had said how many there are
  uint32_t known_count;  // as the last update was told
  uint32_t generated;    // besides: UIDs 1 to this, each with a subject
  int fail_code;         // after the rows, -1: never
  MailboxStatus status;
} TableMailbox;

static bool tell(const Row *row, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *update, GError **error) {
  MailboxMessage message = {.uid = row->uid, .flags = row->flags, .internaldate = -1, .size = -1};
  bool is_new = row->uid > known->last_uid;
  if (row->subject != NULL && is_new) {
    message.internaldate = 0;
    message.size = 100;
    message.subject = row->subject;
    message.message_id = row->subject;
  }
  if (!is_new) uid_set_add(update->present, row->uid);
  return funcs->message(&message, funcs->data, error);
}

static bool table_update(Mailbox *mailbox, const MailboxKnown *known,
                         const MailboxUpdateFuncs *funcs, MailboxUpdate *update, GError **error) {
  TableMailbox *table = (TableMailbox *)mailbox;
  bool is_again = ++table->n_updates == 2 && table->again != NULL;
  table->known_count = known->count;
  const Row *rows = is_again ? table->again : table->rows;
  update->status = table->status;
  update->is_present_told = true;
  if (known->uidvalidity != 0 && known->uidvalidity != table->status.uidvalidity) return true;
  for (size_t i = 0; i < table->n_pieces; i++) {
    if (!funcs->message(&table->pieces[i], funcs->data, error)) return false;
  }
  for (size_t i = 0; i < (is_again ? table->n_again : table->n_rows); i++) {
    if (!tell(&rows[i], known, funcs, update, error)) return false;
  }
  for (uint32_t uid = 1; uid <= table->generated; uid++) {
    Row row = {uid, "", "generated"};
    if (!tell(&row, known, funcs, update, error)) return false;
  }
  if (table->fail_code < 0) return true;
  g_set_error(error, NET_ERROR, table->fail_code, "the update breaks off");
  return false;
}

typedef struct {
  char *directory;
  Index *index;
  uint64_t inbox;
  uint32_t uidvalidity;
  TableMailbox table;
} Fixture;

static void ignore_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {}
static void ignore_added(uint64_t parent, uint64_t ino, const char *name, gpointer data) {}
static void ignore_changed(uint64_t folder, gpointer data) {}

static void set_up(Fixture *fixture, gconstpointer data) {
  static const MailboxOps ops = {.update = table_update};
  fixture->directory = g_dir_make_tmp("mailfs-sync-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_assert_true(index_create(path, "alice@example.org", NULL));
  fixture->index = index_open(path, INDEX_WRITE, NULL);
  fixture->table = (TableMailbox){.base.ops = &ops, .fail_code = -1};
  MailboxFolder inbox = {.name = "INBOX", .delimiter = '/'};
  const IndexListener nobody = {ignore_removed, ignore_added, ignore_changed, NULL};
  index_begin(fixture->index, NULL);
  index_begin_tree(fixture->index, NULL);
  index_put_folder(fixture->index, &inbox, NULL, NULL);
  index_end_tree(fixture->index, 1, &nobody, NULL);
  g_assert_true(index_commit(fixture->index, NULL));
  Inode inode;
  g_assert_cmpint(index_lookup(fixture->index, INODE_ROOT, "INBOX", &inode), ==, INDEX_FOUND);
  fixture->inbox = inode.ino;
  fixture->uidvalidity = 7;
}

static void tear_down(Fixture *fixture, gconstpointer data) {
  index_free(fixture->index);
  scratch_remove(fixture->directory);
  g_free(fixture->directory);
}

// Returns the removed names and, if the listing changed, a `*`; "!" if it failed.
static char *run(Fixture *fixture, const Row *rows, size_t n_rows, uint32_t uidnext) {
  g_autoptr(Changes) changes = changes_new();
  g_auto(IndexFolder) folder = {0};
  fixture->table.rows = rows;
  fixture->table.n_rows = n_rows;
  fixture->table.status = (MailboxStatus){
      .uidvalidity = fixture->uidvalidity,
      .uidnext = uidnext,
      .exists = (uint32_t)n_rows + fixture->table.generated - fixture->table.n_uncounted,
  };
  index_folder(fixture->index, fixture->inbox, &folder);
  if (!sync_folder(fixture->index, &fixture->table.base, true, &folder, NULL, changes, NULL))
    return g_strdup("!");
  GString *text = g_string_new(NULL);
  unsigned n;
  const ChangesName *removed = changes_removed(changes, &n);
  for (unsigned i = 0; i < n; i++)
    g_string_append_printf(text, "-%s ", removed[i].name);
  changes_folders(changes, &n);
  g_string_append(text, n > 0 ? "*" : "");
  return g_string_free(text, FALSE);
}

static bool append_uid(const Inode *inode, gpointer text) {
  g_string_append_printf(text, "%s ", strrchr(inode->name, ',') + 1);
  return true;
}

static char *shown(Fixture *fixture) {
  GString *text = g_string_new(NULL);
  index_children(fixture->index, fixture->inbox, 0, append_uid, text);
  return g_string_free(text, FALSE);
}

static void assert_run(Fixture *fixture, const Row *rows, size_t n_rows, uint32_t uidnext,
                       const char *changes, const char *listing) {
  g_autofree char *seen = run(fixture, rows, n_rows, uidnext), *now = shown(fixture);
  g_assert_cmpstr(seen, ==, changes);
  g_assert_cmpstr(now, ==, listing);
}

static uint64_t ino_of(Fixture *fixture, const char *name) {
  Inode inode;
  return index_lookup(fixture->index, fixture->inbox, name, &inode) == INDEX_FOUND ? inode.ino : 0;
}

static void test_any_order(Fixture *fixture, gconstpointer data) {
  static const Row rows[] = {{9, "", "nine"}, {2, "\\Seen", NULL}, {2, "", "two"},
                             {9, "", "nine"}, {4, "", NULL},       {2, "\\Seen", "two"}};
  assert_run(fixture, rows, G_N_ELEMENTS(rows), 10, "*", "9.eml 2.eml 4.eml ");
  assert_run(fixture, rows, G_N_ELEMENTS(rows), 10, "", "9.eml 2.eml 4.eml ");
}

// A message of which only the flags were told, since it came and was flagged while the rest was
// told, is asked for once more: then it gets the name that it will have for ever. One that comes in
// the meantime is the next listing's; and that the flags of a known one change costs nothing.
static void test_flagged_meanwhile(Fixture *fixture, gconstpointer data) {
  static const Row first[] = {{1, "", "one"}, {2, "", "two"}, {1, "\\Seen", NULL}};
  static const Row second[] = {{1, "\\Seen", "one"}, {2, "", "two"}, {4, "\\Seen", NULL}};
  static const Row again[] = {
      {1, "", "one"}, {2, "", "two"}, {4, "\\Seen", "four"}, {5, "\\Seen", NULL}};
  static const Row third[] = {{1, "", "one"}, {2, "", "two"}, {4, "", "four"}, {5, "", "five"}};
  assert_run(fixture, first, 3, 3, "*", "1.eml 2.eml ");
  g_assert_cmpuint(fixture->table.n_updates, ==, 1);
  fixture->table.n_updates = 0;
  fixture->table.again = again;
  fixture->table.n_again = G_N_ELEMENTS(again);
  assert_run(fixture, second, 3, 5, "*", "1.eml 2.eml 4.eml ");
  g_assert_cmpuint(fixture->table.n_updates, ==, 2);
  g_assert_cmpuint(ino_of(fixture, "1970-01-01_0000_unknown_four,4.eml"), !=, 0);
  fixture->table.again = NULL;
  assert_run(fixture, third, 4, 6, "*", "1.eml 2.eml 4.eml 5.eml ");
  g_assert_cmpuint(ino_of(fixture, "1970-01-01_0000_unknown_five,5.eml"), !=, 0);
}

// One message in several responses, an update of another in between: all of it counts, the first
// of what is told twice, and the last flags.
static void test_pieces(Fixture *fixture, gconstpointer data) {
  static const MailboxMessage pieces[] = {
      {.uid = 1, .internaldate = -1, .size = 100},
      {.uid = 1, .internaldate = 60, .size = -1, .flags = "\\Draft"},
      {.uid = 9, .internaldate = -1, .size = -1, .flags = "\\Seen"},
      {.uid = 1, .internaldate = 120, .size = -1, .subject = "one", .from_name = "Alice"},
      {.uid = 1, .internaldate = -1, .size = -1, .flags = "\\Seen"},
      {.uid = 9, .internaldate = 60, .size = 200, .subject = "nine"},
  };
  fixture->table.pieces = pieces;
  fixture->table.n_pieces = G_N_ELEMENTS(pieces);
  fixture->table.generated = 0;
  g_autoptr(Changes) changes = changes_new();
  g_auto(IndexFolder) folder = {0};
  fixture->table.status = (MailboxStatus){.uidvalidity = 7, .uidnext = 10, .exists = 2};
  index_folder(fixture->index, fixture->inbox, &folder);
  g_assert_true(
      sync_folder(fixture->index, &fixture->table.base, true, &folder, NULL, changes, NULL));

  Inode inode;
  g_assert_cmpint(
      index_lookup(fixture->index, fixture->inbox, "1970-01-01_0001_Alice_one,1.eml", &inode), ==,
      INDEX_FOUND);
  g_assert_cmpuint(inode.size, ==, 100);
  g_autofree char *flags = NULL;
  g_assert_cmpint(index_detail(fixture->index, inode.ino, INDEX_FLAGS, &flags), ==, INDEX_FOUND);
  g_assert_cmpstr(flags, ==, "\\Seen");
  g_autofree char *listing = shown(fixture);
  g_assert_cmpstr(listing, ==, "1.eml 9.eml ");
}

// The server is told how many messages are known, which are more than it counted where one came
// while it told them, and of those below a message that is asked for once more.
static void test_known_count(Fixture *fixture, gconstpointer data) {
  static const Row first[] = {{1, "", "one"}, {2, "", "two"}, {3, "", "three"}};
  static const Row second[] = {
      {1, "", "one"}, {3, "", "three"}, {4, "", "four"}, {6, "", NULL}, {8, "", "eight"}};
  static const Row again[] = {{6, "", "six"}, {8, "", "eight"}};
  fixture->table.n_uncounted = 1;
  assert_run(fixture, first, 3, 4, "*", "1.eml 2.eml 3.eml ");
  assert_run(fixture, first, 3, 4, "", "1.eml 2.eml 3.eml ");
  g_assert_cmpuint(fixture->table.known_count, ==, 3);
  fixture->table.n_updates = 0;
  fixture->table.again = again;
  fixture->table.n_again = G_N_ELEMENTS(again);
  assert_run(fixture, second, 5, 9, "-1970-01-01_0000_unknown_two,2.eml *",
             "1.eml 3.eml 4.eml 8.eml 6.eml ");
  g_assert_cmpuint(fixture->table.n_updates, ==, 2);
  g_assert_cmpuint(fixture->table.known_count, ==, 4);
}

static void test_incremental(Fixture *fixture, gconstpointer data) {
  static const Row first[] = {{1, "", "one"}, {2, "", "two"}, {3, "", "three"}};
  static const Row second[] = {{1, "", "one"}, {3, "\\Seen", "three"}, {7, "", "seven"}};
  assert_run(fixture, first, 3, 4, "*", "1.eml 2.eml 3.eml ");
  assert_run(fixture, second, 3, 8, "-1970-01-01_0000_unknown_two,2.eml *", "1.eml 3.eml 7.eml ");
  // A server that does not tell UIDNEXT is asked all the same.
  static const Row third[] = {{1, "", "one"}, {3, "", "three"}, {7, "", "seven"}, {8, "", "x"}};
  assert_run(fixture, third, 4, 0, "*", "1.eml 3.eml 7.eml 8.eml ");
  assert_run(fixture, third, 0, 9,
             "-1970-01-01_0000_unknown_one,1.eml -1970-01-01_0000_unknown_three,3.eml "
             "-1970-01-01_0000_unknown_seven,7.eml -1970-01-01_0000_unknown_x,8.eml *",
             "");
}

// Nothing of an update that broke off is seen, and what it left is no part of the next.
static void test_broken_off(Fixture *fixture, gconstpointer data) {
  static const Row first[] = {{1, "", "one"}};
  static const Row second[] = {{1, "", "one"}, {2, "", "two"}};
  assert_run(fixture, first, 1, 2, "*", "1.eml ");
  fixture->table.generated = 0;
  fixture->table.fail_code = NET_ERROR_OFFLINE;
  assert_run(fixture, second, 2, 3, "!", "1.eml ");
  fixture->table.fail_code = -1;
  assert_run(fixture, second, 2, 3, "*", "1.eml 2.eml ");
}

// More than a batch, and a first listing that breaks off after several.
static void test_batches(Fixture *fixture, gconstpointer data) {
  fixture->table.generated = 1800;
  fixture->table.fail_code = NET_ERROR_OFFLINE;
  assert_run(fixture, NULL, 0, 1801, "!", "");
  Inode inode;
  index_get(fixture->index, fixture->inbox, &inode);
  g_assert_false(inode.listed);
  fixture->table.fail_code = -1;
  g_autofree char *seen = run(fixture, NULL, 0, 1801);
  g_assert_cmpstr(seen, ==, "*");
  g_auto(IndexFolder) folder = {0};
  index_folder(fixture->index, fixture->inbox, &folder);
  g_autoptr(UidSet) uids = index_uids(fixture->index, fixture->inbox, folder.generation, NULL);
  g_assert_cmpuint(uid_set_count(uids), ==, 1800);
}

// UIDs that count backwards under the same UIDVALIDITY are another mailbox.
static void test_backwards(Fixture *fixture, gconstpointer data) {
  static const Row before[] = {{1, "", "one"}, {5, "", "five"}};
  static const Row after[] = {{1, "", "other"}};
  assert_run(fixture, before, 2, 6, "*", "1.eml 5.eml ");
  assert_run(fixture, after, 1, 2,
             "-1970-01-01_0000_unknown_one,1.eml -1970-01-01_0000_unknown_five,5.eml *", "1.eml ");
  Inode inode;
  g_assert_cmpint(
      index_lookup(fixture->index, fixture->inbox, "1970-01-01_0000_unknown_other,1.eml", &inode),
      ==, INDEX_FOUND);
}

// `bytes` stands for all the bytes that it has.
static void put_body(Fixture *fixture, uint64_t ino, uint8_t bytes) {
  const uint8_t sha256[32] = {bytes};
  index_begin(fixture->index, NULL);
  g_assert_true(index_set_body(fixture->index, ino, 100, sha256, true, false, 1, NULL));
  index_commit(fixture->index, NULL);
}

static bool has_body(Fixture *fixture, uint64_t ino, uint32_t uid) {
  IndexMessage message;
  g_assert_cmpint(index_message(fixture->index, ino, &message), ==, INDEX_FOUND);
  g_assert_cmpuint(message.uid, ==, uid);
  return message.has_body;
}

// Messages of a renumbered folder are known again: they keep inode, name and body. Of those that
// look the same nobody knows which is which, so they are new ones; a new message whose UID another
// one is called by gets a name of its own.
static void test_renumbered(Fixture *fixture, gconstpointer data) {
  static const Row before[] = {{1, "", "one"}, {2, "", "twin"}, {3, "", "twin"}, {4, "", "four"}};
  static const Row after[] = {
      {1, "", "four"}, {2, "\\Seen", "one"}, {3, "", "new"}, {8, "", "twin"}, {9, "", "twin"}};
  assert_run(fixture, before, 4, 5, "*", "1.eml 2.eml 3.eml 4.eml ");
  uint64_t one = ino_of(fixture, "1970-01-01_0000_unknown_one,1.eml");
  uint64_t twin = ino_of(fixture, "1970-01-01_0000_unknown_twin,2.eml");
  uint64_t four = ino_of(fixture, "1970-01-01_0000_unknown_four,4.eml");
  put_body(fixture, one, 1);
  put_body(fixture, twin, 2);
  fixture->uidvalidity = 8;
  assert_run(fixture, after, 5, 10,
             "-1970-01-01_0000_unknown_twin,2.eml -1970-01-01_0000_unknown_twin,3.eml *",
             "1.eml 4.eml 3.eml 8.eml 9.eml ");
  g_assert_cmpuint(ino_of(fixture, "1970-01-01_0000_unknown_one,1.eml"), ==, one);
  g_assert_cmpuint(ino_of(fixture, "1970-01-01_0000_unknown_four,4.eml"), ==, four);
  g_assert_true(has_body(fixture, one, 2));
  g_assert_false(has_body(fixture, four, 1));
  g_autofree char *flags = NULL;
  index_detail(fixture->index, one, INDEX_FLAGS, &flags);
  g_assert_cmpstr(flags, ==, "\\Seen");

  // Later arrivals, too, are told apart, and all of it is the same after another renumbering.
  static const Row later[] = {{1, "", "four"}, {2, "", "one"},  {3, "", "new"},
                              {8, "", "twin"}, {9, "", "twin"}, {10, "", "ten"}};
  assert_run(fixture, later, 6, 11, "*", "1.eml 4.eml 3.eml 8.eml 9.eml 10.eml ");
  fixture->uidvalidity = 9;
  static const Row again[] = {{5, "", "ten"}, {10, "", "other"}, {11, "", "one"}};
  g_autofree char *seen = run(fixture, again, 3, 12), *now = shown(fixture);
  g_assert_nonnull(strstr(seen, "-1970-01-01_0000_unknown_four,4.eml "));
  g_assert_cmpstr(now, ==, "1.eml 10.eml 10-9.eml ");
}

// Messages that look the same are taken for what they were only where it does not matter which is
// which: all of them were read, all had the same bytes, and there are as many as before. None of
// the others gets the name of one that it may not be.
static void test_renumbered_alike(Fixture *fixture, gconstpointer data) {
  static const Row before[] = {{1, "", "a"}, {2, "", "a"}, {3, "", "b"}, {4, "", "b"},
                               {5, "", "c"}, {6, "", "c"}, {7, "", "d"}, {8, "", "d"}};
  static const Row after[] = {{11, "", "a"}, {12, "", "a"}, {13, "", "b"}, {14, "", "b"},
                              {5, "", "c"},  {17, "", "d"}, {18, "", "d"}};
  static const uint8_t bytes[] = {1, 1, 2, 3, 4, 4, 5};
  assert_run(fixture, before, 8, 9, "*", "1.eml 2.eml 3.eml 4.eml 5.eml 6.eml 7.eml 8.eml ");
  for (size_t i = 0; i < G_N_ELEMENTS(bytes); i++) {
    g_autofree char *name =
        g_strdup_printf("1970-01-01_0000_unknown_%s,%zu.eml", before[i].subject, i + 1);
    put_body(fixture, ino_of(fixture, name), bytes[i]);
  }
  fixture->uidvalidity = 8;
  g_free(run(fixture, after, 7, 19));
  g_autofree char *now = shown(fixture);
  g_assert_cmpstr(now, ==, "1.eml 2.eml 13.eml 14.eml 5-8.eml 17.eml 18.eml ");
  g_assert_true(has_body(fixture, ino_of(fixture, "1970-01-01_0000_unknown_a,2.eml"), 12));
  g_assert_false(has_body(fixture, ino_of(fixture, "1970-01-01_0000_unknown_b,13.eml"), 13));
}

// With names=uid the kept name leads to the message, and its new UID does not.
static void test_renumbered_uid_names(Fixture *fixture, gconstpointer data) {
  static const Row before[] = {{1, "", "one"}, {2, "", "two"}};
  static const Row after[] = {{1, "", "two"}, {7, "", "one"}, {8, "", "new"}};
  index_use_uid_names(fixture->index);
  g_free(run(fixture, before, 2, 3));
  uint64_t one = ino_of(fixture, "1.eml"), two = ino_of(fixture, "2.eml");
  fixture->uidvalidity = 8;
  g_free(run(fixture, after, 3, 9));
  g_assert_cmpuint(ino_of(fixture, "1.eml"), ==, one);
  g_assert_cmpuint(ino_of(fixture, "2.eml"), ==, two);
  g_assert_cmpuint(ino_of(fixture, "7.eml"), ==, 0);
  g_assert_cmpuint(ino_of(fixture, "8.eml"), >, two);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(Fixture *fixture, gconstpointer data);
  } tests[] = {
      {"/sync/any-order", test_any_order},
      {"/sync/flagged-meanwhile", test_flagged_meanwhile},
      {"/sync/pieces", test_pieces},
      {"/sync/known-count", test_known_count},
      {"/sync/incremental", test_incremental},
      {"/sync/broken-off", test_broken_off},
      {"/sync/batches", test_batches},
      {"/sync/backwards", test_backwards},
      {"/sync/renumbered", test_renumbered},
      {"/sync/renumbered-alike", test_renumbered_alike},
      {"/sync/renumbered-uid-names", test_renumbered_uid_names},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run();
}
