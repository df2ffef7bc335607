// Claim: whatever clients say, or do not say, the main loop goes on; who asks well is answered in
// lines of JSON; the socket is the user's alone, and one that a crash left is replaced.
#include "tools/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-glib/json-glib.h>

#include "cache/drop_writer.h"
#include "tests/cache/outbox_fixture.h"
#include "tools/control_client.h"
#include "tools/control_socket.h"
#include "tools/exit_code.h"
#include "tools/letter_list.h"

// Stands in front of the C library's, for a disk that has no room for one more name.
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
static bool has_no_room;

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
  if (!has_no_room) return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
  errno = ENOSPC;
  return -1;
}

typedef struct {
  Fixture outbox;
  char *runtime;
  Control *control;
} Lab;

static void open_control(Lab *lab) {
  g_autoptr(GError) error = NULL;
  lab->control =
      control_new(lab->outbox.directory, lab->outbox.outbox, lab->outbox.context, &error);
  g_assert_no_error(error);
}

static void set_up(Lab *lab, gconstpointer unused) {
  fixture_set_up_holding(&lab->outbox, NULL);
  lab->runtime = g_dir_make_tmp("mailfs-runtime-XXXXXX", NULL);
  g_setenv("XDG_RUNTIME_DIR", lab->runtime, TRUE);
  open_control(lab);
}

static void tear_down(Lab *lab, gconstpointer unused) {
  control_free(lab->control);
  fixture_tear_down(&lab->outbox, NULL);
  g_autofree char *directory = g_build_filename(lab->runtime, "mailfs", NULL);
  g_assert_cmpint(rmdir(directory), ==, 0);
  g_assert_cmpint(rmdir(lab->runtime), ==, 0);
  g_free(lab->runtime);
}

static int join(Lab *lab) {
  g_autoptr(GError) error = NULL;
  int fd = control_socket_connect(lab->outbox.directory, &error);
  g_assert_no_error(error);
  g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
  return fd;
}

static void speak(int fd, const char *text) {
  g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

// What comes until `end` is in it, or until the connection ends.
static char *hear(Lab *lab, int fd, const char *end) {
  GString *heard = g_string_new(NULL);
  while (end == NULL || strstr(heard->str, end) == NULL) {
    char bytes[4096];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got > 0)
      g_string_append_len(heard, bytes, got);
    else if (got == 0 || errno == ECONNRESET)
      break;
    else
      g_main_context_iteration(lab->outbox.context, FALSE);
  }
  return g_string_free(heard, FALSE);
}

static void assert_answer(Lab *lab, const char *request, const char *answer) {
  int fd = join(lab);
  speak(fd, request);
  g_autofree char *heard = hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, answer);
  close(fd);
}

static const struct {
  const char *request, *answer;
} rows[] = {
    {"{\"command\":\"outbox\"}\n", "{\"done\":true}\n"},
    {"{\"command\":\"flush\"}\n",
     "{\"done\":true,\"total\":0,\"sent\":0,\"failed\":0,\"delayed\":0}\n"},
    {"{\"command\":\"take\"}\n", "{\"done\":true}\n"},
    {"{\"command\":\"shout\"}\n", "{\"error\":\"there is no such command\",\"code\":64}\n"},
    {"{}\n", "{\"error\":\"there is no such command\",\"code\":64}\n"},
    {"{\"command\":{}}\n", "{\"error\":\"there is no such command\",\"code\":64}\n"},
    {"{\"command\":7}\n", "{\"error\":\"there is no such command\",\"code\":64}\n"},
    {"[]\n", "{\"error\":\"this is no JSON object\",\"code\":64}\n"},
    {"\n", "{\"error\":\"this is no JSON object\",\"code\":64}\n"},
    {"{\"command\":\n", "{\"error\":\"this is no JSON object\",\"code\":64}\n"},
    {"{\"command\":\"retry\"}\n", "{\"error\":\"no letter is named\",\"code\":64}\n"},
    {"{\"command\":\"retry\",\"name\":\"%\"}\n",
     "{\"error\":\"no letter is named\",\"code\":64}\n"},
    {"{\"command\":\"retry\",\"name\":\"a%00b\"}\n",
     "{\"error\":\"no letter is named\",\"code\":64}\n"},
    {"{\"command\":\"retry\",\"name\":\"x\"}\n",
     "{\"error\":\"outbox: x: no such letter\",\"code\":66}\n"},
    {"{\"command\":\"cancel\",\"name\":\"failed/x\"}\n",
     "{\"error\":\"outbox: x: no such letter\",\"code\":66}\n"},
    {"{\"command\":\"cancel\",\"name\":\"%FF\"}\n",
     "{\"error\":\"outbox: \xef\xbf\xbd: no such letter\",\"code\":66}\n"},
};

static void test_answers(Lab *lab, gconstpointer unused) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_test_message("%s", rows[i].request);
    assert_answer(lab, rows[i].request, rows[i].answer);
  }
}

// Several requests at once, in pieces, and the end of what is said before the answer.
static void test_pieces(Lab *lab, gconstpointer unused) {
  int fd = join(lab);
  speak(fd, "{\"command\":\"take\"}\n{\"command\":\"outbox\"}\n{\"comm");
  for (unsigned i = 0; i < 20; i++)
    g_main_context_iteration(lab->outbox.context, FALSE);
  speak(fd, "and\":\"flush\"}\n");
  g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
  g_autofree char *heard = hear(lab, fd, NULL);
  g_assert_cmpstr(heard, ==,
                  "{\"done\":true}\n{\"done\":true}\n"
                  "{\"done\":true,\"total\":0,\"sent\":0,\"failed\":0,\"delayed\":0}\n");
  close(fd);
}

static void test_letters(Lab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_ACCEPT);
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(&lab->outbox, "one");
  fixture_copy_letter(&lab->outbox, "two");
  int fd = join(lab);
  speak(fd, "{\"command\":\"outbox\"}\n");
  g_autofree char *list = hear(lab, fd, "{\"done\":true}\n");
  g_assert_nonnull(
      strstr(list,
             "{\"letter\":{\"name\":\"one\",\"escaped\":\"one\",\"directory\":\"outbox\","
             "\"state\":\"held\","));
  g_assert_nonnull(strstr(list, "\"next_try\":\"20"));
  speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told = hear(lab, fd, "\"total\":2,\"sent\":1,\"failed\":1,\"delayed\":0}\n");
  g_assert_nonnull(strstr(told, "{\"progress\":{\"total\":2,\"sent\":0,"));
  speak(fd, "{\"command\":\"retry\",\"name\":\"two\"}\n");
  g_autofree char *retried = hear(lab, fd, "\n");
  g_assert_cmpstr(retried, ==, "{\"done\":true}\n");
  g_assert_true(fixture_was_told(&lab->outbox, "- failed/two"));
  g_assert_true(fixture_was_told(&lab->outbox, "- failed/two.error"));
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  close(fd);
}

static void drop_letter(Lab *lab, const char *name) {
  const Envelope plain = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(DropWriter) writer = drop_writer_new(lab->outbox.directory, &error);
  g_assert_no_error(error);
  g_autofree char *text = fixture_letter(name);
  ssize_t length = (ssize_t)strlen(text);
  g_assert_cmpint(write(drop_writer_fd(writer), text, (size_t)length), ==, length);
  g_assert_true(drop_writer_commit(writer, name, &plain, &error));
}

// Beside an editor's lock it would not go: it stays where it is, and that is said.
static void test_locked(Lab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(&lab->outbox, "mail");
  int fd = join(lab);
  speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told = hear(lab, fd, "{\"done\"");
  g_assert_nonnull(strstr(told, "\"failed\":1,"));
  close(fd);
  fixture_copy(&lab->outbox, ".mail.swp", "an editor's");
  assert_answer(lab, "{\"command\":\"retry\",\"name\":\"mail\"}\n",
                "{\"error\":\"outbox: mail: an editor has it open\",\"code\":75}\n");
  fixture_assert_names(&lab->outbox, ".mail.swp", "mail mail.error");
  g_assert_cmpint(fixture_unlink(&lab->outbox, OUTBOX_INO, ".mail.swp"), ==, 0);
  assert_answer(lab, "{\"command\":\"retry\",\"name\":\"mail\"}\n", "{\"done\":true}\n");
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// A name need not be text: it is told escaped, too, and that is what can be asked for.
static void test_odd_name(Lab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "caf\xe9 %1");
  fixture_wait_disk(&lab->outbox);
  int fd = join(lab);
  speak(fd, "{\"command\":\"outbox\"}\n");
  g_autofree char *list = hear(lab, fd, "{\"done\":true}\n");
  g_assert_nonnull(
      strstr(list, "{\"letter\":{\"name\":\"caf\xef\xbf\xbd %1\",\"escaped\":\"caf%E9%20%251\","));
  close(fd);
  assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"caf%E9%20%251\"}\n", "{\"done\":true}\n");
  fixture_assert_names(&lab->outbox, "", "");
}

// What was handed over and cannot be taken is told of, and all else is sent.
static void test_untaken(Lab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "one");
  has_no_room = true;
  drop_letter(lab, "two");
  int fd = join(lab);
  speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told = hear(lab, fd, "{\"done\"");
  g_assert_nonnull(
      strstr(told, "\"total\":1,\"sent\":1,\"failed\":0,\"delayed\":0,\"untaken\":\""));
  g_assert_nonnull(strstr(told, "No space left on device\"}\n"));
  has_no_room = false;
  speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *sent = hear(lab, fd, "{\"done\"");
  g_assert_null(strstr(sent, "untaken"));
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  close(fd);
}

static void test_cancel(Lab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "one");
  fixture_fail_letter(&lab->outbox, "bad");
  fixture_wait_disk(&lab->outbox);
  assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"one\"}\n", "{\"done\":true}\n");
  g_assert_true(fixture_was_told(&lab->outbox, "- outbox/one"));
  fixture_assert_names(&lab->outbox, "", "bad bad.error");
  assert_answer(lab, "{\"command\":\"retry\",\"name\":\"bad\"}\n",
                "{\"error\":\"outbox: bad: it does not begin with a header: line 1 is no header "
                "field\",\"code\":65}\n");
  assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"bad\"}\n", "{\"done\":true}\n");
  fixture_assert_names(&lab->outbox, "", "");
}

static bool has_file(const char *path, mode_t mode) {
  struct stat status;
  return lstat(path, &status) == 0 && (status.st_mode & (S_IFMT | 0777)) == mode;
}

// The socket is where it is promised, for nobody else, and gone at the end. It is found also when
// the runtime directory was made anew, as at a logout.
static void test_place(Lab *lab, gconstpointer unused) {
  g_autofree char *account = g_path_get_basename(lab->outbox.directory);
  g_autofree char *directory = g_build_filename(lab->runtime, "mailfs", NULL);
  g_autofree char *path = g_build_filename(directory, account, NULL);
  g_autofree char *link = g_build_filename(lab->outbox.directory, "control", NULL);
  g_assert_true(has_file(directory, S_IFDIR | 0700));
  g_assert_true(has_file(path, S_IFLNK | 0777));
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  g_assert_cmpint(unlink(path), ==, 0);
  g_assert_cmpint(rmdir(directory), ==, 0);
  assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_clear_pointer(&lab->control, control_free);
  open_control(lab);
  g_assert_true(has_file(path, S_IFLNK | 0777));
  g_clear_pointer(&lab->control, control_free);
  g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
  g_assert_false(g_file_test(link, G_FILE_TEST_EXISTS));
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(control_socket_connect(lab->outbox.directory, &error), ==, -1);
  g_assert_error(error, EXIT_ERROR, EX_UNAVAILABLE);
  g_unsetenv("XDG_RUNTIME_DIR");
  open_control(lab);
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
}

// What a crash left is replaced; where another one answers, with another state directory, it keeps
// its place.
static void test_stale(Lab *lab, gconstpointer unused) {
  char *path;
  g_autoptr(GError) error = NULL;
  g_clear_pointer(&lab->control, control_free);
  close(control_socket_listen(lab->outbox.directory, &path, &error));
  g_assert_no_error(error);
  open_control(lab);
  assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_autofree char *account = g_path_get_basename(lab->outbox.directory);
  g_autofree char *other = g_build_filename(lab->runtime, account, NULL);
  g_assert_cmpint(mkdir(other, 0700), ==, 0);
  Control *second = control_new(other, NULL, lab->outbox.context, &error);
  g_assert_no_error(error);
  assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_autofree char *link = g_build_filename(other, "control", NULL);
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  control_free(second);
  g_autofree char *path_of_first = g_build_filename(lab->runtime, "mailfs", account, NULL);
  g_assert_true(g_file_test(path_of_first, G_FILE_TEST_EXISTS));
  g_assert_cmpint(rmdir(other), ==, 0);
  g_free(path);
}

// -- Hostile clients. After each of them another one is served.

static void assert_serves(Lab *lab) {
  assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
}

static void test_hostile(Lab *lab, gconstpointer unused) {
  g_autofree char *long_line = g_strnfill(20000, 'x');
  g_autofree char *deep = g_strnfill(4000, '[');
  deep[3999] = '\n';
  int fd = join(lab);
  send(fd, long_line, strlen(long_line), MSG_NOSIGNAL);
  g_autofree char *nothing = hear(lab, fd, NULL);
  g_assert_cmpstr(nothing, ==, "");
  close(fd);
  assert_serves(lab);
  assert_answer(lab, deep, "{\"error\":\"this is no JSON object\",\"code\":64}\n");
  fd = join(lab);
  g_assert_cmpint(send(fd, "a\0b\n", 4, MSG_NOSIGNAL), ==, 4);
  g_autofree char *silence = hear(lab, fd, NULL);
  g_assert_cmpstr(silence, ==, "");
  close(fd);
  fd = join(lab);
  speak(fd, "\xff\n");
  g_autofree char *still = hear(lab, fd, NULL);
  g_assert_cmpstr(still, ==, "");
  close(fd);
  assert_serves(lab);
}

// Some that say nothing, half of something, or go away in the middle of an answer.
static void test_gone(Lab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(&lab->outbox, "one");
  int silent = join(lab), half = join(lab), flushing = join(lab);
  speak(half, "{\"comm");
  speak(flushing, "{\"command\":\"flush\"}\n");
  g_autofree char *progress = hear(lab, flushing, "\n");
  g_assert_nonnull(strstr(progress, "{\"progress\""));
  int leaving = join(lab);
  speak(leaving, "{\"command\":\"flush\"}\n");
  close(leaving);
  close(flushing);
  assert_serves(lab);
  close(half);
  close(silent);
  assert_serves(lab);
}

// Who asks for much and reads nothing gets no more than a bounded part of it, until it reads.
static void test_slow(Lab *lab, gconstpointer unused) {
  enum { LETTERS = 300, TIMES = 20 };
  for (unsigned i = 0; i < LETTERS; i++) {
    g_autofree char *name = g_strdup_printf("%0200u", i);
    fixture_copy_letter(&lab->outbox, name);
  }
  int fd = join(lab);
  for (unsigned i = 0; i < TIMES; i++)
    speak(fd, "{\"command\":\"outbox\"}\n");
  for (unsigned i = 0; i < 1000; i++)
    g_main_context_iteration(lab->outbox.context, FALSE);
  assert_serves(lab);
  unsigned ends = 0, letters = 0;
  GString *all = g_string_new(NULL);
  while (ends < TIMES) {
    g_autofree char *heard = hear(lab, fd, "\n");
    g_string_append(all, heard);
    char *line_end;
    while ((line_end = strchr(all->str, '\n')) != NULL) {
      letters += g_str_has_prefix(all->str, "{\"letter\"");
      ends += g_str_has_prefix(all->str, "{\"done\":true}");
      g_string_erase(all, 0, line_end - all->str + 1);
    }
  }
  g_assert_cmpuint(letters, ==, LETTERS * TIMES);
  g_string_free(all, TRUE);
  close(fd);
}

// -- The other end, where nobody takes clients.

static void list_letters(Lab *lab, int code) {
  Place place = {.account = (char *)"lab", .directory = lab->outbox.directory};
  g_autoptr(GError) error = NULL;
  bool running;
  g_autoptr(GPtrArray) letters = letter_list_load(&place, &running, &error);
  g_assert_error(error, EXIT_ERROR, code);
  g_assert_null(letters);
}

// Too busy is not absent: the disk is not asked instead.
static void test_busy(Lab *lab, gconstpointer unused) {
  g_autoptr(GPtrArray) clients = g_ptr_array_new();
  int fd;
  while ((fd = control_socket_connect(lab->outbox.directory, NULL)) >= 0)
    g_ptr_array_add(clients, GINT_TO_POINTER(fd));
  list_letters(lab, EX_TEMPFAIL);
  for (unsigned i = 0; i < clients->len; i++)
    close(GPOINTER_TO_INT(clients->pdata[i]));
}

// Who is not answered gives up.
static void test_unanswered(Lab *lab, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(ControlClient) client = control_client_new(lab->outbox.directory, &error);
  g_assert_no_error(error);
  control_client_set_patience(client, 1);
  g_assert_true(control_client_ask(client, "outbox", NULL, &error));
  bool done;
  g_assert_null(control_client_next(client, &done, &error));
  g_assert_error(error, EXIT_ERROR, EX_TEMPFAIL);
}

// More at once than are served: the others wait for their turn.
static void test_crowd(Lab *lab, gconstpointer unused) {
  int fds[40];
  for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
    fds[i] = join(lab);
    speak(fds[i], "{\"command\":\"take\"}\n");
    g_main_context_iteration(lab->outbox.context, FALSE);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
    g_autofree char *heard = hear(lab, fds[i], "\n");
    g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
    close(fds[i]);
  }
  assert_serves(lab);
}

static unsigned turns_within(Lab *lab, int64_t wait_ms) {
  unsigned turns = 0;
  int64_t end_us = g_get_monotonic_time() + wait_ms * 1000;
  while (g_get_monotonic_time() < end_us)
    turns += g_main_context_iteration(lab->outbox.context, FALSE) ? 1 : 0;
  return turns;
}

// Half a request costs nothing while its other half is awaited.
static void test_half(Lab *lab, gconstpointer unused) {
  fixture_wait_disk(&lab->outbox);
  int fd = join(lab);
  speak(fd, "{\"command\"");
  g_assert_cmpuint(turns_within(lab, 300), <, 100);
  speak(fd, ":\"take\"}\n{\"comm");
  g_autofree char *heard = hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
  g_assert_cmpuint(turns_within(lab, 300), <, 100);
  close(fd);
}

// Without a descriptor to spare, the loop does not spin; with one, the client is served.
static void test_no_descriptors(Lab *lab, gconstpointer unused) {
  struct rlimit limit, none;
  fixture_wait_disk(&lab->outbox);
  int fd = join(lab);
  speak(fd, "{\"command\":\"take\"}\n");
  g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
  int spare = dup(fd);
  none = (struct rlimit){(rlim_t)spare, limit.rlim_max};
  close(spare);
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
  unsigned turns = turns_within(lab, 300);
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
  g_assert_cmpuint(turns, <, 100);
  g_autofree char *heard = hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
  close(fd);
}

static void ignore_log(const char *domain, GLogLevelFlags level, const char *text, gpointer data) {}

int main(int argc, char **argv) {
  umask(077);
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_handler("mailfs-cache", G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_WARNING, ignore_log, NULL);
  static const struct {
    const char *name;
    void (*test)(Lab *lab, gconstpointer unused);
  } tests[] = {
      {"/control/answers", test_answers},
      {"/control/pieces", test_pieces},
      {"/control/letters", test_letters},
      {"/control/locked", test_locked},
      {"/control/odd name", test_odd_name},
      {"/control/untaken", test_untaken},
      {"/control/cancel", test_cancel},
      {"/control/place", test_place},
      {"/control/stale", test_stale},
      {"/control/hostile", test_hostile},
      {"/control/gone", test_gone},
      {"/control/slow", test_slow},
      {"/control/crowd", test_crowd},
      {"/control/busy", test_busy},
      {"/control/unanswered", test_unanswered},
      {"/control/half", test_half},
      {"/control/no descriptors", test_no_descriptors},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].name, Lab, NULL, set_up, tests[i].test, tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
