#include "tools/control_client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tools/control_socket.h"
#include "tools/exit_code.h"

// A letter with many recipients is a long line.
#define LINE_MAX_BYTES (64u << 20)

// A disk may be slow to take a letter back; a mailfs that is stopped never answers.
#define PATIENCE_S 30

struct ControlClient {
  int fd;
  unsigned patience_s;
  GString *in;
};

ControlClient *control_client_new(const char *account_directory, GError **error) {
  int fd = control_socket_connect(account_directory, error);
  if (fd < 0) return NULL;
  fcntl(fd, F_SETFL, 0);
  ControlClient *client = g_new0(ControlClient, 1);
  client->fd = fd;
  client->in = g_string_new(NULL);
  control_client_set_patience(client, PATIENCE_S);
  return client;
}

void control_client_set_patience(ControlClient *client, unsigned seconds) {
  const struct timeval wait = {.tv_sec = (time_t)seconds};
  client->patience_s = seconds;
  setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

void control_client_free(ControlClient *client) {
  if (client == NULL) return;
  close(client->fd);
  g_string_free(client->in, TRUE);
  g_free(client);
}

static void add_text(JsonBuilder *builder, const char *member, const char *text) {
  json_builder_set_member_name(builder, member);
  json_builder_add_string_value(builder, text);
}

static char *request_of(const char *command, const char *escaped) {
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  add_text(builder, "command", command);
  if (escaped != NULL) add_text(builder, "name", escaped);
  json_builder_end_object(builder);
  g_autoptr(JsonNode) node = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(node, FALSE);
  return g_strconcat(text, "\n", NULL);
}

static bool fail(GError **error, const char *why) {
  g_set_error(error, EXIT_ERROR, EX_UNAVAILABLE, "mailfs does not answer: %s", why);
  return false;
}

bool control_client_ask(ControlClient *client, const char *command, const char *escaped,
                        GError **error) {
  g_autofree char *request = request_of(command, escaped);
  size_t length = strlen(request);
  ssize_t put = send(client->fd, request, length, MSG_NOSIGNAL);
  return put == (ssize_t)length || fail(error, put < 0 ? g_strerror(errno) : "it is cut short");
}

static void fail_to_read(const ControlClient *client, ssize_t got, GError **error) {
  if (got < 0 && errno == EAGAIN)
    g_set_error(error, EXIT_ERROR, EX_TEMPFAIL, "mailfs does not answer: nothing came for %u s",
                client->patience_s);
  else
    fail(error, got < 0 ? g_strerror(errno) : "it has ended");
}

// The next line without its end, newly allocated.
static char *read_line(ControlClient *client, GError **error) {
  char *end;
  while ((end = memchr(client->in->str, '\n', client->in->len)) == NULL) {
    char bytes[65536];
    ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || client->in->len > LINE_MAX_BYTES) {
      fail_to_read(client, got, error);
      return NULL;
    }
    g_string_append_len(client->in, bytes, got);
  }
  size_t length = (size_t)(end - client->in->str);
  char *line = g_strndup(client->in->str, length);
  g_string_erase(client->in, 0, (gssize)length + 1);
  return line;
}

JsonObject *control_client_next(ControlClient *client, bool *done, GError **error) {
  g_autofree char *line = read_line(client, error);
  if (line == NULL) return NULL;
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonNode *root =
      json_parser_load_from_data(parser, line, -1, NULL) ? json_parser_get_root(parser) : NULL;
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
    fail(error, "it talks nonsense");
    return NULL;
  }
  JsonObject *answer = json_node_get_object(root);
  *done = json_object_has_member(answer, "done");
  if (!json_object_has_member(answer, "error")) return json_object_ref(answer);
  g_set_error(error, EXIT_ERROR,
              (int)json_object_get_int_member_with_default(answer, "code", EX_UNAVAILABLE), "%s",
              json_object_get_string_member_with_default(answer, "error", "?"));
  return NULL;
}

void control_client_tell_drops(const char *account_directory) {
  int fd = control_socket_connect(account_directory, NULL);
  if (fd < 0) return;
  g_autofree char *request = request_of("take", NULL);
  if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
    g_debug("mailfs not told: %s", g_strerror(errno));
  close(fd);
}
