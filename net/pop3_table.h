// A Pop3Table is what a POP3 server lists in one session: its messages by their number there, and
// under which UIDs the caller knows them. Values only, 36 bytes a message; the owner's thread.
//
//   add ... ─> recognise ─> name ─> find
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "net/pop3_key.h"
#include "net/uid_set.h"

// Beyond, a listing is LIMIT.
#define POP3_MESSAGES_MAX 2000000

typedef struct {
  int64_t size;   // as LIST says it, and it may be wrong; -1: not told, or nonsense
  uint64_t key;   // what names the message for good (net/pop3_key.h)
  uint32_t uid;   // 0: none yet
  uint32_t twin;  // the how manieth it is, in the server's order, of those with its key; from 1
  bool is_there, has_key;
  bool is_keyed_by_uidl;  // else by its bytes
  bool has_twins;         // others that are keyed by their UIDLs have its key
  bool is_doubtful;       // known by its UIDL, but perhaps another one
  bool is_unsure;         // the same, and nobody can tell for now
  bool is_told;           // with its UID and twin, as new, before all had keys
} Pop3Message;

typedef struct Pop3Table Pop3Table;

Pop3Table *pop3_table_new(void);
void pop3_table_free(Pop3Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Table, pop3_table_free)

// The message of that number, made if it is new, and there from now on; LIMIT beyond
// POP3_MESSAGES_MAX. Pointers live until the next add.
Pop3Message *pop3_table_add(Pop3Table *table, uint32_t number, GError **error);
// NULL: no such message.
Pop3Message *pop3_table_get(Pop3Table *table, uint32_t number);
uint32_t pop3_table_last_number(const Pop3Table *table);  // 0: there is none
uint32_t pop3_table_count(const Pop3Table *table);

// As in MailboxUpdateFuncs.
typedef bool (*Pop3NumberFunc)(const char *id, int64_t size, uint32_t *uid, bool *is_certain,
                               gpointer data, GError **error);

// Once all have keys: `number` (NULL: nothing is known) tells the UIDs of those that the caller
// knows. Where several have one key and the caller does not know just as many, nobody can say which
// is which: none of them is known. What was told already stays. What is known by a UIDL that
// several have, or by one that is not certain, is doubtful: who finds it to be another message sets
// its UID to 0.
bool pop3_table_recognise(Pop3Table *table, Pop3NumberFunc number, gpointer data, GError **error);
// Gives all others UIDs above last_uid in the order of their numbers; of those with one key all, if
// it is another that one was taken for. LIMIT: there are no UIDs left.
bool pop3_table_name(Pop3Table *table, uint32_t last_uid, GError **error);

// The number of the message with the least UID in the range, 0: there is none. O(log n).
uint32_t pop3_table_find(const Pop3Table *table, UidRange uids);

// A walk by rising UID over those messages of a set that are there, but for those that nobody is
// sure of; zeroed but for `uids`.
typedef struct {
  const UidSet *uids;
  size_t range;       // that it is in
  uint32_t last_uid;  // that was passed
} Pop3Walk;

// The number of the next message, 0: there is none. The walk passes it with its UID.
uint32_t pop3_table_next(const Pop3Table *table, Pop3Walk *walk);
