#include "cache/letter_quoted.h"

#include <string.h>

// Of a line, the "=" of a soft line break left aside.
#define COLUMNS 75

static size_t put_token(LetterQuoted *quoted, char byte, bool encoded, char *out) {
  static const char hex[] = "0123456789ABCDEF";
  size_t used = 0;
  if (quoted->column + (encoded ? 3 : 1) > COLUMNS) {
    memcpy(out, "=\r\n", 3);
    used = 3;
    quoted->column = 0;
  }
  if (encoded || (byte == '-' && quoted->column == 0)) {
    out[used++] = '=';
    out[used++] = hex[(unsigned char)byte >> 4];
    out[used++] = hex[(unsigned char)byte & 15];
    quoted->column += 3;
  } else {
    out[used++] = byte;
    quoted->column++;
  }
  return used;
}

size_t letter_quoted_end(LetterQuoted *quoted, char out[LETTER_QUOTED_MAX]) {
  size_t used = quoted->held != '\0' ? put_token(quoted, quoted->held, true, out) : 0;
  quoted->held = '\0';
  return used;
}

size_t letter_quoted_put(LetterQuoted *quoted, char byte, char out[LETTER_QUOTED_MAX]) {
  size_t used = 0;
  if (byte == '\r') return 0;
  if (byte == '\n') {
    used = letter_quoted_end(quoted, out);
    memcpy(out + used, "\r\n", 2);
    quoted->column = 0;
    return used + 2;
  }
  if (quoted->held != '\0') used = put_token(quoted, quoted->held, false, out);
  quoted->held = '\0';
  if (byte == ' ' || byte == '\t')
    quoted->held = byte;
  else
    used += put_token(quoted, byte, byte < '!' || byte > '~' || byte == '=', out + used);
  return used;
}
