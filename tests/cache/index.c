// The index shows a listing whole or not at all, pages it exactly while it changes, never gives an
// inode number twice, and gives every folder of the server a name of its own.

#include "cache/index.h"

#include <glib/gstdio.h>
#include <string.h>

#include "scratch.h"

typedef struct {
  char *directory, *path;
  Index *writer, *reader;
  const char *reserved;
} Fixture;

static void open_both(Fixture *fixture) {
  g_autoptr(GError) error = NULL;
  g_assert_true(index_create(fixture->path, "alice@example.org", &error));
  g_assert_no_error(error);
  fixture->writer = index_open(fixture->path, INDEX_WRITE, NULL);
  fixture->reader = index_open(fixture->path, INDEX_READ, NULL);
}

static void close_both(Fixture *fixture) {
  g_clear_pointer(&fixture->writer, index_free);
  g_clear_pointer(&fixture->reader, index_free);
}

static void set_up(Fixture *fixture, gconstpointer data) {
  fixture->directory = g_dir_make_tmp("mailfs-index-XXXXXX", NULL);
  fixture->path = g_build_filename(fixture->directory, "index.db", NULL);
  fixture->reserved = "outbox";
  open_both(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
  close_both(fixture);
  scratch_remove(fixture->directory);
  g_free(fixture->path);
  g_free(fixture->directory);
}

// What a write told: "-name " for what is gone, "*ino " for a listing that changed.
static void hear_removed(uint64_t parent, uint64_t ino, const char *name, gpointer told) {
  g_string_append_printf(told, "-%s ", name);
}

static void hear_added(uint64_t parent, uint64_t ino, const char *name, gpointer told) {
  g_string_append_printf(told, "+%s ", name);
}

static void hear_changed(uint64_t folder, gpointer told) {
  g_string_append_printf(told, "*%" G_GUINT64_FORMAT " ", folder);
}

// names: server names of folders with delimiter `/`, NULL at the end.
static void ignore_body(uint64_t ino, gpointer data) {}

// The reader is to see what was written.
static bool commit(Fixture *fixture) {
  bool committed = index_commit(fixture->writer, NULL);
  index_refresh(fixture->reader);
  return committed;
}

static char *put_tree(Fixture *fixture, const char *const *names) {
  GString *told = g_string_new(NULL);
  const IndexListener listener = {hear_removed, hear_added, hear_changed, told};
  g_assert_true(index_begin(fixture->writer, NULL));
  g_assert_true(index_begin_tree(fixture->writer, NULL));
  for (; *names != NULL; names++) {
    MailboxFolder folder = {.name = *names, .delimiter = '/'};
    g_assert_true(index_put_folder(fixture->writer, &folder, fixture->reserved, NULL));
  }
  g_assert_true(index_end_tree(fixture->writer, 1, &listener, NULL));
  g_assert_true(commit(fixture));
  return g_string_free(told, FALSE);
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static char *list(Index *index, uint64_t folder) {
  GString *names = g_string_new(NULL);
  g_assert_cmpint(index_children(index, folder, 0, append_name, names), ==, INDEX_FOUND);
  return g_string_free(names, FALSE);
}

static uint64_t child(Fixture *fixture, uint64_t parent, const char *name) {
  Inode inode;
  return index_lookup(fixture->reader, parent, name, &inode) == INDEX_FOUND ? inode.ino : 0;
}

static void test_tree(Fixture *fixture, gconstpointer data) {
  static const char *const first[] = {"inbox",  "Work/2025/Q1", "Work",
                                      "outbox", "a/outbox",     "x,1.eml",
                                      "50%",    "..",           "Entw&APw-rfe/&AOk- &- co",
                                      NULL};
  g_autofree char *told = put_tree(fixture, first);
  g_assert_nonnull(strstr(told, "*1 "));
  g_autofree char *root = list(fixture->reader, INODE_ROOT);
  g_assert_nonnull(strstr(root, "INBOX "));
  g_assert_nonnull(strstr(root, "%6Futbox "));
  g_assert_null(strstr(root, "x,1.eml"));
  g_assert_nonnull(strstr(root, "50%25 "));
  g_assert_nonnull(strstr(root, "%2E. "));
  g_assert_nonnull(strstr(root, "Entwürfe "));
  uint64_t entwuerfe = child(fixture, INODE_ROOT, "Entwürfe");
  g_autofree char *below = list(fixture->reader, entwuerfe);
  g_assert_cmpstr(below, ==, "é & co ");
  g_assert_cmpuint(child(fixture, child(fixture, INODE_ROOT, "a"), "outbox"), !=, 0);

  // A parent that was not listed itself holds no messages; one that was does.
  g_auto(IndexFolder) folder = {0};
  uint64_t work = child(fixture, INODE_ROOT, "Work");
  index_folder(fixture->reader, work, &folder);
  g_assert_cmpuint(folder.attributes, ==, 0);
  g_auto(IndexFolder) middle = {0};
  index_folder(fixture->reader, child(fixture, work, "2025"), &middle);
  g_assert_cmpuint(middle.attributes, ==, MAILBOX_NOSELECT);

  g_autofree char *nothing = put_tree(fixture, first);
  g_assert_cmpstr(nothing, ==, "");
  static const char *const second[] = {"INBOX", "inbox", "Work", NULL};
  g_autofree char *removed = put_tree(fixture, second);
  g_assert_nonnull(strstr(removed, "-2025 "));
  g_assert_cmpuint(child(fixture, INODE_ROOT, "Work"), ==, work);
  g_assert_cmpuint(child(fixture, work, "2025"), ==, 0);
}

// A new folder is told of where it lies, and where the root keeps a name for something else the
// server's folder of that name moves aside, whenever that name comes to be kept.
static void test_told_and_reserved(Fixture *fixture, gconstpointer data) {
  static const char *const first[] = {"Lists", "outbox", NULL};
  static const char *const second[] = {"Lists", "Lists/b", "outbox", NULL};
  fixture->reserved = NULL;
  g_free(put_tree(fixture, first));
  uint64_t lists = child(fixture, INODE_ROOT, "Lists"), box = child(fixture, INODE_ROOT, "outbox");
  g_autofree char *told = put_tree(fixture, second);
  g_autofree char *expected = g_strdup_printf("*%" G_GUINT64_FORMAT " ", lists);
  g_assert_cmpstr(told, ==, expected);
  fixture->reserved = "outbox";
  g_free(put_tree(fixture, second));
  g_assert_cmpuint(child(fixture, INODE_ROOT, "%6Futbox"), ==, box);
  g_assert_cmpuint(child(fixture, INODE_ROOT, "outbox"), ==, 0);
  fixture->reserved = "Lists";
  g_free(put_tree(fixture, second));
  g_assert_cmpuint(child(fixture, INODE_ROOT, "outbox"), ==, box);
  g_assert_cmpuint(child(fixture, INODE_ROOT, "%4Cists"), ==, lists);
}

// Two folders whose names look alike both stay in sight.
static void test_clash(Fixture *fixture, gconstpointer data) {
  static const char *const names[] = {"&AOk-", "\xc3\xa9", "/", "a//b", "INBOX", "Inbox", NULL};
  g_autofree char *told = put_tree(fixture, names);
  g_assert_nonnull(strstr(told, "*1 "));
  g_autofree char *root = list(fixture->reader, INODE_ROOT);
  g_auto(GStrv) shown = g_strsplit(g_strstrip(root), " ", -1);
  g_autoptr(GHashTable) distinct = g_hash_table_new(g_str_hash, g_str_equal);
  for (char **name = shown; *name != NULL; name++) {
    g_assert_cmpuint(strlen(*name), >, 0);
    g_assert_null(strchr(*name, '/'));
    g_assert_true(g_hash_table_add(distinct, *name));
  }
  g_assert_cmpuint(g_strv_length(shown), >=, 6);
}

static uint64_t add(Fixture *fixture, uint64_t folder, uint64_t generation, uint32_t uid) {
  g_autofree char *subject = g_strdup_printf("m%u", uid);
  MailboxMessage message = {
      .uid = uid, .internaldate = 0, .size = 10, .subject = subject, .from_address = "a@b"};
  IndexAddition addition = {.folder = folder, .generation = generation, .now_ns = 1};
  g_assert_true(index_begin_addition(fixture->writer, &addition, NULL));
  g_assert_true(index_add_message(fixture->writer, &addition, &message, NULL));
  // Once more is not twice.
  g_assert_true(index_add_message(fixture->writer, &addition, &message, NULL));
  g_assert_true(index_count_addition(fixture->writer, &addition, NULL));
  return uid;
}

static const MailboxStatus STATUS = {.uidvalidity = 7, .uidnext = 1000000};

// Returns the names that went.
static char *end(Fixture *fixture, uint64_t folder, uint64_t generation) {
  GString *told = g_string_new(NULL);
  const IndexListener listener = {hear_removed, hear_added, hear_changed, told};
  g_assert_true(
      index_end_sync(fixture->writer, folder, generation, &STATUS, true, 1, &listener, NULL));
  g_assert_true(commit(fixture));
  return g_string_free(told, FALSE);
}

static uint64_t make_inbox(Fixture *fixture, uint64_t *generation, uint32_t messages) {
  static const char *const names[] = {"INBOX", NULL};
  g_free(put_tree(fixture, names));
  uint64_t inbox = child(fixture, INODE_ROOT, "INBOX");
  index_begin(fixture->writer, NULL);
  index_new_generation(fixture->writer, inbox, generation, NULL);
  for (uint32_t uid = 1; uid <= messages; uid++)
    add(fixture, inbox, *generation, uid);
  g_free(end(fixture, inbox, *generation));
  return inbox;
}

static void test_generations(Fixture *fixture, gconstpointer data) {
  uint64_t generation, next;
  uint64_t inbox = make_inbox(fixture, &generation, 2);
  g_autofree char *before = list(fixture->reader, inbox);
  g_assert_cmpstr(before, ==, "1970-01-01_0000_a@b_m1,1.eml 1970-01-01_0000_a@b_m2,2.eml ");

  index_begin(fixture->writer, NULL);
  index_new_generation(fixture->writer, inbox, &next, NULL);
  g_assert_cmpuint(next, >, generation);
  add(fixture, inbox, next, 5);
  commit(fixture);
  g_autofree char *during = list(fixture->reader, inbox);
  g_assert_cmpstr(during, ==, before);
  g_assert_cmpuint(child(fixture, inbox, "1970-01-01_0000_a@b_m5,5.eml"), ==, 0);

  index_begin(fixture->writer, NULL);
  g_autofree char *went = end(fixture, inbox, next);
  g_assert_cmpstr(went, ==, "-1970-01-01_0000_a@b_m1,1.eml -1970-01-01_0000_a@b_m2,2.eml ");
  g_autofree char *after = list(fixture->reader, inbox);
  g_assert_cmpstr(after, ==, "1970-01-01_0000_a@b_m5,5.eml ");
  IndexUsage usage;
  index_usage(fixture->reader, &usage);
  g_assert_cmpuint(usage.messages, ==, 1);
  g_assert_cmpuint(usage.used_bytes, ==, 10);
}

// A listing that was broken off leaves nothing to be seen, nor to be counted after the next start.
static void test_broken_off(Fixture *fixture, gconstpointer data) {
  uint64_t generation, next;
  uint64_t inbox = make_inbox(fixture, &generation, 2);
  index_begin(fixture->writer, NULL);
  index_new_generation(fixture->writer, inbox, &next, NULL);
  add(fixture, inbox, next, 3);
  commit(fixture);
  close_both(fixture);
  open_both(fixture);
  index_begin(fixture->writer, NULL);
  g_assert_true(index_purge(fixture->writer, ignore_body, NULL, NULL));
  commit(fixture);
  IndexUsage usage;
  index_usage(fixture->reader, &usage);
  g_assert_cmpuint(usage.messages, ==, 2);
  g_assert_cmpuint(child(fixture, inbox, "1970-01-01_0000_a@b_m2,2.eml"), !=, 0);
}

typedef struct {
  uint64_t last;
  unsigned n, limit;
} Page;

static bool take_page(const Inode *inode, gpointer data) {
  Page *page = data;
  g_assert_cmpuint(inode->ino, >, page->last);
  page->last = inode->ino;
  return ++page->n < page->limit;
}

// Paging meets every message that was there all the time once, whatever comes and goes meanwhile.
static void test_paging(Fixture *fixture, gconstpointer data) {
  uint64_t generation;
  uint64_t inbox = make_inbox(fixture, &generation, 100);
  Page page = {.limit = 10};
  index_children(fixture->reader, inbox, 0, take_page, &page);
  g_assert_cmpuint(page.n, ==, 10);

  UidRange gone = {11, 15};
  index_begin(fixture->writer, NULL);
  g_autoptr(GString) removed = g_string_new(NULL);
  const IndexListener listener = {hear_removed, hear_added, hear_changed, removed};
  g_assert_true(index_remove_range(fixture->writer, inbox, generation, gone, &listener, NULL));
  add(fixture, inbox, generation, 200);
  commit(fixture);
  g_assert_true(g_str_has_prefix(removed->str, "-1970-01-01_0000_a@b_m11,11.eml "));
  page.limit = 1000;
  index_children(fixture->reader, inbox, page.last, take_page, &page);
  g_assert_cmpuint(page.n, ==, 10 + 90 - 5 + 1);
  g_autoptr(UidSet) uids = index_uids(fixture->writer, inbox, generation, NULL);
  g_assert_cmpuint(uid_set_count(uids), ==, 96);
  g_assert_cmpuint(uid_set_last(uids), ==, 200);
}

// Numbers go on where they were, and a new index begins above every number of the old one.
static void test_inodes(Fixture *fixture, gconstpointer data) {
  uint64_t generation;
  uint64_t inbox = make_inbox(fixture, &generation, 3);
  uint64_t last = child(fixture, inbox, "1970-01-01_0000_a@b_m3,3.eml");
  index_begin(fixture->writer, NULL);
  UidRange gone = {3, 3};
  g_autoptr(GString) removed = g_string_new(NULL);
  const IndexListener listener = {hear_removed, hear_added, hear_changed, removed};
  index_remove_range(fixture->writer, inbox, generation, gone, &listener, NULL);
  g_assert_cmpstr(removed->str, ==, "-1970-01-01_0000_a@b_m3,3.eml ");
  g_assert_true(index_purge(fixture->writer, ignore_body, NULL, NULL));
  commit(fixture);
  close_both(fixture);
  open_both(fixture);
  index_begin(fixture->writer, NULL);
  add(fixture, inbox, generation, 4);
  commit(fixture);
  g_assert_cmpuint(child(fixture, inbox, "1970-01-01_0000_a@b_m4,4.eml"), >, last);
  g_assert_cmpuint(last, <, INODE_OUTBOX_BASE);
  close_both(fixture);
  g_assert_cmpint(g_unlink(fixture->path), ==, 0);
  open_both(fixture);
  inbox = make_inbox(fixture, &generation, 1);
  g_assert_cmpuint(inbox, >, last);
}

static void test_uid_names(Fixture *fixture, gconstpointer data) {
  uint64_t generation;
  uint64_t inbox = make_inbox(fixture, &generation, 2);
  index_use_uid_names(fixture->reader);
  g_autofree char *names = list(fixture->reader, inbox);
  g_assert_cmpstr(names, ==, "1.eml 2.eml ");
  g_assert_cmpuint(child(fixture, inbox, "2.eml"), !=, 0);
  static const char *const none[] = {"02.eml", "2.eml.eml",       "+2.eml",
                                     "0.eml",  "99999999999.eml", "1970-01-01_0000_a@b_m2,2.eml"};
  for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
    g_assert_cmpuint(child(fixture, inbox, none[i]), ==, 0);
}

// A size that the server did not tell is never shown as nothing; an exact one is.
static void test_sizes(Fixture *fixture, gconstpointer data) {
  uint64_t generation;
  uint64_t inbox = make_inbox(fixture, &generation, 0);
  MailboxMessage message = {.uid = 9, .internaldate = -1, .size = -1};
  const uint8_t sha256[32] = {0};
  Inode inode;
  index_begin(fixture->writer, NULL);
  IndexAddition addition = {.folder = inbox, .generation = generation, .now_ns = 77};
  index_add_message(fixture->writer, &addition, &message, NULL);
  commit(fixture);
  static const char name[] = "0000-00-00_0000_unknown_no-subject,9.eml";
  g_assert_cmpint(index_lookup(fixture->reader, inbox, name, &inode), ==, INDEX_FOUND);
  g_assert_cmpuint(inode.size, >, 0);
  g_assert_false(inode.size_exact);
  g_assert_cmpint(inode.mtime_ns, ==, 77);
  index_begin(fixture->writer, NULL);
  g_assert_true(index_set_body(fixture->writer, inode.ino, 0, sha256, true, false, 1, NULL));
  commit(fixture);
  index_get(fixture->reader, inode.ino, &inode);
  g_assert_cmpuint(inode.size, ==, 0);
  g_assert_true(inode.size_exact);
}

static uint64_t cached_bytes(Fixture *fixture) {
  uint64_t bytes;
  g_assert_true(index_cached_bytes(fixture->writer, &bytes, NULL));
  return bytes;
}

// A file that is the body of several messages takes its room once, until the last of them goes; and
// a body that is another now counts as that.
static void test_cached_bytes(Fixture *fixture, gconstpointer data) {
  uint64_t generation;
  const uint8_t sha256[32] = {0};
  uint64_t inbox = make_inbox(fixture, &generation, 0);
  IndexAddition addition = {.folder = inbox, .generation = generation, .now_ns = 1};
  index_begin(fixture->writer, NULL);
  for (uint32_t uid = 1; uid <= 4; uid++) {
    MailboxMessage message = {.uid = uid, .size = 10, .subject = "x", .email_id = "M1"};
    if (uid == 4) message.email_id = NULL;
    index_add_message(fixture->writer, &addition, &message, NULL);
  }
  commit(fixture);
  uint64_t inos[4];
  for (int i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf("1970-01-01_0000_unknown_x,%d.eml", i + 1);
    inos[i] = child(fixture, inbox, name);
    g_assert_cmpuint(inos[i], !=, 0);
  }
  index_begin(fixture->writer, NULL);
  for (int i = 0; i < 4; i++)
    g_assert_true(index_set_body(fixture->writer, inos[i], 100, sha256, true, i > 0, 1, NULL));
  g_assert_cmpuint(cached_bytes(fixture), ==, 200);
  index_forget_body(fixture->writer, inos[0], NULL);
  g_assert_cmpuint(cached_bytes(fixture), ==, 200);
  g_assert_true(index_set_body(fixture->writer, inos[0], 100, sha256, true, true, 1, NULL));
  g_assert_cmpuint(cached_bytes(fixture), ==, 200);
  g_assert_true(index_set_body(fixture->writer, inos[3], 150, sha256, true, false, 1, NULL));
  g_assert_cmpuint(cached_bytes(fixture), ==, 250);
  GString *told = g_string_new(NULL);
  const IndexListener listener = {hear_removed, hear_added, hear_changed, told};
  const UidRange all = {1, 4};
  index_remove_range(fixture->writer, inbox, generation, all, &listener, NULL);
  index_forget_body(fixture->writer, inos[1], NULL);
  index_forget_body(fixture->writer, inos[2], NULL);
  g_assert_cmpuint(cached_bytes(fixture), ==, 250);
  index_purge(fixture->writer, ignore_body, NULL, NULL);
  g_assert_cmpuint(cached_bytes(fixture), ==, 0);
  commit(fixture);
  g_string_free(told, TRUE);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(Fixture *fixture, gconstpointer data);
  } tests[] = {
      {"/index/tree", test_tree},
      {"/index/told-and-reserved", test_told_and_reserved},
      {"/index/clash", test_clash},
      {"/index/generations", test_generations},
      {"/index/broken-off", test_broken_off},
      {"/index/paging", test_paging},
      {"/index/inodes", test_inodes},
      {"/index/uid-names", test_uid_names},
      {"/index/sizes", test_sizes},
      {"/index/cached-bytes", test_cached_bytes},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run();
}
