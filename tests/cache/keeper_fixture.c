#include "tests/cache/keeper_fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/body_writer.h"
#include "tests/cache/scratch.h"

#define WAIT_S 20

static char *path_of(const KeeperFixture *fixture, const char *name) {
  return g_build_filename(fixture->directory, name, NULL);
}

static void ignore_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {}
static void ignore_changed(uint64_t folder, gpointer data) {}
static const IndexListener nobody = {ignore_removed, ignore_removed, ignore_changed, NULL};

static void open_cache(KeeperFixture *fixture) {
  g_autoptr(GError) error = NULL;
  g_autofree char *cache = path_of(fixture, "cache");
  g_autofree char *state = path_of(fixture, "state");
  g_mkdir(cache, 0700);
  g_mkdir(state, 0700);
  fixture->index_path = g_build_filename(cache, "index.db", NULL);
  fixture->bodies = body_store_new(cache, &error);
  g_assert_no_error(error);
  g_assert_true(index_create(fixture->index_path, "alice@example.org", &error));
}

void keeper_fixture_in(KeeperFixture *fixture, const char *directory) {
  fixture->directory = g_strdup(directory);
  fixture->context = g_main_context_new();
  fixture->owner = "alice@example.org";
  fixture->keeps_forever = true;
  open_cache(fixture);
}

void keeper_fixture_clear(KeeperFixture *fixture) {
  keeper_stop(fixture);
  body_store_free(fixture->bodies);
  g_main_context_unref(fixture->context);
  g_free(fixture->index_path);
  g_free(fixture->directory);
}

void keeper_set_up(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *directory = g_dir_make_tmp("mailfs-keeper-XXXXXX", NULL);
  keeper_fixture_in(fixture, directory);
}

void keeper_tear_down(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *directory = g_strdup(fixture->directory);
  keeper_fixture_clear(fixture);
  scratch_remove(directory);
}

Keeper *keeper_try(KeeperFixture *fixture, GError **error) {
  g_autofree char *state = path_of(fixture, "state");
  const KeeperOptions options = {
      .directory = state,
      .owner = fixture->owner,
      .keeps_forever = fixture->keeps_forever,
      .index_path = fixture->index_path,
      .bodies = fixture->bodies,
      .context = fixture->context,
  };
  return keeper_new(&options, error);
}

void keeper_start(KeeperFixture *fixture) {
  g_autoptr(GError) error = NULL;
  fixture->keeper = keeper_try(fixture, &error);
  g_assert_no_error(error);
}

void keeper_stop(KeeperFixture *fixture) {
  g_clear_pointer(&fixture->keeper, keeper_free);
}

void keeper_wipe_cache(KeeperFixture *fixture) {
  g_autofree char *cache = path_of(fixture, "cache");
  body_store_free(fixture->bodies);
  g_free(fixture->index_path);
  scratch_remove(cache);
  open_cache(fixture);
}

static Index *open_index(KeeperFixture *fixture) {
  g_autoptr(GError) error = NULL;
  Index *index = index_open(fixture->index_path, INDEX_WRITE, &error);
  g_assert_no_error(error);
  return index;
}

static void find_inbox(Index *index, IndexFolder *folder) {
  g_assert_cmpint(index_folder_named(index, LEDGER_FOLDER, folder), ==, INDEX_FOUND);
}

static void make_inbox(Index *index) {
  g_auto(IndexFolder) folder = {0};
  const MailboxFolder inbox = {.name = LEDGER_FOLDER, .delimiter = '/'};
  if (index_folder_named(index, LEDGER_FOLDER, &folder) == INDEX_FOUND) return;
  g_assert_true(index_begin_tree(index, NULL) && index_put_folder(index, &inbox, NULL, NULL) &&
                index_end_tree(index, 1, &nobody, NULL));
}

static void add(const KeeperFixture *fixture, Index *index, IndexAddition *addition, const char *id,
                uint32_t uid) {
  const MailboxMessage message = {.uid = uid,
                                  .id = id,
                                  .internaldate = 1700000000,
                                  .size = 1,
                                  .subject = id,
                                  .message_id = fixture->message_id,
                                  .from_address = "a@example.org"};
  g_assert_true(index_add_message(index, addition, &message, NULL));
}

void keeper_list(KeeperFixture *fixture, const char *const *ids) {
  g_autoptr(Index) index = open_index(fixture);
  g_autoptr(UidSet) present = uid_set_new();
  g_auto(IndexFolder) folder = {0};
  g_assert_true(index_begin(index, NULL));
  make_inbox(index);
  find_inbox(index, &folder);
  uint64_t generation = folder.generation;
  IndexAddition addition = {.folder = folder.ino, .now_ns = 7};
  uint32_t last_uid, uid;
  g_assert_true(index_last_uid(index, folder.ino, generation, &last_uid, NULL));
  uint32_t next_uid = last_uid + 1;
  g_assert_true(index_new_generation(index, folder.ino, &addition.generation, NULL));
  g_assert_true(index_begin_addition(index, &addition, NULL));
  for (; *ids != NULL; ids++) {
    g_assert_true(index_number(index, folder.ino, generation, *ids, &uid, NULL));
    if (uid == 0 || fixture->lists_anew) add(fixture, index, &addition, *ids, uid = next_uid++);
    uid_set_add(present, uid);
  }
  g_assert_true(index_count_addition(index, &addition, NULL));
  for (uid = 1; uid <= last_uid; uid++)
    if (!uid_set_contains(present, uid))
      g_assert_true(
          index_remove_range(index, folder.ino, generation, (UidRange){uid, uid}, &nobody, NULL));
  g_assert_true(index_note_present(index, folder.ino, generation, present, NULL));
  const MailboxStatus status = {.uidvalidity = LEDGER_UIDVALIDITY};
  uint64_t shown = folder.listed ? generation : addition.generation;
  if (folder.listed)
    g_assert_true(index_adopt(index, folder.ino, generation, addition.generation, last_uid, 0,
                              &nobody, NULL));
  g_assert_true(index_end_sync(index, folder.ino, shown, &status, true, 9, &nobody, NULL));
  g_assert_true(index_commit(index, NULL));
}

uint64_t keeper_find(KeeperFixture *fixture, const char *id) {
  g_autoptr(Index) index = open_index(fixture);
  g_auto(IndexFolder) folder = {0};
  uint32_t uid;
  uint64_t ino = 0;
  find_inbox(index, &folder);
  g_assert_true(index_number(index, folder.ino, folder.generation, id, &uid, NULL));
  for (uint64_t at = folder.ino; uid != 0 && ino == 0 && at < folder.ino + 1000; at++) {
    IndexMessage message;
    if (index_message(index, at, &message) == INDEX_FOUND && message.uid == uid) ino = at;
  }
  return ino;
}

char *keeper_body_of(const char *id) {
  return g_strdup_printf("Subject: %s\r\n\r\nHello\r\n", id);
}

void keeper_bring_bytes(KeeperFixture *fixture, const char *id, const char *body, bool on_disk) {
  uint64_t ino = keeper_find(fixture, id), size;
  uint8_t sha256[BODY_SHA256_BYTES];
  bool is_on_disk;
  g_autoptr(BodyWriter) writer = body_writer_new(fixture->bodies, ino, NULL);
  g_assert_true(body_writer_write(writer, body, strlen(body), NULL));
  body_close(fixture->bodies, ino,
             body_writer_finish(writer, ino, &size, sha256, &is_on_disk, NULL));
  if (!on_disk) body_remove(fixture->bodies, ino);
  g_autoptr(Index) index = open_index(fixture);
  g_assert_true(index_begin(index, NULL) &&
                index_set_body(index, ino, size, sha256, on_disk, false, 1, NULL) &&
                index_commit(index, NULL));
}

void keeper_bring_as(KeeperFixture *fixture, const char *id, const char *other_id) {
  g_autofree char *body = keeper_body_of(other_id);
  keeper_bring_bytes(fixture, id, body, true);
}

void keeper_bring_body(KeeperFixture *fixture, const char *id) {
  keeper_bring_as(fixture, id, id);
}

// ---- Jobs.

static gboolean give_up(gpointer data) {
  g_error("no answer within %d s", WAIT_S);
  return G_SOURCE_REMOVE;
}

static void take(KeeperJob *job, gpointer data) {
  KeeperJob *copy = job->done_data;
  *copy = *job;
  *job = (KeeperJob){.done_data = copy};
  copy->done = NULL;
}

KeeperJob *keeper_do(KeeperFixture *fixture, KeeperJob *job) {
  KeeperJob *result = keeper_job_new(job->task);
  g_autoptr(GSource) watchdog = g_timeout_source_new_seconds(WAIT_S);
  g_source_set_callback(watchdog, give_up, NULL, NULL);
  g_source_attach(watchdog, fixture->context);
  result->done = take;
  job->done = take;
  job->done_data = result;
  keeper_push(fixture->keeper, job);
  while (result->done != NULL)
    g_main_context_iteration(fixture->context, TRUE);
  g_source_destroy(watchdog);
  return result;
}

int keeper_remove_one(KeeperFixture *fixture, const char *id) {
  KeeperJob *job = keeper_job_new(KEEPER_REMOVE);
  job->ino = keeper_find(fixture, id);
  g_autoptr(KeeperJob) result = keeper_do(fixture, job);
  return result->error != NULL ? result->error->code : 0;
}

void keeper_end_one(KeeperFixture *fixture, KeeperTask task, const char *id) {
  KeeperJob *job = keeper_job_new(task);
  job->ids = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(job->ids, g_strdup(id));
  g_autoptr(KeeperJob) result = keeper_do(fixture, job);
  g_assert_no_error(result->error);
}

KeeperJob *keeper_archive_all(KeeperFixture *fixture) {
  KeeperJob *job = keeper_job_new(KEEPER_ARCHIVE);
  job->most_bytes = 1 << 20;
  return keeper_do(fixture, job);
}

// ---- What is there.

static bool append_subject(const Inode *inode, gpointer names) {
  const char *end = strrchr(inode->name, ',');
  g_string_append_printf(names, "%.*s ", (int)strcspn(end + 1, "."), end + 1);
  return true;
}

char *keeper_shown(KeeperFixture *fixture) {
  g_autoptr(Index) index = open_index(fixture);
  g_auto(IndexFolder) folder = {0};
  GString *names = g_string_new(NULL);
  if (index_folder_named(index, LEDGER_FOLDER, &folder) == INDEX_FOUND)
    g_assert_cmpint(index_children(index, folder.ino, 0, append_subject, names), ==, INDEX_FOUND);
  return g_string_free(names, FALSE);
}

char *keeper_removals(KeeperFixture *fixture) {
  g_autoptr(GPtrArray) ids = keeper_take_removals(fixture->keeper);
  GString *text = g_string_new(NULL);
  for (unsigned i = 0; i < ids->len; i++)
    g_string_append_printf(text, "%s ", (char *)g_ptr_array_index(ids, i));
  return g_string_free(text, FALSE);
}

bool keeper_has(KeeperFixture *fixture, const char *id) {
  g_autofree char *expected = keeper_body_of(id);
  g_autofree char *found = g_malloc0(strlen(expected) + 1);
  int fd = archive_open(keeper_archive(fixture->keeper), id, strlen(expected));
  if (fd < 0) return false;
  g_assert_cmpint(pread(fd, found, strlen(expected), 0), ==, (ssize_t)strlen(expected));
  close(fd);
  return strcmp(found, expected) == 0;
}
