// Claim: on a full disk too, a letter that was removed or taken by the server does not come back
// from the journal, although there is no room to note it there; one that could not be sent is safe
// in failed/; and what a power failure left can be made whole again.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "full_disk.h"
#include "scratch.h"

#define LARGE (40u << 10)

// Inline, or of a file of its own.
static char *text_of(const char *subject, gconstpointer is_large) {
  g_autofree char *letter = fixture_letter(subject);
  GString *text = g_string_new(letter);
  while (is_large != NULL && text->len < LARGE)
    g_string_append(text, "a line of many\n");
  return g_string_free(text, false);
}

static void fill_all(const Fixture *fixture) {
  full_disk_give_up_reserve(fixture);
  full_disk_fill(fixture);
  full_disk_fill_journal(fixture);
}

static unsigned sent_by_next_start(Fixture *fixture) {
  fixture->options.send_delay_ms = 0;
  unsigned before = fake_server_count();
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  return fake_server_count() - before;
}

static unsigned count_files(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_LETTERS_NAME, NULL);
  g_autoptr(GDir) letters = g_dir_open(path, 0, NULL);
  unsigned count = 0;
  while (g_dir_read_name(letters) != NULL)
    count++;
  return count;
}

static void test_removed(Fixture *fixture, gconstpointer is_large) {
  g_autofree char *text = text_of("mail", is_large);
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  fill_all(fixture);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  fixture_assert_names(fixture, "", "");
  full_disk_empty(fixture);
  g_assert_cmpuint(sent_by_next_start(fixture), ==, 0);
  g_assert_cmpuint(count_files(fixture), ==, 0);
}

static void fill_when_taken(FakeMoment moment, const char *text, gpointer data) {
  if (moment == FAKE_TAKEN) fill_all(data);
}

static void test_taken(Fixture *fixture, gconstpointer is_large) {
  g_autofree char *text = text_of("mail", is_large);
  fake_server_watch(fill_when_taken, fixture);
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  fixture_wait_sent(fixture);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  full_disk_empty(fixture);
  g_assert_cmpuint(sent_by_next_start(fixture), ==, 0);
}

// The reserve has room for its row and, if it is small, for its bytes.
static void test_failed(Fixture *fixture, gconstpointer is_large) {
  g_autofree char *text = text_of("mail", is_large);
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write(handle, text);
  full_disk_fill(fixture);
  full_disk_fill_journal(fixture);
  g_assert_cmpint(fixture_release(fixture, handle), ==, ENOSPC);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail", &file));
  const OutboxLetter *letter = outbox_table_get(fixture->outbox->table, file.ino);
  g_assert_cmpuint(letter->synced, ==, letter->revision);
  g_assert_false(letter->unstored);
  full_disk_empty(fixture);
}

static void remove_letters(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_LETTERS_NAME, NULL);
  g_autoptr(GDir) letters = g_dir_open(path, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name(letters)) != NULL) {
    g_autofree char *letter = g_build_filename(path, name, NULL);
    g_assert_cmpint(unlink(letter), ==, 0);
  }
}

// Nothing of letters/ was on the disk when the power failed.
static void test_restored(Fixture *fixture, gconstpointer unused) {
  g_autofree char *text = text_of("mail", NULL);
  g_autofree char *left = g_strconcat(fixture->directory, "-left", NULL);
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  scratch_copy(fixture->directory, left);
  fixture_close(fixture);
  scratch_copy(left, fixture->directory);
  scratch_remove(left);
  remove_letters(fixture);
  full_disk_fill(fixture);
  fixture_open(fixture);
  g_autofree char *found = fixture_read(fixture, OUTBOX_INO, "mail");
  g_assert_cmpstr(found, ==, text);
  full_disk_empty(fixture);
}

typedef struct {
  const char *path;
  void (*set_up)(Fixture *fixture, gconstpointer unused);
  void (*run)(Fixture *fixture, gconstpointer is_large);
  bool is_large;
} Case;

static const Case cases[] = {
    {"/outbox/buried/removed", full_disk_set_up_holding, test_removed, false},
    {"/outbox/buried/removed, large", full_disk_set_up_holding, test_removed, true},
    {"/outbox/buried/taken", full_disk_set_up, test_taken, false},
    {"/outbox/buried/taken, large", full_disk_set_up, test_taken, true},
    {"/outbox/buried/failed", full_disk_set_up, test_failed, false},
    {"/outbox/buried/failed, large", full_disk_set_up, test_failed, true},
    {"/outbox/buried/restored", full_disk_set_up_holding, test_restored, false},
};

int main(int argc, char **argv) {
  full_disk_begin(&argc, &argv);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
    g_test_add(cases[i].path, Fixture, cases[i].is_large ? &cases[i] : NULL, cases[i].set_up,
               cases[i].run, full_disk_tear_down);
  return full_disk_end();
}
