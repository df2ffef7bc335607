#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/letter_private.h"

// The header lines put in front, then the file without its cuts, line ends made CRLF on the way.
struct LetterStream {
  const Letter *letter;
  int fd;
  size_t prefix_at;
  uint64_t offset;  // of the next byte to read from the file
  unsigned cut;     // the next cut that lies ahead
  char last;        // byte given out
  bool owes_newline;
  bool at_end;  // of the file
  size_t at, filled;
  char buffer[16384];
};

LetterStream *letter_stream_new(const Letter *letter, int fd) {
  LetterStream *stream = g_new0(LetterStream, 1);
  stream->letter = letter;
  stream->fd = fd;
  stream->last = '\n';
  return stream;
}

void letter_stream_free(LetterStream *stream) {
  g_free(stream);
}

// How much may be read before the next cut; passes by the cut that begins here.
static size_t readable(LetterStream *stream) {
  const GArray *cuts = stream->letter->cuts;
  while (stream->cut < cuts->len) {
    const LetterCut *cut = &g_array_index(cuts, LetterCut, stream->cut);
    if (cut->start > stream->offset)
      return (size_t)MIN(cut->start - stream->offset, sizeof stream->buffer);
    stream->offset = cut->end;
    stream->cut++;
  }
  return sizeof stream->buffer;
}

static bool fill(LetterStream *stream, GError **error) {
  size_t want = readable(stream);
  ssize_t got;
  do {
    got = pread(stream->fd, stream->buffer, want, (off_t)stream->offset);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    g_set_error(error, LETTER_ERROR, LETTER_ERROR_IO, "cannot read the letter: %s",
                g_strerror(errno));
    return false;
  }
  stream->at = 0;
  stream->filled = (size_t)got;
  stream->offset += (uint64_t)got;
  stream->at_end = got == 0;
  return true;
}

// Copies up to the next newline that lacks its CR, which is given out as a CR and an owed newline.
static size_t convert(LetterStream *stream, char *out, size_t size) {
  size_t done = 0;
  while (done < size && stream->at < stream->filled && !stream->owes_newline) {
    char byte = stream->buffer[stream->at++];
    if (byte == '\n' && stream->last != '\r') {
      stream->owes_newline = true;
      byte = '\r';
    }
    out[done++] = stream->last = byte;
  }
  return done;
}

// The next bytes, at least one; 0: there is nothing at hand, but there may be more in the file.
static size_t take(LetterStream *stream, char *out, size_t size) {
  const char *prefix = stream->letter->prefix + stream->prefix_at;
  if (*prefix != '\0') {
    size_t part = MIN(strlen(prefix), size);
    memcpy(out, prefix, part);
    stream->prefix_at += part;
    return part;
  }
  if (stream->owes_newline) {
    stream->owes_newline = false;
    *out = stream->last = '\n';
    return 1;
  }
  if (stream->at_end && stream->last != '\n') {
    stream->owes_newline = true;
    *out = stream->last = '\r';
    return 1;
  }
  return convert(stream, out, size);
}

ssize_t letter_stream_read(LetterStream *stream, void *buffer, size_t size, GError **error) {
  char *out = buffer;
  size_t done = 0;
  while (done < size) {
    size_t part = take(stream, out + done, size - done);
    done += part;
    if (part > 0) continue;
    if (stream->at_end) break;
    if (!fill(stream, error)) return -1;
  }
  return (ssize_t)done;
}
