// mailfsctl [-a ACCOUNT] COMMAND: looks after the letters of an account, through a running mailfs
// where one is needed.
#include <locale.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-glib/json-glib.h>

#include "tools/control_client.h"
#include "tools/ctl_line.h"
#include "tools/exit_code.h"
#include "tools/letter_list.h"
#include "tools/log.h"

static int list(const CtlLine *line, const Place *place) {
  g_autoptr(GError) error = NULL;
  bool running;
  g_autoptr(GPtrArray) letters = letter_list_load(place, &running, &error);
  if (letters == NULL) return exit_report(error);
  letter_list_print(letters, line->as_json);
  if (!running && letters->len > 0)
    g_message("mailfs is not running for %s: nothing is sent until it is mounted", place->account);
  return EXIT_SUCCESS;
}

// -- Sending all that waits.

static unsigned count_of(JsonObject *object, const char *member) {
  return (unsigned)json_object_get_int_member_with_default(object, member, 0);
}

static void show_progress(JsonObject *progress) {
  if (!isatty(STDERR_FILENO)) return;
  fprintf(stderr, "\r\033[K%u of %u sent", count_of(progress, "sent"), count_of(progress, "total"));
  unsigned failed = count_of(progress, "failed");
  if (failed > 0) fprintf(stderr, ", %u failed", failed);
  fflush(stderr);
}

static void hide_progress(void) {
  if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

static int show_end(const CtlLine *line, JsonObject *end) {
  unsigned sent = count_of(end, "sent");
  unsigned failed = count_of(end, "failed");
  unsigned delayed = count_of(end, "delayed");
  if (line->as_json) {
    json_object_remove_member(end, "done");
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), end);
    g_autofree char *text = json_to_string(node, FALSE);
    puts(text);
  } else if (sent > 0) {
    printf("%u letter%s sent\n", sent, sent == 1 ? "" : "s");
  }
  if (delayed > 0)
    g_message("%u letter%s wait%s: %s", delayed, delayed == 1 ? "" : "s", delayed == 1 ? "s" : "",
              json_object_get_string_member_with_default(end, "why", "not taken for now"));
  if (failed > 0)
    g_message("%u letter%s failed: mailfsctl outbox tells why", failed, failed == 1 ? "" : "s");
  const char *untaken = json_object_get_string_member_with_default(end, "untaken", NULL);
  if (untaken != NULL) g_message("letters of mailfs-sendmail wait beside the outbox: %s", untaken);
  if (failed > 0) return EX_UNAVAILABLE;
  return delayed > 0 || untaken != NULL ? EX_TEMPFAIL : EXIT_SUCCESS;
}

static int flush(const CtlLine *line, ControlClient *client) {
  g_autoptr(GError) error = NULL;
  if (!control_client_ask(client, "flush", NULL, &error)) return exit_report(error);
  for (;;) {
    bool done = false;
    g_autoptr(JsonObject) answer = control_client_next(client, &done, &error);
    // It lives; how long the servers take is not known.
    control_client_set_patience(client, 0);
    if (answer == NULL || done) hide_progress();
    if (answer == NULL) return exit_report(error);
    if (done) return show_end(line, answer);
    if (json_object_has_member(answer, "progress"))
      show_progress(json_object_get_object_member(answer, "progress"));
  }
}

// -- Single letters. All are tried; the first that fails gives the exit code.

static bool ask_once(ControlClient *client, const char *command, const char *escaped,
                     GError **error) {
  if (!control_client_ask(client, command, escaped, error)) return false;
  bool done;
  g_autoptr(JsonObject) answer = control_client_next(client, &done, error);
  return answer != NULL;
}

static char *escape(const CtlLine *line, const char *name) {
  if (line->is_escaped) return g_strdup(name);
  return g_uri_escape_bytes((const uint8_t *)name, strlen(name), NULL);
}

static int ask_each(const CtlLine *line, ControlClient *client) {
  const char *command = line->command == CTL_RETRY ? "retry" : "cancel";
  int code = EXIT_SUCCESS;
  for (char **name = line->names; *name != NULL; name++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *escaped = escape(line, *name);
    if (ask_once(client, command, escaped, &error)) continue;
    int failed = exit_report(error);
    if (code == EXIT_SUCCESS) code = failed;
  }
  return code;
}

static int run(const CtlLine *line) {
  g_autoptr(GError) error = NULL;
  g_autoptr(Place) place = place_find(line->account, &line->hints, &error);
  if (place == NULL) return exit_report(error);
  if (line->command == CTL_OUTBOX) return list(line, place);
  g_autoptr(ControlClient) client = control_client_new(place->directory, &error);
  if (client == NULL) return exit_report(error);
  return line->command == CTL_FLUSH ? flush(line, client) : ask_each(line, client);
}

int main(int argc, char **argv) {
  umask(077);
  setlocale(LC_CTYPE, "");
  log_start("mailfsctl");
  signal(SIGPIPE, SIG_IGN);
  CtlLine line = {0};
  g_autoptr(GError) error = NULL;
  if (!ctl_line_parse(&line, argc, argv, &error)) return exit_report(error);
  if (line.wants_help) fputs(ctl_line_help(), stdout);
  if (line.wants_version) puts("mailfsctl " MAILFS_VERSION);
  int code = line.wants_help || line.wants_version ? EXIT_SUCCESS : run(&line);
  return fflush(stdout) == 0 ? code : EX_IOERR;
}
