// The Courier carries letters to the server: it connects when there is something to send, keeps the
// connection some seconds for the next letter, and says goodbye. A burst goes by two connections
// (courier_desk says when), each with a thread that owns it (courier_lane); where the server takes
// but one, by that. It decides nothing about a letter's future: it tells what came of one try.
//
//   main loop ──CourierTask──> desk ──> two lanes ──SENT_DATA, ACCEPTED──> spool thread
//   main loop <───────────── CourierResult ──────────┘  <── (once it is on disk) ──┘
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/outbox_journal.h"
#include "cache/outbox_spool.h"
#include "net/sender.h"

typedef struct Courier Courier;

typedef Sender *(*CourierOpenSender)(const Account *account, Waker *waker, const char *name,
                                     GError **error);

// One try to send one letter.
typedef struct {
  uint64_t id;
  char *from, *message_id;  // as OutboxRow's
  int64_t date;
  Envelope envelope;
  // Recipients that were answered for for good, of OutboxRecipient: they are left out.
  GPtrArray *settled;
  // The courier's.
  int64_t put_us;     // when it began to wait, monotonic
  Queue *journaled;   // where the spool answers that SENT_DATA is noted; NULL: not asked
  bool is_journaled;  // ... and has answered
} CourierTask;

// May wait for the spool, if the courier had the task.
void courier_task_free(CourierTask *task);

typedef enum {
  COURIER_ANSWERED,  // the server answered for each recipient: see outcomes
  COURIER_DELAYED,   // not sent (or nobody knows), to be tried again
  COURIER_OFFLINE,   // as DELAYED; the server cannot be reached or does not let us in
  // As DELAYED; the server let us in, and left before it said yes or no to this letter's sender:
  // because of it, or because it takes none.
  COURIER_TURNED_AWAY,
  COURIER_UNTRIED,   // the connection that it waited for was not to be had, with another's try
  COURIER_HOPELESS,  // will never be sent as it is
} CourierVerdict;

typedef struct {
  uint64_t id;
  CourierVerdict verdict;
  GPtrArray *outcomes;  // ANSWERED: of OutboxRecipient, for those tried now
  char *message;        // else: what went wrong, in the server's or our words
  bool uncertain;       // the last bytes had gone out: the server may have taken it
  bool denied;          // OFFLINE: the login was refused, or the server is not trusted
  bool is_ours;         // decided here: no server was asked
  uint64_t max_size;    // of a letter, as the server last said; 0: not known
  // When it was known, monotonic: what has to be on disk first comes later than what has not.
  int64_t known_us;
} CourierResult;

typedef struct {
  const Account *account;
  CourierOpenSender open_sender;
  OutboxSpool *spool;
  int letters_fd;  // stays the caller's
  GMainContext *context;
  // Takes no ownership; on the main loop. What was accepted is in the journal by then, unless
  // `error` (of the journal) is set.
  void (*done)(const CourierResult *result, const GError *error, gpointer data);
  gpointer data;
} CourierOptions;

// Starts the threads.
Courier *courier_new(const CourierOptions *options);
// Takes the task. The main loop's thread, as the others.
void courier_push(Courier *courier, CourierTask *task);
// Takes back a letter that waits for its turn, and frees its task: no result will come. False if it
// is being sent, or about to be.
bool courier_withdraw(Courier *courier, uint64_t id);
// Ends the threads: a letter before its final dot is given up at once, after it the reply is waited
// for at most 5 s. What was accepted has been handed to the spool. Calls nobody back.
void courier_free(Courier *courier);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Courier, courier_free)
