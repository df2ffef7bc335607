// What the fake mailboxes have in common: the mail that the server holds, and what it was told to
// do with calls. For tests/cache/fake_*.c only; the lock guards all of it.
#pragma once

#include <pthread.h>

#include "tests/cache/fake_mailbox.h"

typedef struct {
  uint32_t uid;
  char *subject, *body, *flags, *email_id;
  char *uidl;  // of a POP3 server; NULL: made of the UID
  int64_t size_told;
  bool withheld, refuses_header;
  unsigned left_out;  // in so many answers
} FakeMessage;

typedef struct {
  char *name;
  char delimiter;
  unsigned attributes;
  uint32_t uidvalidity, uidnext;
  uint64_t modseq;
  GPtrArray *messages;
  GString *appended;
} FakeFolder;

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  GPtrArray *folders;
  struct {
    int code;
    unsigned times, calls, waiting;
    bool held;
  } calls[FAKE_N_CALLS];
  uint64_t bytes;
  MailboxWatch watch;
  bool lists_status;
  unsigned watching, news;  // how many watch; counts what changed
  unsigned breaks;
  unsigned quirks;
  bool keeps_sent, loses_answers;
  bool is_locked;  // by a POP3 connection
  unsigned most_requests, logouts, cut_goodbyes;
  unsigned login_delay_s;
} FakeBox;
extern FakeBox fake_box;

// Locked by the caller. NULL: there is none.
FakeFolder *fake_find_folder(const char *name);
FakeMessage *fake_find_message(FakeFolder *folder, uint32_t uid);
// Something changed. NULL: the tree.
void fake_note_change(FakeFolder *folder);

// Every call of a mailbox passes here first; the lock is held when it returns, whatever it returns.
bool fake_enter(FakeCall call, GError **error);
// Gives the lock back, and the result.
bool fake_leave(bool result);
