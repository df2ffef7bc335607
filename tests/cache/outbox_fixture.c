#include "outbox_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/copy.h"
#include "cache/outbox_private.h"
#include "tests/cache/scratch.h"

// Long enough that nothing is sent before the test says so, by a restart.
#define HOLD_MS (3600 * 1000)

static pid_t other_process, killed_process;

pid_t fixture_start_process(void) {
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  // A test that aborts leaves none behind.
  if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (pid == 0)
    pause();
  return pid;
}

void fixture_end_process(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

void fixture_begin_processes(void) {
  other_process = fixture_start_process();
  killed_process = fixture_start_process();
  kill(killed_process, SIGKILL);
  siginfo_t info;
  g_assert_cmpint(waitid(P_PID, (id_t)killed_process, &info, WEXITED | WNOWAIT), ==, 0);
}

void fixture_end_processes(void) {
  fixture_end_process(other_process);
  waitpid(killed_process, NULL, 0);
}

pid_t fixture_other_process(void) {
  return other_process;
}

pid_t fixture_killed_process(void) {
  return killed_process;
}

static const char *directory_name(uint64_t directory) {
  return directory == OUTBOX_INO ? "outbox" : "failed";
}

static void on_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  Fixture *fixture = data;
  g_ptr_array_add(fixture->told, g_strdup_printf("- %s/%s", directory_name(parent), name));
}

static void on_changed(uint64_t parent, gpointer data) {
  Fixture *fixture = data;
  g_ptr_array_add(fixture->told, g_strdup_printf("* %s", directory_name(parent)));
}

void fixture_set_up_closed(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  fixture->directory = g_dir_make_tmp("mailfs-outbox-XXXXXX", &error);
  g_assert_no_error(error);
  fixture->account = account_new_from_url("smtps://smtp.example.org", &error);
  g_assert_no_error(error);
  fixture->context = g_main_context_new();
  fixture->told = g_ptr_array_new_with_free_func(g_free);
  fixture->options = (OutboxOptions){
      .smtp = fixture->account,
      .directory = fixture->directory,
      .from = "me@example.org",
      .send_delay_ms = 0,
      .send_lifetime_s = 5 * 24 * 3600,
      .open_sender = fake_sender_open,
      .retry_ms = 1,
  };
  fake_server_begin();
}

void fixture_open(Fixture *fixture) {
  static const OutboxListener listener = {on_removed, on_changed};
  g_autoptr(GError) error = NULL;
  fixture->outbox = outbox_open(&fixture->options, fixture->context, &error);
  g_assert_no_error(error);
  outbox_set_listener(fixture->outbox, &listener, fixture);
  outbox_start(fixture->outbox);
}

void fixture_set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, unused);
  fixture_open(fixture);
}

void fixture_close(Fixture *fixture) {
  g_clear_pointer(&fixture->outbox, outbox_free);
}

void fixture_reopen(Fixture *fixture) {
  fixture_close(fixture);
  fixture_open(fixture);
}

void fixture_crash_with(Fixture *fixture, FixtureChange change, gpointer data) {
  g_autofree char *left = g_strconcat(fixture->directory, "-left", NULL);
  scratch_copy(fixture->directory, left);
  change(left, data);
  fixture_close(fixture);
  scratch_remove(fixture->directory);
  g_assert_cmpint(rename(left, fixture->directory), ==, 0);
  fixture_open(fixture);
}

static void change_nothing(const char *directory, gpointer data) {}

void fixture_crash(Fixture *fixture) {
  fixture_crash_with(fixture, change_nothing, NULL);
}

void fixture_tear_down(Fixture *fixture, gconstpointer unused) {
  fixture_close(fixture);
  fake_server_end();
  scratch_remove(fixture->directory);
  g_free(fixture->directory);
  account_free(fixture->account);
  g_main_context_unref(fixture->context);
  g_ptr_array_unref(fixture->told);
}

void fixture_wait(Fixture *fixture, FixtureHolds holds) {
  while (!holds(fixture))
    g_main_context_iteration(fixture->context, true);
}

static void set_true(SpoolJob *job, gpointer data) {
  *(bool *)job->done_data = true;
}

// The spool takes jobs in order: when one that does nothing is answered, all before it are.
void fixture_wait_disk(Fixture *fixture) {
  bool done = false;
  SpoolJob *job = spool_job_new(SPOOL_NO_CHANGE);
  job->done = set_true;
  job->done_data = &done;
  outbox_spool_push(fixture->outbox->spool, job);
  while (!done)
    g_main_context_iteration(fixture->context, true);
}

static bool nothing_waits(Fixture *fixture) {
  return outbox_waiting(fixture->outbox) == 0;
}

void fixture_wait_sent(Fixture *fixture) {
  fixture_wait(fixture, nothing_waits);
  fixture_wait_disk(fixture);
}

typedef struct {
  bool called;
  int code;
} Answer;

static void take_answer(const GError *error, gpointer data) {
  Answer *answer = data;
  g_assert_false(answer->called);
  answer->called = true;
  answer->code = error != NULL ? error->code : 0;
  g_assert_true(error == NULL || error->domain == OUTBOX_ERROR);
}

static int wait_answer(Fixture *fixture, Answer *answer) {
  while (!answer->called)
    g_main_context_iteration(fixture->context, true);
  return answer->code;
}

int fixture_flush(Fixture *fixture, OutboxHandle *handle, pid_t pid) {
  Answer answer = {0};
  outbox_flush(handle, pid, take_answer, &answer);
  return wait_answer(fixture, &answer);
}

int fixture_fsync(Fixture *fixture, OutboxHandle *handle) {
  Answer answer = {0};
  outbox_fsync(handle, take_answer, &answer);
  return wait_answer(fixture, &answer);
}

int fixture_release(Fixture *fixture, OutboxHandle *handle) {
  Answer answer = {0};
  outbox_release(handle, take_answer, &answer);
  return wait_answer(fixture, &answer);
}

int fixture_rename(Fixture *fixture, uint64_t parent, const char *name, const char *new_name,
                   unsigned flags) {
  Answer answer = {0};
  outbox_rename(fixture->outbox, parent, name, OUTBOX_INO, new_name, flags, take_answer, &answer);
  return wait_answer(fixture, &answer);
}

int fixture_link(Fixture *fixture, const char *name, const char *new_name) {
  OutboxFile file;
  Answer answer = {0};
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  outbox_link(fixture->outbox, file.ino, OUTBOX_INO, new_name, take_answer, &answer);
  return wait_answer(fixture, &answer);
}

int fixture_unlink(Fixture *fixture, uint64_t parent, const char *name) {
  Answer answer = {0};
  outbox_unlink(fixture->outbox, parent, name, getpid(), take_answer, &answer);
  return wait_answer(fixture, &answer);
}

OutboxHandle *fixture_create(Fixture *fixture, const char *name) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  OutboxHandle *handle =
      outbox_create(fixture->outbox, OUTBOX_INO, name, 0600, getpid(), &file, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(file.name, ==, name);
  return handle;
}

OutboxHandle *fixture_open_letter(Fixture *fixture, const char *name, int flags, pid_t pid) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  OutboxHandle *handle = outbox_open_file(fixture->outbox, file.ino, flags, pid, &error);
  g_assert_no_error(error);
  return handle;
}

void fixture_write(OutboxHandle *handle, const char *text) {
  g_autoptr(GError) error = NULL;
  ssize_t done = outbox_write(handle, text, strlen(text), 0, &error);
  g_assert_no_error(error);
  g_assert_cmpint(done, ==, (ssize_t)strlen(text));
}

int fixture_copy(Fixture *fixture, const char *name, const char *text) {
  OutboxHandle *handle = fixture_create(fixture, name);
  fixture_write(handle, text);
  int code = fixture_flush(fixture, handle, getpid());
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  return code;
}

static bool append_name(const OutboxFile *file, gpointer data) {
  GString *names = data;
  if (names->len > 0) g_string_append_c(names, ' ');
  g_string_append(names, file->name);
  return true;
}

char *fixture_names(Fixture *fixture, uint64_t directory) {
  GString *names = g_string_new(NULL);
  outbox_children(fixture->outbox, directory, 0, append_name, names);
  return g_string_free(names, false);
}

void fixture_assert_names(Fixture *fixture, const char *outbox, const char *failed) {
  g_autofree char *in_outbox = fixture_names(fixture, OUTBOX_INO);
  g_autofree char *in_failed = fixture_names(fixture, OUTBOX_FAILED_INO);
  g_assert_cmpstr(in_outbox, ==, outbox);
  g_assert_cmpstr(in_failed, ==, failed);
}

char *fixture_read(Fixture *fixture, uint64_t directory, const char *name) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, directory, name, &file));
  OutboxHandle *handle = outbox_open_file(fixture->outbox, file.ino, O_RDONLY, getpid(), &error);
  g_assert_no_error(error);
  char *text = g_malloc0(file.size + 1);
  ssize_t got = outbox_read(handle, text, file.size + 1, 0, &error);
  g_assert_no_error(error);
  g_assert_cmpint(got, ==, (ssize_t)file.size);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  return text;
}

char *fixture_state(Fixture *fixture, uint64_t directory, const char *name) {
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, directory, name, &file));
  return outbox_detail(fixture->outbox, file.ino, OUTBOX_STATE);
}

bool fixture_was_told(const Fixture *fixture, const char *line) {
  for (unsigned i = 0; i < fixture->told->len; i++)
    if (strcmp(g_ptr_array_index(fixture->told, i), line) == 0) return true;
  return false;
}

char *fixture_letter(const char *subject) {
  return g_strdup_printf("From: alice@example.org\nTo: bob@example.org\nSubject: %s\n\nHello\n",
                         subject);
}

void fixture_set_up_holding(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, unused);
  fixture->options.send_delay_ms = HOLD_MS;
  fixture_open(fixture);
}

void fixture_write_letter(OutboxHandle *handle, const char *subject) {
  g_autofree char *letter = fixture_letter(subject);
  fixture_write(handle, letter);
}

void fixture_finish(Fixture *fixture, OutboxHandle *handle, pid_t pid) {
  g_assert_cmpint(fixture_flush(fixture, handle, pid), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
}

void fixture_copy_letter(Fixture *fixture, const char *name) {
  g_autofree char *letter = fixture_letter(name);
  g_assert_cmpint(fixture_copy(fixture, name, letter), ==, 0);
}

void fixture_assert_state(Fixture *fixture, const char *name, const char *state) {
  g_autofree char *found = fixture_state(fixture, OUTBOX_INO, name);
  g_assert_cmpstr(found, ==, state);
}

char *fixture_subject_of(const Copy *copy) {
  g_autoptr(Letter) letter = copy_read(copy, NULL);
  g_assert_nonnull(letter);
  g_autoptr(LetterStream) stream = letter_stream_new_copy(letter, copy->fd);
  char text[4096];
  ssize_t size = letter_stream_read(stream, text, sizeof text - 1, NULL);
  text[MAX(size, 0)] = '\0';
  const char *subject = strstr(text, "Subject: ") + strlen("Subject: ");
  return g_strndup(subject, strcspn(subject, "\r"));
}

void fixture_assert_sends(Fixture *fixture, unsigned count, const char *const *subjects) {
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, count);
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *line = g_strdup_printf("\r\nSubject: %s\r\n", subjects[i]);
    bool found = false;
    for (unsigned j = 0; j < count; j++) {
      g_autofree char *letter = fake_server_letter(j);
      found |= strstr(letter, line) != NULL;
    }
    g_assert_true(found);
  }
}

void fixture_fail_letter(Fixture *fixture, const char *name) {
  fixture_copy(fixture, name, "no letter");
}
