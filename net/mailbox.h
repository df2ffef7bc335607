// A Mailbox is one logged-in connection to a mail store: the contract that imap (and pop3) fulfil,
// and all that the cache knows of a server. Every call blocks over the wire, is made by the one
// session thread that owns the mailbox, and is cancelled by that session's Waker.
//
// Errors, by what they end:
//   the connection  HOST OFFLINE TIMEOUT UNTRUSTED DENIED PROTOCOL CANCELLED: close it, open anew
//   this request    GONE FORBIDDEN BUSY REFUSED LIMIT UNSUPPORTED: the connection lives on
//
// Strings handed to callbacks live until the callback returns.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "net/account.h"
#include "net/uid_set.h"
#include "net/waker.h"

typedef struct Mailbox Mailbox;

// What the server said of a folder (RFC 3501 7.2.2, RFC 6154).
typedef enum {
  MAILBOX_NOSELECT = 1 << 0,  // a parent that holds no messages, or does not exist itself
  MAILBOX_SENT = 1 << 1,
  MAILBOX_DRAFTS = 1 << 2,
  MAILBOX_TRASH = 1 << 3,
  MAILBOX_JUNK = 1 << 4,
  MAILBOX_ALL = 1 << 5,
} MailboxAttributes;

typedef struct {
  const char *name;  // as the server spells it, its bytes
  char delimiter;    // '\0': the server has no hierarchy
  unsigned attributes;
} MailboxFolder;

// A folder as it was when it was opened.
typedef struct {
  uint32_t uidvalidity;
  uint32_t uidnext;  // 0: not said (Courier)
  uint32_t exists;
  uint64_t highestmodseq;  // 0: none
} MailboxStatus;

// What a scan tells of one message. What was not asked for, or what the server left out, is
// NULL or negative.
typedef struct {
  uint32_t uid;
  const char *flags;     // separated by single spaces, sorted; "" for none; NULL: not told
  int64_t internaldate;  // seconds since 1970, -1: not told
  int64_t size;          // RFC822.SIZE; -1: missing or nonsense
  // From the envelope (RFC 3501 7.4.2), raw: RFC 2047 is not decoded, bytes may be anything but
  // NUL. NULL: NIL or missing.
  const char *from_name;
  const char *from_address;  // mailbox@host
  const char *subject;
  const char *date;
  const char *message_id;
} MailboxMessage;

typedef enum {
  MAILBOX_FLAGS = 1 << 0,
  MAILBOX_SUMMARY = 1 << 1,  // all of MailboxMessage
} MailboxItems;

// Where a body's bytes go as they arrive. Returns false, error set, to give this message up (the
// connection survives: the rest is read and dropped).
typedef bool (*MailboxSink)(const void *bytes, size_t size, gpointer data, GError **error);
typedef bool (*MailboxFolderFunc)(const MailboxFolder *folder, gpointer data, GError **error);
typedef bool (*MailboxMessageFunc)(const MailboxMessage *message, gpointer data, GError **error);

typedef struct {
  uint64_t used_bytes, limit_bytes;  // limit 0: the server has no quota
} MailboxQuota;

typedef struct {
  bool (*list)(Mailbox *mailbox, MailboxFolderFunc each, gpointer data, GError **error);
  bool (*examine)(Mailbox *mailbox, const char *folder, MailboxStatus *status, GError **error);
  bool (*scan)(Mailbox *mailbox, uint32_t first, uint32_t last, MailboxItems items,
               MailboxMessageFunc each, gpointer data, GError **error);
  bool (*fetch)(Mailbox *mailbox, uint32_t uid, MailboxSink sink, gpointer data, GError **error);
  bool (*quota)(Mailbox *mailbox, MailboxQuota *quota, GError **error);
  void (*free)(Mailbox *mailbox);
} MailboxOps;

struct Mailbox {
  const MailboxOps *ops;  // embedded first
};

// Opens the account's mailbox: connects, logs in, asks for capabilities. `name` begins its log
// lines.
Mailbox *mailbox_open(const Account *account, Waker *waker, const char *name, GError **error);
typedef Mailbox *(*MailboxOpen)(const Account *account, Waker *waker, const char *name,
                                GError **error);

// Tells every personal folder (RFC 2342: those of other users and shared ones are left out) once,
// parents not necessarily first. If `each` fails, its error is the result. LIMIT: more than 100,000
// folders, or 16 MiB of their names.
bool mailbox_list(Mailbox *mailbox, MailboxFolderFunc each, gpointer data, GError **error);
// Opens a folder read-only (EXAMINE): nothing that follows can change a flag. GONE: no such folder;
// FORBIDDEN: no right to it. Examining the open folder again tells its state now.
bool mailbox_examine(Mailbox *mailbox, const char *folder, MailboxStatus *status, GError **error);
// Tells the messages of the open folder with UIDs from `first` to `last` (UINT32_MAX: to the end),
// usually in rising order, each once or more; unasked-for updates may come in between with less
// than what was asked for. UIDs outside the range are not told.
bool mailbox_scan(Mailbox *mailbox, uint32_t first, uint32_t last, MailboxItems items,
                  MailboxMessageFunc each, gpointer data, GError **error);
// Streams one message's exact bytes to `sink`, without setting \Seen. GONE: the server says OK but
// gives nothing, or that the message was expunged; REFUSED: it says NO, or NIL. After an error the
// bytes that reached the sink are to be forgotten.
bool mailbox_fetch(Mailbox *mailbox, uint32_t uid, MailboxSink sink, gpointer data, GError **error);
// RFC 9208. A server without quotas: limit 0.
bool mailbox_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error);
// Says goodbye (waits for it at most 1 s, not at all after an error) and closes. NULL is fine.
void mailbox_free(Mailbox *mailbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mailbox, mailbox_free)
