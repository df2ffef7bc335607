#include "floor_line.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

void floor_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  ERR_print_errors_fp(stderr);
  exit(1);
}

double floor_now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *floor_setting(const char *name) {
  const char *value = g_getenv(name);
  if (!value) floor_fail("%s is not set", name);
  return value;
}

// -- The line.

static int tcp_connect(const char *host, const char *port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
  int one = 1, failure = getaddrinfo(host, port, &hints, &found);
  if (failure) floor_fail("%s: %s", host, gai_strerror(failure));
  int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
    floor_fail("connect: %s", g_strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  return fd;
}

static SSL *tls_connect(SSL_CTX *context, int fd, const char *host, const char *ca) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, LINE_BUFFER_BYTES);
  if (SSL_CTX_load_verify_file(context, ca) != 1) floor_fail("%s cannot be read", ca);
  SSL *tls = SSL_new(context);
  SSL_set_tlsext_host_name(tls, host);
  SSL_set1_host(tls, host);
  SSL_set_fd(tls, fd);
  if (SSL_connect(tls) != 1) floor_fail("no TLS with %s", host);
  return tls;
}

Line *line_open(void) {
  Line *line = g_new0(Line, 1);
  const char *host = floor_setting("FLOOR_HOST");
  line->context = SSL_CTX_new(TLS_client_method());
  line->fd = tcp_connect(host, floor_setting("FLOOR_PORT"));
  line->tls = tls_connect(line->context, line->fd, host, floor_setting("FLOOR_CA"));
  return line;
}

size_t line_read(Line *line) {
  int size = SSL_read(line->tls, line->buffer, sizeof line->buffer);
  if (size <= 0) floor_fail("the server went away");
  return (size_t)size;
}

void line_write(Line *line, const char *bytes, size_t size) {
  if (SSL_write(line->tls, bytes, (int)size) <= 0) floor_fail("the server went away");
}

void line_free(Line *line) {
  SSL_free(line->tls);
  SSL_CTX_free(line->context);
  close(line->fd);
  g_free(line);
}
