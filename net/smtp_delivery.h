// An SmtpDelivery is one letter on its way over one connection: what has been said for whom. Shared
// by the files smtp*.c only.
//
//   smtp.c           the Sender: what can be sent, and how a letter goes
//   smtp_envelope.c  MAIL, RCPT and what begins the letter, many in one flight
//   smtp_body.c      the letter's bytes, by DATA or BDAT
//   smtp_content.c   where those bytes come from
#pragma once

#include "net/smtp_connection.h"
#include "net/smtp_content.h"

typedef struct {
  SmtpConnection *connection;
  const SenderLetter *letter;
  SenderOutcome *outcomes;
  size_t count;     // of recipients
  size_t accepted;  // RCPT commands that were
  SmtpContent content;
} SmtpDelivery;

// Tells one recipient; the words are kept, printable.
void smtp_delivery_tell(const SmtpDelivery *delivery, size_t recipient, const SmtpReply *reply);
// A reply that ends the whole letter is told to each recipient that was not refused by itself.
void smtp_delivery_tell_all(const SmtpDelivery *delivery, const SmtpReply *reply);
// True for a reply of that class, 4 or 5; any other is PROTOCOL, and the connection over.
bool smtp_delivery_expect(const SmtpDelivery *delivery, const SmtpReply *reply, const char *command,
                          unsigned wanted, GError **error);
// Forgets a letter that nobody took. The outcomes stand, also if the connection breaks here.
void smtp_delivery_reset(const SmtpDelivery *delivery);

// -- smtp_envelope.c
// What the last flight ends with.
typedef enum {
  SMTP_TAIL_NONE,   // the letter is large: its chunks come later
  SMTP_TAIL_DATA,   // DATA
  SMTP_TAIL_CHUNK,  // BDAT with the whole letter
} SmtpTail;

typedef struct {
  bool mail_refused;
  bool out_of_step;  // commands in one flight confused the server
  SmtpReply *tail;   // the answer to the tail; NULL: it was not said, or not answered
} SmtpEnvelope;

void smtp_envelope_clear(SmtpEnvelope *envelope);
// Sends the envelope and tells its recipients, or all of them if the sender was refused. At a 421
// it stops: the connection is over then, and all are told.
bool smtp_envelope_send(SmtpDelivery *delivery, SmtpTail tail, SmtpEnvelope *envelope,
                        GError **error);

// -- smtp_body.c
// After DATA was answered 354: stuffed, and the verdict told.
bool smtp_body_send_stuffed(SmtpDelivery *delivery, GError **error);
// Chunk by chunk (RFC 3030), the verdict told.
bool smtp_body_send_chunks(SmtpDelivery *delivery, GError **error);
