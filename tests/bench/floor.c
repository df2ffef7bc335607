// floor: the fastest a mailbox can be fetched here. A bare client that logs in over TLS, opens one
// folder read-only, asks for everything in one command, reads the answer and forgets it. Nothing of
// mailfs is in it, so it measures nothing of mailfs.
//
//   FLOOR_HOST=localhost FLOOR_PORT=993 FLOOR_CA=ca.pem FLOOR_USER=alice FLOOR_PASSWORD=...
//   floor FOLDER ["(UID BODY.PEEK[])"]
//
// Prints "connect S", "select S", "fetch S", "total S" (seconds: until logged in, of EXAMINE, of
// FETCH from the command to its tagged answer, of all that) and "bytes N" (of the FETCH's answer).
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

// Begins the tagged answers; no mail holds it.
#define TAG "f1o0r"
#define BUFFER_BYTES (256 * 1024)
#define TAIL_BYTES 512

typedef struct {
  SSL *tls;
  unsigned commands;
  char buffer[BUFFER_BYTES];
  char tail[TAIL_BYTES + 1];  // the last bytes of what came
  size_t tail_size;
} Client;

G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *setting(const char *name) {
  const char *value = g_getenv(name);
  if (!value) fail("%s is not set", name);
  return value;
}

// -- The line.

static int tcp_connect(const char *host, const char *port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
  int one = 1, failure = getaddrinfo(host, port, &hints, &found);
  if (failure) fail("%s: %s", host, gai_strerror(failure));
  int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
    fail("connect: %s", g_strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  return fd;
}

static SSL *tls_connect(SSL_CTX *context, int fd, const char *host, const char *ca) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, BUFFER_BYTES);
  if (SSL_CTX_load_verify_file(context, ca) != 1) fail("%s cannot be read", ca);
  SSL *tls = SSL_new(context);
  SSL_set_tlsext_host_name(tls, host);
  SSL_set1_host(tls, host);
  SSL_set_fd(tls, fd);
  if (SSL_connect(tls) != 1) fail("no TLS with %s", host);
  return tls;
}

static void client_keep_tail(Client *client, size_t size) {
  if (size >= TAIL_BYTES) {
    memcpy(client->tail, client->buffer + size - TAIL_BYTES, TAIL_BYTES);
    client->tail_size = TAIL_BYTES;
  } else {
    size_t kept = MIN(client->tail_size, TAIL_BYTES - size);
    memmove(client->tail, client->tail + client->tail_size - kept, kept);
    memcpy(client->tail + kept, client->buffer, size);
    client->tail_size = kept + size;
  }
  client->tail[client->tail_size] = '\0';
}

static size_t client_read(Client *client) {
  int size = SSL_read(client->tls, client->buffer, BUFFER_BYTES);
  if (size <= 0) fail("the server went away");
  client_keep_tail(client, (size_t)size);
  return (size_t)size;
}

// The last line of what came if it is whole and begins with `start`; NULL: not yet.
static const char *client_last_line(Client *client, const char *start) {
  if (client->tail_size < 2 || !g_str_has_suffix(client->tail, "\r\n")) return NULL;
  const char *line = client->tail + client->tail_size - 2;
  while (line > client->tail && line[-1] != '\n')
    line--;
  return g_str_has_prefix(line, start) ? line : NULL;
}

// -- The conversation.

// Sends one command and reads to the end of its answer; returns the answer's size.
G_GNUC_PRINTF(2, 3) static uint64_t client_do(Client *client, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *command = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_autofree char *tag = g_strdup_printf(TAG "%u ", ++client->commands);
  g_autofree char *line = g_strconcat(tag, command, "\r\n", NULL);
  if (SSL_write(client->tls, line, (int)strlen(line)) <= 0) fail("the server went away");

  uint64_t bytes = 0;
  const char *answer = NULL;
  client->tail_size = 0;
  while (!answer) {
    bytes += client_read(client);
    answer = client_last_line(client, tag);
  }
  if (!g_str_has_prefix(answer + strlen(tag), "OK")) fail("the server says %s", answer);
  return bytes;
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) fail("usage: floor FOLDER [ITEMS]");
  const char *folder = argv[1], *items = argc > 2 ? argv[2] : "(UID BODY.PEEK[])";
  const char *host = setting("FLOOR_HOST");
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  Client *client = g_new0(Client, 1);

  double start = now_s();
  int fd = tcp_connect(host, setting("FLOOR_PORT"));
  client->tls = tls_connect(context, fd, host, setting("FLOOR_CA"));
  while (!client_last_line(client, "* "))
    client_read(client);
  client_do(client, "LOGIN \"%s\" \"%s\"", setting("FLOOR_USER"), setting("FLOOR_PASSWORD"));
  double connected = now_s();
  client_do(client, "EXAMINE \"%s\"", folder);
  double selected = now_s();
  uint64_t bytes = client_do(client, "UID FETCH 1:* %s", items);
  double fetched = now_s();

  printf("connect %.6f\nselect %.6f\nfetch %.6f\ntotal %.6f\nbytes %" G_GUINT64_FORMAT "\n",
         connected - start, selected - connected, fetched - selected, fetched - start, bytes);
  client_do(client, "LOGOUT");
  SSL_free(client->tls);
  SSL_CTX_free(context);
  close(fd);
  g_free(client);
  return 0;
}
