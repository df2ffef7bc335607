// Pop3Lines cuts a listing that comes in pieces into its lines, and keeps no more than one.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

// RFC 2449 4 allows 512 bytes.
#define POP3_LINE_MAX 1024

// Is told a line, without its end, NUL behind it; one beyond POP3_LINE_MAX bytes is told as NULL.
typedef bool (*Pop3LineFunc)(const char *line, size_t length, gpointer data, GError **error);

typedef struct {
  Pop3LineFunc func;
  gpointer data;
  char line[POP3_LINE_MAX + 2];  // a CR and a NUL more
  size_t length;                 // 0: at the beginning of a line
  bool is_too_long;
} Pop3Lines;

// Takes bytes, cut anywhere, and tells each line that is whole; `lines` is a Pop3Lines. False, and
// the rest is left, when `func` fails.
bool pop3_lines_take(const char *bytes, size_t size, gpointer lines, GError **error);
