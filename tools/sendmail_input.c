#include "tools/sendmail_input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <gmime/gmime.h>

#include "cache/letter_header.h"
#include "tools/exit_code.h"

#define HEADER_MAX (1u << 20)
#define BUFFER_BYTES 65536

struct SendmailInput {
  int fd;
  bool takes_dots;
  bool at_end;       // of the input, or the dot came
  GString *waiting;  // read; from `at` on, not looked at yet
  size_t at;
  GString *head;         // what was looked at for the header's sake
  LetterHeader *header;  // of head; NULL: it is no header
};

// -- Lines.

static bool fail(GError **error, const char *doing) {
  g_set_error(error, EXIT_ERROR, EX_IOERR, "cannot %s the message: %s", doing, g_strerror(errno));
  return false;
}

// False at the end too, without an error.
static bool read_more(SendmailInput *input, GError **error) {
  char bytes[BUFFER_BYTES];
  ssize_t got;
  while ((got = read(input->fd, bytes, sizeof bytes)) < 0)
    if (errno != EINTR) return fail(error, "read");
  g_string_erase(input->waiting, 0, (gssize)input->at);
  input->at = 0;
  g_string_append_len(input->waiting, bytes, got);
  return got > 0;
}

static const char *bytes_of(const SendmailInput *input, size_t *length) {
  *length = input->waiting->len - input->at;
  return input->waiting->str + input->at;
}

static const char *find_end(const SendmailInput *input) {
  size_t length;
  const char *bytes = bytes_of(input, &length);
  return memchr(bytes, '\n', length);
}

static bool is_dot(const char *line, size_t length) {
  return (length >= 1 && line[0] == '.') && (length == 1 || (length == 2 && line[1] == '\n') ||
                                             (length == 3 && line[1] == '\r' && line[2] == '\n'));
}

// How many of the waiting bytes are the next line, or a part of a long one; 0: it has ended, or
// there is an error. *starts: whether a line starts with them, for the next call too.
static size_t next_piece(SendmailInput *input, bool *starts, GError **error) {
  GError *failed = NULL;
  const char *end = NULL;
  size_t length;
  while (!input->at_end && (end = find_end(input)) == NULL &&
         input->waiting->len - input->at < BUFFER_BYTES && read_more(input, &failed))
    continue;
  if (failed != NULL) {
    g_propagate_error(error, failed);
    return 0;
  }
  const char *bytes = bytes_of(input, &length);
  if (end != NULL) length = (size_t)(end - bytes) + 1;
  if (!input->takes_dots && *starts && is_dot(bytes, length)) input->at_end = true;
  *starts = end != NULL;
  return input->at_end ? 0 : length;
}

// -- The header.

static bool is_blank(const char *line, size_t length) {
  return line[0] == '\n' || (length == 2 && line[0] == '\r' && line[1] == '\n');
}

static bool read_head(SendmailInput *input, GError **error) {
  bool starts = true, blank = false;
  while (!blank && input->head->len < HEADER_MAX) {
    GError *failed = NULL;
    bool at_start = starts;
    size_t length = next_piece(input, &starts, &failed);
    if (failed != NULL) {
      g_propagate_error(error, failed);
      return false;
    }
    if (length == 0) break;
    const char *bytes = input->waiting->str + input->at;
    blank = at_start && is_blank(bytes, length);
    g_string_append_len(input->head, bytes, (gssize)length);
    input->at += length;
  }
  return true;
}

SendmailInput *sendmail_input_new(int fd, bool takes_dots, GError **error) {
  g_autoptr(SendmailInput) input = g_new0(SendmailInput, 1);
  input->fd = fd;
  input->takes_dots = takes_dots;
  input->waiting = g_string_new(NULL);
  input->head = g_string_new(NULL);
  if (!read_head(input, error)) return NULL;
  if (input->head->len == 0) {
    g_set_error(error, EXIT_ERROR, EX_DATAERR, "the message is empty");
    return NULL;
  }
  input->header = letter_header_scan(input->head->str, input->head->len, NULL);
  return g_steal_pointer(&input);
}

void sendmail_input_free(SendmailInput *input) {
  if (input == NULL) return;
  if (input->waiting != NULL) g_string_free(input->waiting, TRUE);
  if (input->head != NULL) g_string_free(input->head, TRUE);
  letter_header_free(input->header);
  g_free(input);
}

char *sendmail_input_field(const SendmailInput *input, const char *name) {
  const LetterField *field =
      input->header != NULL ? letter_header_find(input->header, input->head->str, name) : NULL;
  return field != NULL ? letter_field_value(input->head->str, field) : NULL;
}

// -- Out again.

static bool write_all(int fd, const char *bytes, size_t size, GError **error) {
  while (size > 0) {
    ssize_t put = write(fd, bytes, size);
    if (put < 0 && errno != EINTR) {
      int code = errno == ENOSPC || errno == EDQUOT ? EX_TEMPFAIL : EX_IOERR;
      fail(error, "keep");
      if (error != NULL) (*error)->code = code;
      return false;
    }
    if (put > 0) {
      bytes += put;
      size -= (size_t)put;
    }
  }
  return true;
}

// Lines are short, and each write is a call.
typedef struct {
  int fd;
  size_t used;
  char bytes[BUFFER_BYTES];
} Out;

// No bytes: writes what is left.
static bool put(Out *out, const char *bytes, size_t size, GError **error) {
  if (bytes == NULL || out->used + size > sizeof out->bytes) {
    if (!write_all(out->fd, out->bytes, out->used, error)) return false;
    out->used = 0;
  }
  if (size > sizeof out->bytes) return write_all(out->fd, bytes, size, error);
  if (size > 0) memcpy(out->bytes + out->used, bytes, size);
  out->used += size;
  return true;
}

// True if the first line cannot belong to a header, so that all is text.
static bool is_mere_text(const SendmailInput *input) {
  if (input->header != NULL) return false;
  const char *end = memchr(input->head->str, '\n', input->head->len);
  size_t length = end != NULL ? (size_t)(end - input->head->str) + 1 : input->head->len;
  g_autoptr(LetterHeader) first = letter_header_scan(input->head->str, length, NULL);
  return first == NULL && !g_str_has_prefix(input->head->str, "From ");
}

// What is put in front, newly allocated. Mere text gets a field in any case: without one, what
// follows would be no header.
static char *make_fields(const SendmailInput *input, const char *from) {
  bool text = is_mere_text(input);
  bool lacks_from = text || (input->header != NULL &&
                             letter_header_find(input->header, input->head->str, "From") == NULL);
  GString *fields = g_string_new(NULL);
  if (from != NULL && lacks_from) g_string_append_printf(fields, "From: %s\n", from);
  if (from == NULL && text) {
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_mime_utils_header_format_date(now);
    g_string_append_printf(fields, "Date: %s\n", date);
  }
  if (text) g_string_append_c(fields, '\n');
  return g_string_free(fields, FALSE);
}

static bool write_head(const SendmailInput *input, int fd, const char *from, GError **error) {
  size_t start = input->header != NULL ? input->header->start : 0;
  g_autofree char *fields = make_fields(input, from);
  return write_all(fd, fields, strlen(fields), error) &&
         write_all(fd, input->head->str + start, input->head->len - start, error);
}

bool sendmail_input_write(SendmailInput *input, int fd, const char *from, GError **error) {
  if (!write_head(input, fd, from, error)) return false;
  bool starts = g_str_has_suffix(input->head->str, "\n");
  Out out = {.fd = fd};
  for (;;) {
    GError *failed = NULL;
    size_t length = next_piece(input, &starts, &failed);
    if (failed != NULL) {
      g_propagate_error(error, failed);
      return false;
    }
    if (length == 0) return put(&out, NULL, 0, error);
    if (!put(&out, input->waiting->str + input->at, length, error)) return false;
    input->at += length;
  }
}
