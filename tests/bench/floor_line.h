// The Line is a floor's connection: TLS to the server that the environment names (FLOOR_HOST,
// FLOOR_PORT, FLOOR_CA, FLOOR_USER, FLOOR_PASSWORD), with a large buffer and nothing else. What
// fails ends the program with a message. One thread, one line.
#pragma once

#include <stddef.h>

#include <glib.h>
#include <openssl/ssl.h>

#define LINE_BUFFER_BYTES (256 * 1024)

typedef struct {
  SSL_CTX *context;
  SSL *tls;
  int fd;
  char buffer[LINE_BUFFER_BYTES];  // what the last read brought
} Line;

G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN void floor_fail(const char *format, ...);
// A variable of the environment that must be set.
const char *floor_setting(const char *name);
// Seconds of a clock that only goes forward.
double floor_now_s(void);

// Connects; nothing was read yet.
Line *line_open(void);
// Fills the buffer with what is here, waiting for at least a byte; returns how many.
size_t line_read(Line *line);
void line_write(Line *line, const char *bytes, size_t size);
void line_free(Line *line);
