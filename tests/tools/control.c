// Claim: who asks a running mailfs well is answered in lines of JSON, and who asks one that does
// not answer gives up; the socket is the user's alone, and one that a crash left is replaced.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/drop_writer.h"
#include "control_lab.h"
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

static void test_answers(ControlLab *lab, gconstpointer unused) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_test_message("%s", rows[i].request);
    control_lab_assert_answer(lab, rows[i].request, rows[i].answer);
  }
}

// Several requests at once, in pieces, and the end of what is said before the answer.
static void test_pieces(ControlLab *lab, gconstpointer unused) {
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"take\"}\n{\"command\":\"outbox\"}\n{\"comm");
  for (unsigned i = 0; i < 20; i++)
    g_main_context_iteration(lab->outbox.context, FALSE);
  control_lab_speak(fd, "and\":\"flush\"}\n");
  g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
  g_autofree char *heard = control_lab_hear(lab, fd, NULL);
  g_assert_cmpstr(heard, ==,
                  "{\"done\":true}\n{\"done\":true}\n"
                  "{\"done\":true,\"total\":0,\"sent\":0,\"failed\":0,\"delayed\":0}\n");
  close(fd);
}

static void test_letters(ControlLab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_ACCEPT);
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(&lab->outbox, "one");
  fixture_copy_letter(&lab->outbox, "two");
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"outbox\"}\n");
  g_autofree char *list = control_lab_hear(lab, fd, "{\"done\":true}\n");
  g_assert_nonnull(
      strstr(list,
             "{\"letter\":{\"name\":\"one\",\"escaped\":\"one\",\"directory\":\"outbox\","
             "\"state\":\"held\","));
  g_assert_nonnull(strstr(list, "\"next_try\":\"20"));
  control_lab_speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told =
      control_lab_hear(lab, fd, "\"total\":2,\"sent\":1,\"failed\":1,\"delayed\":0}\n");
  g_assert_nonnull(strstr(told, "{\"progress\":{\"total\":2,\"sent\":0,"));
  control_lab_speak(fd, "{\"command\":\"retry\",\"name\":\"two\"}\n");
  g_autofree char *retried = control_lab_hear(lab, fd, "\n");
  g_assert_cmpstr(retried, ==, "{\"done\":true}\n");
  g_assert_true(fixture_was_told(&lab->outbox, "- failed/two"));
  g_assert_true(fixture_was_told(&lab->outbox, "- failed/two.error"));
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  close(fd);
}

static void drop_letter(ControlLab *lab, const char *name) {
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
static void test_locked(ControlLab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(&lab->outbox, "mail");
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told = control_lab_hear(lab, fd, "{\"done\"");
  g_assert_nonnull(strstr(told, "\"failed\":1,"));
  close(fd);
  fixture_copy(&lab->outbox, ".mail.swp", "an editor's");
  control_lab_assert_answer(lab, "{\"command\":\"retry\",\"name\":\"mail\"}\n",
                            "{\"error\":\"outbox: mail: an editor has it open\",\"code\":75}\n");
  fixture_assert_names(&lab->outbox, ".mail.swp", "mail mail.error");
  g_assert_cmpint(fixture_unlink(&lab->outbox, OUTBOX_INO, ".mail.swp"), ==, 0);
  control_lab_assert_answer(lab, "{\"command\":\"retry\",\"name\":\"mail\"}\n",
                            "{\"done\":true}\n");
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// A name need not be text: it is told escaped, too, and that is what can be asked for.
static void test_odd_name(ControlLab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "caf\xe9 %1");
  fixture_wait_disk(&lab->outbox);
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"outbox\"}\n");
  g_autofree char *list = control_lab_hear(lab, fd, "{\"done\":true}\n");
  g_assert_nonnull(
      strstr(list, "{\"letter\":{\"name\":\"caf\xef\xbf\xbd %1\",\"escaped\":\"caf%E9%20%251\","));
  close(fd);
  control_lab_assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"caf%E9%20%251\"}\n",
                            "{\"done\":true}\n");
  fixture_assert_names(&lab->outbox, "", "");
}

// What was handed over and cannot be taken is told of, and all else is sent.
static void test_untaken(ControlLab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "one");
  has_no_room = true;
  drop_letter(lab, "two");
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *told = control_lab_hear(lab, fd, "{\"done\"");
  g_assert_nonnull(
      strstr(told, "\"total\":1,\"sent\":1,\"failed\":0,\"delayed\":0,\"untaken\":\""));
  g_assert_nonnull(strstr(told, "No space left on device\"}\n"));
  has_no_room = false;
  control_lab_speak(fd, "{\"command\":\"flush\"}\n");
  g_autofree char *sent = control_lab_hear(lab, fd, "{\"done\"");
  g_assert_null(strstr(sent, "untaken"));
  fixture_wait_sent(&lab->outbox);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  close(fd);
}

static void test_cancel(ControlLab *lab, gconstpointer unused) {
  fixture_copy_letter(&lab->outbox, "one");
  fixture_fail_letter(&lab->outbox, "bad");
  fixture_wait_disk(&lab->outbox);
  control_lab_assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"one\"}\n",
                            "{\"done\":true}\n");
  g_assert_true(fixture_was_told(&lab->outbox, "- outbox/one"));
  fixture_assert_names(&lab->outbox, "", "bad bad.error");
  control_lab_assert_answer(
      lab, "{\"command\":\"retry\",\"name\":\"bad\"}\n",
      "{\"error\":\"outbox: bad: it does not begin with a header: line 1 is no header "
      "field\",\"code\":65}\n");
  control_lab_assert_answer(lab, "{\"command\":\"cancel\",\"name\":\"bad\"}\n",
                            "{\"done\":true}\n");
  fixture_assert_names(&lab->outbox, "", "");
}

static bool has_file(const char *path, mode_t mode) {
  struct stat status;
  return lstat(path, &status) == 0 && (status.st_mode & (S_IFMT | 0777)) == mode;
}

// The socket is where it is promised, for nobody else, and gone at the end. It is found also when
// the runtime directory was made anew, as at a logout.
static void test_place(ControlLab *lab, gconstpointer unused) {
  g_autofree char *account = g_path_get_basename(lab->outbox.directory);
  g_autofree char *directory = g_build_filename(lab->runtime, "mailfs", NULL);
  g_autofree char *path = g_build_filename(directory, account, NULL);
  g_autofree char *link = g_build_filename(lab->outbox.directory, "control", NULL);
  g_assert_true(has_file(directory, S_IFDIR | 0700));
  g_assert_true(has_file(path, S_IFLNK | 0777));
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  g_assert_cmpint(unlink(path), ==, 0);
  g_assert_cmpint(rmdir(directory), ==, 0);
  control_lab_assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_clear_pointer(&lab->control, control_free);
  control_lab_open(lab);
  g_assert_true(has_file(path, S_IFLNK | 0777));
  g_clear_pointer(&lab->control, control_free);
  g_assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
  g_assert_false(g_file_test(link, G_FILE_TEST_EXISTS));
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(control_socket_connect(lab->outbox.directory, &error), ==, -1);
  g_assert_error(error, EXIT_ERROR, EX_UNAVAILABLE);
  g_unsetenv("XDG_RUNTIME_DIR");
  control_lab_open(lab);
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  control_lab_assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
}

// What a crash left is replaced; where another one answers, with another state directory, it keeps
// its place.
static void test_stale(ControlLab *lab, gconstpointer unused) {
  char *path;
  g_autoptr(GError) error = NULL;
  g_clear_pointer(&lab->control, control_free);
  close(control_socket_listen(lab->outbox.directory, &path, &error));
  g_assert_no_error(error);
  control_lab_open(lab);
  control_lab_assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_autofree char *account = g_path_get_basename(lab->outbox.directory);
  g_autofree char *other = g_build_filename(lab->runtime, account, NULL);
  g_assert_cmpint(mkdir(other, 0700), ==, 0);
  Control *second = control_new(other, NULL, lab->outbox.context, &error);
  g_assert_no_error(error);
  control_lab_assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
  g_autofree char *link = g_build_filename(other, "control", NULL);
  g_assert_true(has_file(link, S_IFSOCK | 0600));
  control_free(second);
  g_autofree char *path_of_first = g_build_filename(lab->runtime, "mailfs", account, NULL);
  g_assert_true(g_file_test(path_of_first, G_FILE_TEST_EXISTS));
  g_assert_cmpint(rmdir(other), ==, 0);
  g_free(path);
}

// -- The other end, where nobody takes clients.

static void list_letters(ControlLab *lab, int code) {
  Place place = {.account = (char *)"lab", .directory = lab->outbox.directory};
  g_autoptr(GError) error = NULL;
  bool running;
  g_autoptr(GPtrArray) letters = letter_list_load(&place, &running, &error);
  g_assert_error(error, EXIT_ERROR, code);
  g_assert_null(letters);
}

// Too busy is not absent: the disk is not asked instead.
static void test_busy(ControlLab *lab, gconstpointer unused) {
  g_autoptr(GPtrArray) clients = g_ptr_array_new();
  int fd;
  while ((fd = control_socket_connect(lab->outbox.directory, NULL)) >= 0)
    g_ptr_array_add(clients, GINT_TO_POINTER(fd));
  list_letters(lab, EX_TEMPFAIL);
  for (unsigned i = 0; i < clients->len; i++)
    close(GPOINTER_TO_INT(clients->pdata[i]));
}

// Who is not answered gives up.
static void test_unanswered(ControlLab *lab, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(ControlClient) client = control_client_new(lab->outbox.directory, &error);
  g_assert_no_error(error);
  control_client_set_patience(client, 1);
  g_assert_true(control_client_ask(client, "outbox", NULL, &error));
  bool done;
  g_assert_null(control_client_next(client, &done, &error));
  g_assert_error(error, EXIT_ERROR, EX_TEMPFAIL);
}

int main(int argc, char **argv) {
  static const ControlLabTest tests[] = {
      {"/control/answers", test_answers},       {"/control/pieces", test_pieces},
      {"/control/letters", test_letters},       {"/control/locked", test_locked},
      {"/control/odd name", test_odd_name},     {"/control/untaken", test_untaken},
      {"/control/cancel", test_cancel},         {"/control/place", test_place},
      {"/control/stale", test_stale},           {"/control/busy", test_busy},
      {"/control/unanswered", test_unanswered},
  };
  return control_lab_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
