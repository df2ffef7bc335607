// A Mailbox is one logged-in connection to a mail store: the contract that imap (and pop3) fulfil,
// and all that the cache knows of a server. Every call blocks over the wire, is made by the one
// session thread that owns the mailbox, and is cancelled by that session's Waker.
//
// Errors, by what they end:
//   the connection  HOST OFFLINE TIMEOUT UNTRUSTED DENIED PROTOCOL CANCELLED: close it, open anew
//   this request    GONE FORBIDDEN BUSY REFUSED LIMIT UNSUPPORTED: the connection lives on
//
// What a server can do is the mailbox's own business: a call uses the best that is offered, and its
// result says how much of it came; what has to be known before there is a connection stands in
// MailboxTraits. Folders are opened read-only: no call changes a flag, and only append and expunge
// change anything.
//
//   list, update, append, find, expunge, quota, watch     one at a time, with no request under way
//   request ... request ─> receive ... receive       pipelined, answered in the order asked
//
// Strings handed to callbacks live until the callback returns. A callback that fails ends the call
// with its error; the rest of the answer is read and dropped.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "net/account.h"
#include "net/uid_set.h"
#include "net/waker.h"

typedef struct Mailbox Mailbox;

// What a kind of mail store can be asked for, known without asking a server.
typedef struct {
  const char *log_name;      // what the names of its connections begin with, before a number
  unsigned connections_max;  // at a time; 0: as many as wanted. POP3 locks the mailbox: 1
  int linger_ms;             // for how long a connection with nothing to do may be kept
  bool has_parts;            // parts of a message can be had
  bool has_uids;             // messages have lasting numbers of the server's; else see
                             // MailboxUpdateFuncs.number
  bool can_append;
} MailboxTraits;

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

// A folder as it is now.
typedef struct {
  uint32_t uidvalidity;
  uint32_t uidnext;  // 0: not said (Courier)
  uint32_t exists;
  uint64_t highestmodseq;  // 0: none
} MailboxStatus;

// What is told of one message. What was not asked for, or what the server left out, is NULL or
// negative.
typedef struct {
  uint32_t uid;
  const char *flags;     // separated by single spaces, sorted; "" for none; NULL: not told
  int64_t internaldate;  // seconds since 1970, -1: not told
  int64_t size;          // RFC822.SIZE; -1: missing or nonsense
  // The same in every folder that shows this message: EMAILID (RFC 8474) or Gmail's X-GM-MSGID.
  const char *email_id;
  // From the envelope (RFC 3501 7.4.2), raw: RFC 2047 is not decoded, bytes may be anything but
  // NUL. NULL: NIL or missing.
  const char *from_name;
  const char *from_address;  // mailbox@host
  const char *subject;
  const char *date;
  const char *message_id;
  // Only of a store without UIDs (POP3), NULL elsewhere: what names the message for good, in the
  // UID's place (16 hex digits of SHA-256(UIDL), `-2` and so on where several messages have one
  // UIDL); and the bytes of its header up to and with the empty line, as far as 256 KiB, from which
  // internaldate and the envelope follow: they are not told. A header that the server refuses is
  // NULL; is_put_off: it says that this will pass. But it is empty where several messages have its
  // UIDL: they are known again only if all of them are known.
  const char *id;
  const char *header;
  size_t header_bytes;
  bool is_put_off;
} MailboxMessage;

typedef bool (*MailboxFolderFunc)(const MailboxFolder *folder, gpointer data, GError **error);
typedef bool (*MailboxStatusFunc)(const char *folder, const MailboxStatus *status, gpointer data,
                                  GError **error);
typedef bool (*MailboxMessageFunc)(const MailboxMessage *message, gpointer data, GError **error);

// -- Bytes of messages, as they are told.

// A body (or a part of one) begins, its bytes pass, and it ends: only the end makes it certain
// whose it was, so `begin` may be told UID 0. `offset` is where the part starts as the server says;
// a server that knows no parts sends the whole, as one at 0 that is longer than was asked for.
// What began and did not end is to be forgotten. `withheld`: the server names the message but gives
// nothing for it. A message of which none of these is told is not there any more; but see
// mailbox_receive.
typedef struct {
  bool (*begin)(uint32_t uid, uint64_t offset, gpointer data, GError **error);
  bool (*bytes)(const void *bytes, size_t size, gpointer data, GError **error);
  bool (*end)(uint32_t uid, uint64_t offset, gpointer data, GError **error);
  void (*withheld)(uint32_t uid, gpointer data);
  gpointer data;
} MailboxBodyFuncs;

// -- Keeping up with a folder.

// What the caller holds of it.
typedef struct {
  const char *folder;
  uint32_t uidvalidity;  // 0: nothing is known, every message is news
  uint32_t last_uid;     // no message above it is known
  uint32_t count;        // how many are known
  uint64_t modseq;       // as of which (MailboxStatus.highestmodseq); 0: none
} MailboxKnown;

// `message` is told each message above last_uid with all of MailboxMessage, and of those below the
// flags that may have changed; usually in rising order, each once or more (unasked-for updates come
// in between, with less than what was asked for). Of messages that are no more either `vanished`
// tells at the end, range by range in rising order, for UIDs up to last_uid that were known or not;
// or `present` is filled with UIDs up to last_uid that are still there, and `is_present_told` set
// if these are all; if neither, nothing is known to be gone. Neither ever rests on what could not
// be read, nor on names that the server may have lost: where it has a UIDL for some messages only,
// also when it is asked twice, and one of the others is new by its bytes, it may be one that is
// known. Of a new message of which the server says nothing, though it counts and finds it, the UID
// alone is told.
typedef struct {
  MailboxMessageFunc message;
  bool (*vanished)(UidRange range, gpointer data, GError **error);
  // The rest only of a store without UIDs, NULL elsewhere.
  // Tells the UID under which the caller knows the message of that id, 0: it does not, or not any
  // more, since it vanished. `is_certain` (true before): the size is the one that was announced of
  // it; -1 is like any. Messages that it does not know get UIDs above last_uid, those that have
  // a UIDL in the order in which the server lists them, and hold for this connection; the caller
  // keeps them with the ids. Where several messages have one UIDL, and not just as many as it
  // knows, nobody can say which is which: all of them are told as new.
  bool (*number)(const char *id, int64_t size, uint32_t *uid, bool *is_certain, gpointer data,
                 GError **error);
  // A server may give a UIDL again: those that are not certain, and those that several messages
  // have, are compared by their headers. Told uid, size and header (NULL: refused) as they are now:
  // whether it is the message that the caller knows under that UID. If not, it is a new one, and so
  // is each with its UIDL. NULL: none is.
  bool (*is_same)(const MailboxMessage *message, bool *is_same, gpointer data, GError **error);
  // Where a new message has to be read whole for its header, its body passes here before `message`
  // tells it; what begins with UID 0 and does not end is known already. Nothing is withheld. NULL:
  // nobody wants it.
  const MailboxBodyFuncs *bodies;
  gpointer data;
} MailboxUpdateFuncs;

typedef struct {
  MailboxStatus status;
  bool is_present_told;
  UidSet *present;  // the caller's, empty at first
} MailboxUpdate;

// -- Asking for bytes of messages.

typedef struct {
  uint64_t offset, size;
} MailboxRange;

// A request for the whole of some messages, or for parts of one.
typedef struct {
  const char *folder;
  uint32_t uidvalidity;
  bool anew;           // look at the folder again before: it may have newer messages than our view
  const UidSet *uids;  // whole messages; NULL: parts of one
  uint32_t uid;
  MailboxRange ranges[2];
  unsigned n_ranges;
} MailboxRequest;

// How many requests may be sent before the first is received.
#define MAILBOX_PIPELINE_MAX 8

// -- Messages of ours.

typedef struct {
  const char *folder;
  const char *flags;     // as in MailboxMessage; "": none
  int64_t internaldate;  // -1: the server's own time
  uint64_t size;         // exact, with CRLF line ends
  // Gives the next bytes; 0 at the end, -1 with error set.
  ssize_t (*read)(void *buffer, size_t size, gpointer data, GError **error);
  gpointer data;
} MailboxAppend;

// -- News.

typedef enum {
  MAILBOX_WATCHES_NOTHING,  // the connection is just kept
  MAILBOX_WATCHES_FOLDER,   // the folder that is open (RFC 2177 IDLE)
  MAILBOX_WATCHES_ALL,      // all personal folders and their tree (RFC 5465 NOTIFY)
} MailboxWatch;

typedef struct {
  // Something changed in `folder`; status is what it is now, NULL: unknown.
  void (*folder)(const char *folder, const MailboxStatus *status, gpointer data);
  void (*tree)(gpointer data);  // a folder came, went or was renamed
  // From now on this is watched, and everything of before has been told.
  void (*watching)(MailboxWatch watch, gpointer data);
  gpointer data;
} MailboxNewsFuncs;

typedef struct {
  uint64_t used_bytes, limit_bytes;  // limit 0: the server has no quota
} MailboxQuota;

typedef struct {
  bool (*list)(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
               GError **error);
  bool (*update)(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *update, GError **error);
  bool (*request)(Mailbox *mailbox, const MailboxRequest *request, GError **error);
  bool (*wants_pause)(Mailbox *mailbox);
  bool (*receive)(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error);
  bool (*watch)(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs, GError **error);
  MailboxWatch (*can_watch)(Mailbox *mailbox);
  bool (*append)(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain, GError **error);
  bool (*find)(Mailbox *mailbox, const char *folder, const char *field, const char *value,
               bool *found, GError **error);
  bool (*keeps_sent)(Mailbox *mailbox);
  bool (*expunge)(Mailbox *mailbox, const char *folder, uint32_t uidvalidity, const UidSet *uids,
                  GError **error);
  bool (*quota)(Mailbox *mailbox, MailboxQuota *quota, GError **error);
  unsigned (*login_delay_s)(Mailbox *mailbox);  // NULL: 0
  void (*free)(Mailbox *mailbox);
} MailboxOps;

struct Mailbox {
  const MailboxOps *ops;  // embedded first
};

// Of the account's kind of store; no I/O.
const MailboxTraits *mailbox_traits(const Account *account);
// Opens the account's mailbox: connects, logs in, asks for capabilities. `name` begins its log
// lines.
Mailbox *mailbox_open(const Account *account, Waker *waker, const char *name, GError **error);
typedef Mailbox *(*MailboxOpen)(const Account *account, Waker *waker, const char *name,
                                GError **error);

// Tells every personal folder (RFC 2342: those of other users and shared ones are left out) once,
// parents not necessarily first; and in the same round trip `status` (may be NULL) the state of
// each where the server has LIST-STATUS (RFC 5819), perhaps before its folder. REFUSED: also where
// the server lists something, twice, that cannot be read: it may be a folder. LIMIT: more than
// 100,000 folders, 16 MiB of their names, or 200,000 states.
bool mailbox_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
                  GError **error);
// Opens the folder as it is now and tells what is new since `known`, in one round trip where the
// server keeps track (RFC 7162 QRESYNC, else CONDSTORE), else by comparing. If the folder's
// UIDVALIDITY is not the known one, only update->status is told: ask again knowing nothing.
// GONE: no such folder; FORBIDDEN: no right to it; UNSUPPORTED: it has no lasting UIDs; BUSY: also
// where the server counts messages and shows none (POP3: fewer), or says that some were expunged
// meanwhile, or refuses what its messages are known by;
// REFUSED: also where it does not say in a readable way which are there; LIMIT: more than 2,000,000
// ranges of UIDs.
bool mailbox_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                    MailboxUpdate *update, GError **error);
// Sends a request, with what opens its folder before it in the same flight if another is open;
// waits for no answer. What would be too much to be under way is sent as answers are received.
// While requests are under way, only for the folder of the last one and without `anew`; at most
// MAILBOX_PIPELINE_MAX. Its strings and sets may go after the call.
bool mailbox_request(Mailbox *mailbox, const MailboxRequest *request, GError **error);
// True while the answers under way should be read before another request is sent, because the
// connection changes between them: it is to be compressed. Does not block.
bool mailbox_wants_pause(Mailbox *mailbox);
// Reads the answer to the oldest request to its end. Bodies of requests behind it may be told too,
// should the server send them early. True also where the server says that messages of a set were
// expunged: of those nothing is told, nor perhaps of others of the set, so what was not told is to
// be asked for once more by itself, or looked for by an update. GONE: the folder is gone, or has
// another UIDVALIDITY than the request's (nothing was told), or the store has no UIDs and was not
// updated on this connection, so that it knows none; REFUSED: the server says NO, so what
// was not told cannot be had.
bool mailbox_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error);
// Waits for news until the waker is woken (and then the next call may follow at once), for
// timeout_ms (-1: for ever), or until less is watched than mailbox_can_watch said: perhaps another
// folder should be. True then, also when the server has no push and nothing was told; false: the
// connection ended, perhaps because it has been silent for too long.
bool mailbox_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs, GError **error);
// The most that a watch may come to on this connection, by what the server said until now; no I/O.
MailboxWatch mailbox_can_watch(Mailbox *mailbox);
// Adds a message to a folder (RFC 3501 6.3.11); its bytes go out as they are read. GONE: no such
// folder; BUSY: over quota; what else the server says is as elsewhere. An error of `read`, or fewer
// or more bytes than `size`, ends the connection, and nothing was added. `*uncertain`: the
// connection ended when the server may have had all of it.
bool mailbox_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain,
                    GError **error);
// Opens the folder, and tells whether it has, as it is now, a message with that header field.
// REFUSED: also where the server does not say it in a readable way.
bool mailbox_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
                  bool *found, GError **error);
// True where the server itself keeps what is sent through its own submission service; no I/O.
bool mailbox_keeps_sent(Mailbox *mailbox);
// Removes messages for good; those that were not listed are passed over. Only of a store
// without UIDs, after an update on this connection: what is removed is what was listed under these
// UIDs just then. True: the server confirmed it, and the connection is over (RFC 1939 6: DELE
// counts with QUIT): free the mailbox. With an error that ended the connection they may be removed
// or not; the next update tells. REFUSED, BUSY: the server says that some were perhaps not removed,
// or the update could not tell of some of them whether they are present, which were passed over;
// the others are removed, and the connection is over all the same. GONE: there was no update on
// this connection, which lives on. UNSUPPORTED: it is not for this kind of store.
bool mailbox_expunge(Mailbox *mailbox, const char *folder, uint32_t uidvalidity, const UidSet *uids,
                     GError **error);
// RFC 9208. A server without quotas: limit 0.
bool mailbox_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error);
// For how many seconds after a login the server does not let this user in again (RFC 2449 6.7), as
// it said on this connection, a day at most; 0: it does not say. No I/O.
unsigned mailbox_login_delay_s(Mailbox *mailbox);
// Says goodbye and closes; not after an error, but for CANCELLED, once the waker was reset: while
// it is cancelled nothing can be said. Waits at most 1 s without a byte, 3 s in all. NULL is fine.
void mailbox_free(Mailbox *mailbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mailbox, mailbox_free)
