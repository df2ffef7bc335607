// Claim: a hard link from a name that is never sent to a letter's name sends the letter at once,
// and the draft stays a file of its own; a refused link is not made.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "outbox_cases.h"

static unsigned links(Fixture *fixture, const char *name, uint64_t *ino) {
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  *ino = file.shared_ino != 0 ? file.shared_ino : file.ino;
  return file.links;
}

static void test_commits(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, ".mail");
  g_assert_cmpint(fixture_link(fixture, ".mail", "mail"), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, ".mail", "");
  fixture_assert_state(fixture, ".mail", "draft");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, ".mail");
  fixture_assert_names(fixture, "", "");
}

static void test_refuses(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(fixture_copy(fixture, ".mail", "no letter"), ==, 0);
  g_assert_cmpint(fixture_link(fixture, ".mail", "mail"), ==, EINVAL);
  fixture_assert_names(fixture, ".mail", "");
  fixture_assert_state(fixture, ".mail", "draft");
  g_assert_cmpint(fixture_link(fixture, ".mail", ".mail"), ==, EEXIST);
  g_assert_cmpint(fixture_link(fixture, ".mail", "failed"), ==, EEXIST);
  g_assert_cmpint(fixture_link(fixture, ".mail", "mail.error"), ==, EINVAL);
  fixture_copy_letter(fixture, "held");
  g_assert_cmpint(fixture_link(fixture, "held", "twice"), ==, EPERM);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, ".mail held", "");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "held");
}

// As long as it is written to, nobody can say that it is finished.
static void test_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, ".mail");
  fixture_write_letter(handle, "one");
  g_assert_cmpint(fixture_link(fixture, ".mail", "mail"), ==, EBUSY);
  fixture_finish(fixture, handle, getpid());
  g_assert_cmpint(fixture_link(fixture, ".mail", "mail"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "one");
}

// What programs compare before they remove the first name: one file, two links; and an empty one,
// as locks are made.
static void test_twins(Fixture *fixture, gconstpointer unused) {
  uint64_t first, second;
  fixture_finish(fixture, fixture_create(fixture, "mail.host.1"), getpid());
  g_assert_cmpint(fixture_link(fixture, "mail.host.1", "mail.lock"), ==, 0);
  g_assert_cmpuint(links(fixture, "mail.host.1", &first), ==, 2);
  g_assert_cmpuint(links(fixture, "mail.lock", &second), ==, 2);
  g_assert_cmpuint(first, ==, second);
  g_assert_cmpint(fixture_link(fixture, "mail.host.1", "mail.lock"), ==, EEXIST);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail.host.1"), ==, 0);
  g_assert_cmpuint(links(fixture, "mail.lock", &second), ==, 1);
  g_assert_cmpuint(first, ==, second);
}

// The letter goes as it was linked, whatever becomes of the draft.
static void test_part(Fixture *fixture, gconstpointer unused) {
  uint64_t first, second;
  fixture_copy_letter(fixture, ".one");
  g_assert_cmpint(fixture_link(fixture, ".one", ".two"), ==, 0);
  fixture_assert_names(fixture, ".one .two", "");
  OutboxHandle *handle = fixture_open_letter(fixture, ".one", O_WRONLY | O_TRUNC, getpid());
  fixture_write_letter(handle, "another");
  g_assert_cmpuint(links(fixture, ".one", &first), ==, 1);
  g_assert_cmpuint(links(fixture, ".two", &second), ==, 1);
  g_assert_cmpuint(first, !=, second);
  fixture_finish(fixture, handle, getpid());
  fixture_reopen(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".two", "two", 0), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, ".one");
}

// Each link of a draft is a letter with a Message-ID of its own.
static void test_sent_twice(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, ".form");
  g_assert_cmpint(fixture_link(fixture, ".form", "one"), ==, 0);
  g_assert_cmpint(fixture_link(fixture, ".form", "two"), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  g_autofree char *one = fake_server_letter(0), *two = fake_server_letter(1);
  g_assert_cmpstr(one, !=, two);
}

static const OutboxCase cases[] = {
    {"commits", test_commits}, {"refuses", test_refuses}, {"open", test_open},
    {"twins", test_twins},     {"part", test_part},       {"sent twice", test_sent_twice},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/link", fixture_set_up_holding, cases,
                           G_N_ELEMENTS(cases));
}
