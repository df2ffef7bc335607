// An OutboxSummary is one letter as a list shows it: from a running outbox, or from what lies on
// the disk while none runs.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/outbox.h"
#include "cache/outbox_journal.h"

// All is lent until `each` returns. Text that there is none of is NULL.
typedef struct {
  uint64_t ino;  // 0: not known
  const char *name;
  bool is_failed;
  const char *state;            // as OUTBOX_STATE
  const char *why;              // what its last try came to, or what it failed for
  const char *next_try;         // as OUTBOX_NEXT_TRY
  const char *file;             // of its bytes, below state_dir/ACCOUNT
  const OutboxRow *row;         // for what else there is to know
  const GPtrArray *recipients;  // of OutboxRecipient: those answered for
} OutboxSummary;

// False: no more.
typedef bool (*OutboxSummaryEach)(const OutboxSummary *summary, gpointer data);

// Letters with an ino above `after`, by rising ino. Main loop.
void outbox_summarize(Outbox *outbox, uint64_t after, OutboxSummaryEach each, gpointer data);
// What lies in state_dir/ACCOUNT, drops too: blocks on the disk, changes nothing, disturbs nobody.
// Nothing there is no letter. Any thread, any program.
bool outbox_peek(const char *account_directory, OutboxSummaryEach each, gpointer data,
                 GError **error);
// The same of the drops alone, known by their row's `origin`, though some of them may be letters
// already: for who asks a running outbox then.
bool outbox_peek_drops(const char *account_directory, OutboxSummaryEach each, gpointer data,
                       GError **error);
