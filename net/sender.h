// A Sender is one logged-in connection to a submission server: the contract that smtp fulfils and
// all that the outbox knows of it. Every call blocks over the wire and is made by the one thread
// that owns the sender; its Waker cancels, and nothing else: it is never woken.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "net/account.h"
#include "net/waker.h"

typedef struct Sender Sender;

typedef enum {
  SENDER_ACCEPTED,   // the server has taken responsibility for this recipient
  SENDER_TEMPORARY,  // 4xx, rate limits such as 550 5.4.5, 530 (our login): try again later
  SENDER_PERMANENT,  // 5xx
} SenderVerdict;

typedef struct {
  SenderVerdict verdict;
  char *reply;  // the server's words, one line, made printable
} SenderOutcome;

// About which fates of a letter its sender wants to hear by mail (RFC 3461), or'ed.
typedef enum {
  SENDER_NOTIFY_NEVER = 1 << 0,  // alone
  SENDER_NOTIFY_SUCCESS = 1 << 1,
  SENDER_NOTIFY_FAILURE = 1 << 2,
  SENDER_NOTIFY_DELAY = 1 << 3,
} SenderNotify;

// How much of the letter such mail gives back.
typedef enum {
  SENDER_RETURN_DEFAULT,  // as the server likes
  SENDER_RETURN_HEADER,
  SENDER_RETURN_FULL,
} SenderReturn;

typedef struct SenderLetter SenderLetter;

// One letter to send. The caller owns all of it.
struct SenderLetter {
  const char *from;               // envelope sender without brackets; "" is the null sender
  const char *const *recipients;  // NULL-terminated, without brackets, at least one
  uint64_t size_bytes;            // exact size with CRLF line ends, before dot-stuffing
  bool has_8bit;                  // there are bytes above 127, in the header or the body
  // An address of the envelope has non-ASCII characters. Raw 8-bit text in a header alone does not
  // ask for SMTPUTF8, though RFC 6532 would: mail programs write it, every server with 8BITMIME
  // takes it, and a refusal would only lose the letter.
  bool needs_utf8;
  // Asked for where the server has DSN, forgotten where it has not. Zero and NULL: not asked.
  unsigned notify;  // SenderNotify
  SenderReturn ret;
  const char *envid;  // printable ASCII, given back in such mail; NULL: none
  // Gives the next bytes of the letter, lines ending in CRLF, not dot-stuffed; 0 at the end, -1
  // with error set. The first ones are read before anything is sent.
  ssize_t (*read)(void *buffer, size_t size, gpointer data, GError **error);
  // Called once at most, before the last bytes go out: false gives the letter up unsent. A small
  // letter goes out whole, so it may be called before the server has said a word about this letter,
  // and also for one that the server then refuses.
  bool (*before_end)(gpointer data, GError **error);
  // NULL, or called once at most, by the sender_send of this letter or of the one before it, after
  // before_end: the end did not go out whole, or the server left (421, or closed behind a refusal)
  // before it accepted a recipient. So it has not taken the letter, as if before_end was never
  // called.
  void (*not_taken)(gpointer data);
  // NULL, or called once at most, when all of this letter has gone out and its last answer is
  // awaited: gives the letter that follows over this connection, NULL if there is none. That one is
  // begun then, if it can be, and must be the next to be sent; it lives until then, or until the
  // sender is freed. Its before_end may be called meanwhile, and as long as it was not, or was
  // taken back by not_taken, the letter has not been sent. Whatever is wrong with it is told when
  // it is sent, never of this one.
  const SenderLetter *(*next)(gpointer data);
  gpointer data;
};

typedef struct {
  bool (*send)(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes, GError **error);
  uint64_t (*max_size)(const Sender *sender);
  void (*free)(Sender *sender);
} SenderOps;

struct Sender {
  const SenderOps *ops;  // embedded first
  // The connection is over: the server said so (421) or it broke. Only sender_free is left; each
  // further sender_send is OFFLINE.
  bool is_over;
  // With is_over: the server had not said yes or no to the last letter's sender (MAIL). What went
  // wrong is the connection's failure, and would meet any letter.
  bool turned_away;
};

// Connects, logs in and asks for the server's extensions. `name` ("smtp1") begins its log lines.
// Errors are wire_open's, and BUSY, REFUSED or PROTOCOL for what the server answers then.
Sender *sender_open(const Account *account, Waker *waker, const char *name, GError **error);

// Sends one letter. `outcomes` has an element for each recipient, zeroed by the caller, who frees
// the replies. True: the server answered for every recipient; see each verdict (a refused sender or
// body is told to each of them). False: no verdict was had, error set; the letter may be tried
// again, but if before_end was called, and not_taken was not, the server may have taken it
// (uncertain). Whether the next
// letter can go over the same connection, `is_over` tells in either case.
// A 421 counts as the verdict TEMPORARY of each recipient that had none, and sets is_over.
//
// What the server can do is used: a small letter (32 KB) costs one round trip where there are
// PIPELINING and CHUNKING, or where there is PIPELINING and it was the `next` of the one before;
// half a round trip where both is so. Never more than 100 commands or 16 KB of a letter's are ahead
// of their replies, so any number of recipients is fine. A server that announces PIPELINING, but
// answers it with 503, gets the letter again one command at a time, if nobody was accepted.
//
// Patience (RFC 5321 4.5.3.2), or the account's time-out where that is longer: five minutes for
// MAIL and each RCPT, two for DATA, three without progress for the letter's bytes and for each
// chunk, ten for the reply to the end of the letter. TIMEOUT then.
//
// UNSUPPORTED: the server lacks 8BITMIME or SMTPUTF8 that this letter needs. LIMIT: larger than the
// server's SIZE. REFUSED: an address that cannot stand in an envelope (control characters, blanks,
// angle brackets, over 500 bytes, not UTF-8), an envelope ID that cannot; or a letter that is not
// as promised (size, line ends). All are lasting. All but the last are known before anything is
// sent. An error of `read` or `before_end` is passed on, the letter unsent, and the sender over if
// the letter was begun. PROTOCOL also tells a server that spoke without being asked: its words
// would be taken for the answer to the next command; and one whose answer behind a letter's makes
// it doubtful which was the letter's.
bool sender_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                 GError **error);
// The server's SIZE limit (RFC 1870), 0: none told.
uint64_t sender_max_size(const Sender *sender);
// QUIT, waited for at most 1 s, and close; only close if a letter is begun. NULL is fine.
void sender_free(Sender *sender);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sender, sender_free)
