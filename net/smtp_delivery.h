// An SmtpDelivery is one letter on its way over one connection: what has been said for whom. Shared
// by the files smtp*.c only.
//
//   smtp.c           the Sender: how a letter goes
//   smtp_check.c     what can be sent
//   smtp_delivery.c  a letter made ready, and what is told of it
//   smtp_envelope.c  MAIL, RCPT and what begins the letter, many in one flight
//   smtp_body.c      the letter's bytes, by DATA or BDAT
//   smtp_content.c   where those bytes come from
//   smtp_ahead.c     the letter that follows
#pragma once

#include "net/smtp_connection.h"
#include "net/smtp_content.h"

// What the envelope's last flight ends with.
typedef enum {
  SMTP_TAIL_NONE,   // the letter is large: its chunks come later
  SMTP_TAIL_DATA,   // DATA
  SMTP_TAIL_CHUNK,  // BDAT with the whole letter
} SmtpTail;

typedef struct SmtpDelivery SmtpDelivery;

struct SmtpDelivery {
  SmtpConnection *connection;
  const SenderLetter *letter;
  SenderOutcome *outcomes;
  size_t count;     // of recipients
  size_t accepted;  // RCPT commands that were
  SmtpContent content;
  SmtpTail tail;
  bool is_open;        // checked, and its first bytes read
  bool is_heard;       // the server said yes or no to its sender
  bool is_out;         // all of it was given to the wire
  bool said_reset;     // behind its last chunk
  size_t said;         // commands sent ahead, their replies not read yet; 0: it was not begun
  GError *error;       // why it could not be made ready
  SmtpDelivery *next;  // the letter that follows; NULL: not asked for, or there is none
};

SmtpDelivery *smtp_delivery_new(SmtpConnection *connection, const SenderLetter *letter);
// Frees the one that follows, too; NULL is fine.
void smtp_delivery_free(SmtpDelivery *delivery);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpDelivery, smtp_delivery_free)
// Checks the letter, reads its first bytes and chooses its tail; once only.
bool smtp_delivery_open(SmtpDelivery *delivery, GError **error);
// The letter that follows is begun: what is said now is taken for a part of it.
bool smtp_delivery_is_followed(const SmtpDelivery *delivery);
// The connection is over and the end of the letter not answered: calls its not_taken, if it is
// sure.
void smtp_delivery_tell_untaken(const SmtpDelivery *delivery);
// Tells one recipient; the words are kept, printable.
void smtp_delivery_tell(const SmtpDelivery *delivery, size_t recipient, const SmtpReply *reply);
// A reply that ends the whole letter is told to each recipient that was not refused by itself.
void smtp_delivery_tell_all(const SmtpDelivery *delivery, const SmtpReply *reply);
// True for a reply of that class, 4 or 5; any other is PROTOCOL, and the connection over.
bool smtp_delivery_expect(const SmtpDelivery *delivery, const SmtpReply *reply, const char *command,
                          unsigned wanted, GError **error);
// Forgets a letter that nobody took; the one that follows does it itself, if it is begun. The
// outcomes stand, also if the connection breaks here.
void smtp_delivery_reset(const SmtpDelivery *delivery);

// -- smtp_check.c
// What is known to fail before anything is sent: REFUSED, UNSUPPORTED or LIMIT, see sender_send.
bool smtp_check_letter(const SmtpConnection *connection, const SenderLetter *letter,
                       GError **error);

// -- smtp_ahead.c
// When all of a letter has gone out and its last replies are awaited: asks for the letter that
// follows and begins it, where the server is known to take that. Behind a last chunk RSET comes
// first, if it was not said yet.
void smtp_ahead_begin(SmtpDelivery *delivery);
// Whether RSET is to be said behind each last chunk: once letters were put behind each other.
bool smtp_ahead_wants_reset(const SmtpConnection *connection);
// After the reply to the last chunk: takes that to RSET, if it was said. False: the replies may be
// others than they were taken for, and the letter was not taken for sure.
bool smtp_ahead_confirm(const SmtpDelivery *delivery, bool is_taken, GError **error);

// -- smtp_envelope.c
typedef struct {
  bool mail_refused;
  bool out_of_step;  // commands in one flight confused the server
  SmtpReply *tail;   // the answer to the tail; NULL: it was not said, or not answered
} SmtpEnvelope;

void smtp_envelope_clear(SmtpEnvelope *envelope);
// Sends the envelope and tells its recipients, or all of them if the sender was refused. At a 421
// it stops: the connection is over then, and all are told. What was said ahead is not said again.
bool smtp_envelope_send(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error);
// Sends the envelope ahead, RSET first if asked for, where `awaited` replies are due; those to the
// envelope are left to smtp_envelope_send. Nothing is sent that is more than one flight. False if a
// letter was not to be sent, or the connection is mute.
bool smtp_envelope_begin(SmtpDelivery *delivery, bool with_reset, size_t awaited, GError **error);

// -- smtp_body.c
// After DATA was answered 354: stuffed, and the verdict told.
bool smtp_body_send_stuffed(SmtpDelivery *delivery, GError **error);
// Chunk by chunk (RFC 3030), the verdict told.
bool smtp_body_send_chunks(SmtpDelivery *delivery, GError **error);
