// What the tests of the store share: a store on a fake server with two messages in INBOX, driven by
// the test's own main loop.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/store.h"
#include "tests/cache/fake_mailbox.h"

typedef struct {
  char *directory;
  GMainContext *context;
  Account account;
  Store *store;
  GString *told;  // what the listener heard: -NAME, +NAME, * for a changed listing
  // Options of the next start; all 0 at first.
  unsigned refresh_s;
  uint64_t prefetch_bytes, cache_bytes;
  bool uid_names;
  char *state_directory;  // NULL: nothing is to survive
  bool keeps_forever;
  StoreRemoval removal;
  bool is_pop3;                 // the server is
  const MailboxTraits *traits;  // NULL: as they are
} StoreFixture;

typedef struct {
  bool done;
  StoreBody *body;
  GError *error;
} Answer;
void answer_clear(Answer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answer, answer_clear)

// To be given to g_test_add.
void store_fixture_set_up(StoreFixture *fixture, gconstpointer data);
void store_fixture_tear_down(StoreFixture *fixture, gconstpointer data);

// From the next start on, removals and the archive survive.
void store_fixture_survive(StoreFixture *fixture);
// How many rows the ledger has of a kind ("removal", "kept").
unsigned store_fixture_count(StoreFixture *fixture, const char *table);
// Deletes the cache; no store may be open.
void store_fixture_wipe(StoreFixture *fixture);
// Opens and starts a store; tells how that went.
Answer store_fixture_start(StoreFixture *fixture, unsigned connections);
void store_fixture_start_online(StoreFixture *fixture, unsigned connections);

// Runs the main loop until `*done`, or until a condition holds.
void store_fixture_wait(StoreFixture *fixture, const bool *done);
void store_fixture_wait_until(StoreFixture *fixture, bool (*holds)(StoreFixture *fixture));
// Fill an Answer.
void take_done(const GError *error, gpointer answer);
void take_body(StoreBody *body, const GError *error, gpointer answer);

uint64_t store_fixture_find(StoreFixture *fixture, const char *path);  // 0: none
// Those of all that a folder holds, of uint64_t; the caller's.
GArray *store_fixture_inos(StoreFixture *fixture, const char *path);
// Synchronises a folder; expected_code: the NetError that it ends with, -1: none.
void store_fixture_sync(StoreFixture *fixture, const char *path, int expected_code);
// Takes a message's body out of the cache, as a user may who deletes it.
void store_fixture_drop_body(StoreFixture *fixture, uint64_t ino);
// Fetches a message and compares its bytes.
void store_fixture_read(StoreFixture *fixture, uint64_t ino, const char *expected);
// The body of a fetch that went well, compared and closed.
void assert_body(StoreFixture *fixture, Answer *answer, const char *expected);

#define BODY_TWO "Subject: two\r\n\r\nsecond\r\n"
#define ONE "INBOX/2023-11-14_2213_alice@example.org_one,1.eml"
#define TWO "INBOX/2023-11-14_2213_alice@example.org_two,2.eml"
