#include <string.h>

#include "cache/letter_private.h"
#include "cache/letter_quoted.h"

// The file from edit to edit, line ends made CRLF on the way.
struct LetterStream {
  const Letter *letter;
  int fd;
  bool is_copy;
  uint64_t offset;   // of the next byte to read from the file
  unsigned edit;     // the next edit that lies ahead
  uint64_t encodes;  // the end of what is given out quoted-printable; 0: nothing is
  LetterQuoted quoted;
  const char *text;  // to be given out before anything else
  size_t text_left;
  char last;    // byte given out
  bool at_end;  // of the file
  size_t at, filled;
  char encoded[LETTER_QUOTED_MAX];
  char buffer[16384];
};

static LetterStream *stream_new(const Letter *letter, int fd, bool is_copy) {
  LetterStream *stream = g_new0(LetterStream, 1);
  stream->letter = letter;
  stream->fd = fd;
  stream->is_copy = is_copy;
  stream->last = '\n';
  return stream;
}

LetterStream *letter_stream_new(const Letter *letter, int fd) {
  return stream_new(letter, fd, false);
}

LetterStream *letter_stream_new_copy(const Letter *letter, int fd) {
  return stream_new(letter, fd, true);
}

void letter_stream_free(LetterStream *stream) {
  g_free(stream);
}

static void give(LetterStream *stream, const char *text, size_t size) {
  stream->text = text;
  stream->text_left = size;
}

static const LetterEdit *next_edit(const LetterStream *stream) {
  const GArray *edits = stream->letter->edits;
  return stream->edit < edits->len ? &g_array_index(edits, LetterEdit, stream->edit) : NULL;
}

static void begin_edit(LetterStream *stream, const LetterEdit *edit) {
  stream->edit++;
  if (edit->text != NULL) give(stream, edit->text, strlen(edit->text));
  if (edit->encodes) {
    stream->encodes = edit->end;
    stream->quoted = (LetterQuoted){0};
  } else if (!edit->is_hidden || !stream->is_copy) {
    stream->offset = edit->end;
  }
}

static void end_encoding(LetterStream *stream) {
  stream->encodes = 0;
  give(stream, stream->encoded, letter_quoted_end(&stream->quoted, stream->encoded));
}

// How much may be read before something else is to be done.
static size_t readable(const LetterStream *stream) {
  const LetterEdit *edit = next_edit(stream);
  uint64_t most = sizeof stream->buffer;
  if (stream->encodes > 0) return (size_t)MIN(most, stream->encodes - stream->offset);
  return (size_t)(edit != NULL ? MIN(most, edit->start - stream->offset) : most);
}

// Comes to the next text or bytes of the file, or to the end of all.
static bool advance(LetterStream *stream, GError **error) {
  const LetterEdit *edit = next_edit(stream);
  if (stream->encodes > 0 && stream->offset >= stream->encodes) {
    end_encoding(stream);
    return true;
  }
  if (edit != NULL && edit->start <= stream->offset) {
    begin_edit(stream, edit);
    return true;
  }
  ssize_t got = letter_pread(stream->fd, stream->buffer, readable(stream), stream->offset, error);
  if (got < 0) return false;
  stream->at = 0;
  stream->filled = (size_t)got;
  stream->offset += (uint64_t)got;
  stream->at_end = got == 0;
  return true;
}

// Copies up to the next newline that lacks its CR, which becomes a text of both.
static size_t copy(LetterStream *stream, char *out, size_t size) {
  const char *from = stream->buffer + stream->at;
  size_t most = MIN(size, stream->filled - stream->at);
  const char *newline = memchr(from, '\n', most);
  size_t part = newline != NULL ? (size_t)(newline - from) : most;
  memcpy(out, from, part);
  if (part > 0) stream->last = out[part - 1];
  stream->at += part;
  if (newline == NULL) return part;
  stream->at++;
  if (stream->last == '\r')
    give(stream, "\n", 1);
  else
    give(stream, "\r\n", 2);
  return part;
}

static size_t take_text(LetterStream *stream, char *out, size_t size) {
  size_t part = MIN(stream->text_left, size);
  memcpy(out, stream->text, part);
  stream->text += part;
  stream->text_left -= part;
  stream->last = out[part - 1];
  return part;
}

// Straight to where it is wanted as long as there is room for the longest code, else by a text.
static size_t encode(LetterStream *stream, char *out, size_t size) {
  size_t done = 0;
  while (stream->at < stream->filled && size - done >= LETTER_QUOTED_MAX)
    done += letter_quoted_put(&stream->quoted, stream->buffer[stream->at++], out + done);
  if (done > 0) stream->last = out[done - 1];
  if (done > 0 || stream->at == stream->filled) return done;
  char byte = stream->buffer[stream->at++];
  give(stream, stream->encoded, letter_quoted_put(&stream->quoted, byte, stream->encoded));
  return 0;
}

ssize_t letter_stream_read(LetterStream *stream, void *buffer, size_t size, GError **error) {
  char *out = buffer;
  size_t done = 0;
  while (done < size) {
    if (stream->text_left > 0)
      done += take_text(stream, out + done, size - done);
    else if (stream->at < stream->filled && stream->encodes > 0)
      done += encode(stream, out + done, size - done);
    else if (stream->at < stream->filled)
      done += copy(stream, out + done, size - done);
    else if (!stream->at_end) {
      if (!advance(stream, error)) return -1;
    } else if (stream->last != '\n')
      give(stream, "\r\n", 2);
    else
      break;
  }
  return (ssize_t)done;
}
