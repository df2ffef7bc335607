// A Letter is an outgoing message file understood just far enough to be sent: who sends it, who
// gets it, and which byte ranges of the file are given out differently from how they stand there.
// The rest is never re-serialised: what was signed stays as it is, line ends aside.
//
// - Line ends may be LF or CRLF, also mixed, and become CRLF; the last one may be missing. A NUL
// byte
//   or a CR that ends no line is refused.
// - Bcc and Resent-Bcc are not sent, but kept in the copy for the Sent folder. The lines of an mbox
//   before the header ("From ", ">From "), Return-Path and Content-Length fall away in both.
// - Date, From and Message-ID are put in front where they are missing. A letter that is sent on,
// with
//   Resent- fields, gets Resent-Date, Resent-From and Resent-Message-ID into its newest block of
//   them, and nothing else.
// - Where a line is longer than 998 bytes (RFC 5322 section 2.1.1), the text it stands in becomes
//   quoted-printable: a letter without MIME, or a part or a part's message of type text/*, if it is
//   not encoded yet and neither signed nor encrypted as a part of something. Such a line anywhere
//   else is refused. A letter without a type gets MIME-Version and Content-Type for that.
//
// GMime parses addresses and content types. Memory does not grow with the file: at most 1 MiB of
// header, 10,000 recipients and 1,000 texts to be encoded.
//
// A Letter is a value made from a file at commit; it holds no descriptor. Any thread, one at a
// time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

typedef struct Letter Letter;

#define LETTER_ERROR letter_error_quark()
GQuark letter_error_quark(void);
typedef enum {
  LETTER_ERROR_INVALID,  // no header, no recipient, a broken address, a line that cannot be sent
  LETTER_ERROR_IO,       // the file cannot be read
} LetterError;

// What the sending account adds where the letter has none, and what those who hand the letter over
// decide instead of its header. The same at every try, so that a message sent twice can be
// recognised: made once at commit and journaled. Zeroed fields decide nothing.
typedef struct {
  const char *from;        // address
  const char *message_id;  // without brackets
  int64_t date;            // seconds since 1970
  // The envelope's sender whatever the header says; "" is the null sender, NULL: as the header
  // says.
  const char *envelope_from;
  // NULL-terminated: the envelope's recipients, each an address or a list of them as in a header.
  // The header's are not even looked at then, unless they are wanted too.
  const char *const *recipients;
  bool header_recipients_too;
  // A bare name that is a recipient in the header, and the address that it stands for: a user of
  // this machine. NULL: there is none.
  const char *login, *login_address;
} LetterDefaults;

// Reads all of the file behind `fd`, twice: blocks on the disk only. INVALID says in words for the
// writer what is wrong, and in which line.
Letter *letter_read(int fd, const LetterDefaults *defaults, GError **error);
void letter_free(Letter *letter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Letter, letter_free)

// A new unique Message-ID (without brackets) for a sender's domain.
char *letter_make_message_id(const char *from);

const char *letter_from(const Letter *letter);               // envelope sender
const char *const *letter_recipients(const Letter *letter);  // each once, in order
// By what the letter can be found again, in the Sent folder for one: the name of the field,
// Message-ID or Resent-Message-ID, and its value on one line as it is sent, most often with
// brackets; its own if it has one. What somebody wrote there may be anything, also nothing.
const char *letter_id_field(const Letter *letter);
const char *letter_id(const Letter *letter);
uint64_t letter_size(const Letter *letter);       // as letter_stream_new's gives it
uint64_t letter_copy_size(const Letter *letter);  // as letter_stream_new_copy's does
// Bytes above 127 are sent, in the header or the body: the server must take 8BITMIME.
bool letter_has_8bit(const Letter *letter);
// Such bytes in an address of the envelope: the server must take SMTPUTF8, see SenderLetter.
bool letter_needs_utf8(const Letter *letter);

// The bytes to send: CRLF line ends, cut and completed. `fd` is read with pread and stays the
// caller's, as does the letter.
typedef struct LetterStream LetterStream;
LetterStream *letter_stream_new(const Letter *letter, int fd);
// What goes into the Sent folder: the same, but Bcc and Resent-Bcc are kept.
LetterStream *letter_stream_new_copy(const Letter *letter, int fd);
void letter_stream_free(LetterStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LetterStream, letter_stream_free)
// Bytes read, 0 at the end, -1 with LETTER_ERROR_IO.
ssize_t letter_stream_read(LetterStream *stream, void *buffer, size_t size, GError **error);
