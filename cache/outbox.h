// The Outbox is the durable spool of one account's outgoing letters, seen as two small directories
// of files: `outbox/` (letters being written, held, queued, sent) and `outbox/failed/` (what could
// not be sent, each with NAME.error). Bytes lie in state_dir/ACCOUNT/letters/, one file a letter;
// what they are is in the journal, state_dir/ACCOUNT/outbox.db (SQLite, synchronous=FULL). The
// table of letters is in memory too, on the main loop, and is what the calls below read.
//
//   OPEN ──last release──> HELD ──send_delay──> QUEUED ──> SENDING ──> DATA_SENT ──> ACCEPTED ──>
//   gone
//     ^  ^  (DRAFT: a name that is never sent, or empty)      │ 4xx          │
//     │  └── opened again for writing ──┘         └───────────┴── later ─────┘
//     └─ retry: rename out of failed/ ── FAILED <── 5xx, too old, broken, not whole
//
// Every call is for the main loop's thread and none waits for a server. Those that must reach the
// disk first (flush, fsync, release, rename, unlink of a committed letter) answer through a
// callback, after a spool thread has fsynced the letter and committed the journal; many at once
// share one commit. Two courier threads send.
//
// Errors of this room are an OUTBOX_ERROR whose code is the errno to answer; its message is for the
// log.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "cache/copy.h"
#include "cache/inode.h"
#include "net/account.h"
#include "net/sender.h"

typedef struct Outbox Outbox;

// How a call is answered that waits for the disk; where there is nothing to wait for, before it
// returns.
typedef void (*OutboxDone)(const GError *error, gpointer data);

#define OUTBOX_ERROR outbox_error_quark()
GQuark outbox_error_quark(void);

#define OUTBOX_INO (INODE_OUTBOX_BASE + 2)
#define OUTBOX_FAILED_INO (INODE_OUTBOX_BASE + 3)

typedef struct {
  const Account *smtp;    // lives as long as the outbox
  const char *directory;  // state_dir/ACCOUNT, locked by the caller
  const char *from;       // address for letters without From
  unsigned send_delay_ms;
  uint64_t send_lifetime_s;
  // Keeps a copy of each letter that was sent, and tells of one that was perhaps sent whether it
  // was: as store_copy, with `saver` as its last argument. NULL: no copies are kept. copy_folder:
  // see Copy. Asked and answered on the main loop; the outbox may be freed with answers still owed,
  // if none comes then.
  void (*save_copy)(Copy *copy, CopyDone done, gpointer data, gpointer saver);
  gpointer saver;
  const char *copy_folder;
  // For tests; zero is the real thing. What opens a Sender (sender_open), the wait before the
  // second try (one minute), what is called on the spool thread after each of its steps, and:
  Sender *(*open_sender)(const Account *account, Waker *waker, const char *name, GError **error);
  unsigned retry_ms;
  void (*after_step)(gpointer data);
  // What time it is, in microseconds since 1970: all waits and dates go by it, and whoever moves it
  // calls outbox_run_agenda. NULL: the machine's clocks.
  int64_t (*now_us)(gpointer data);
  gpointer data;
} OutboxOptions;

// One file of the outbox, as stat needs it. `name` lives until the next call that changes the
// outbox.
typedef struct {
  uint64_t ino, parent;
  const char *name;
  uint64_t size;
  mode_t mode;  // permission bits, as chmod left them
  int64_t mtime_ns, ctime_ns, atime_ns;
  bool is_error_note;   // a NAME.error of failed/: read-only text
  uint64_t shared_ino;  // shown by stat where it has hard links; 0: its own
  unsigned links;
} OutboxFile;

// Told on the main loop: `name` left `parent` (sent, failed, relabelled), or something there is
// new.
typedef struct {
  void (*removed)(uint64_t parent, uint64_t ino, const char *name, gpointer data);
  void (*changed)(uint64_t parent, gpointer data);
} OutboxListener;

// Opens the spool and repairs what a crash left: letters committed go on, what was flushed but
// never released goes to failed/, what was accepted is removed. Blocks on the disk. Sends nothing
// yet.
Outbox *outbox_open(const OutboxOptions *options, GMainContext *context, GError **error);
// Starts sending.
void outbox_start(Outbox *outbox);
// Ends the threads: a letter under way is given up before its final dot or its reply awaited for at
// most 5 s after it; commits what was asked for, frees all, also what is still open: a letter that
// was not closed by its writer is not finished. Callbacks still owed are not called.
void outbox_free(Outbox *outbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Outbox, outbox_free)
// Takes letters that other programs have put into state_dir/ACCOUNT/incoming/ (see drop.h) and
// queues them; one that cannot be sent goes to failed/. Happens by itself from outbox_start on;
// here for those who want to know when all that are there now have been taken: an error tells that
// some stay where they are, and will be tried again.
void outbox_take_drops(Outbox *outbox, OutboxDone done, gpointer data);
void outbox_set_listener(Outbox *outbox, const OutboxListener *listener, gpointer data);
// How many letters wait to be sent.
unsigned outbox_waiting(const Outbox *outbox);
// How many letters of other accounts' spools beside this one's directory wait, for a line at start;
// not of those that are mounted.
unsigned outbox_count_elsewhere(const char *state_dir, const char *own_directory);

// True if `ino` is the outbox, failed/ or in one of them.
bool outbox_owns(uint64_t ino);
// The directories themselves: when their listing last changed (moves forward strictly).
int64_t outbox_directory_mtime_ns(const Outbox *outbox, uint64_t directory);

// Reading.
bool outbox_get(Outbox *outbox, uint64_t ino, OutboxFile *file);
bool outbox_lookup(Outbox *outbox, uint64_t parent, const char *name, OutboxFile *file);
// To be called when that process is told that outbox/ has a file of that name: if it has just
// removed one to put its own there, another was faster, and what it removed goes on. (It may have
// meant to cancel it, and just look; of the two, this is the one that loses no letter.)
void outbox_seen(Outbox *outbox, const char *name, pid_t pid);
typedef bool (*OutboxEach)(const OutboxFile *file, gpointer data);
// Files of `parent` with ino > after, by rising ino, until `each` returns false. Not failed/
// itself.
void outbox_children(Outbox *outbox, uint64_t parent, uint64_t after, OutboxEach each,
                     gpointer data);
// "held", "queued", "sending", "failed", ...; newly allocated, NULL where there is none. A letter
// that is told to be held is on disk. The null sender is "<>".
typedef enum {
  OUTBOX_STATE,
  OUTBOX_ERROR_TEXT,
  OUTBOX_NEXT_TRY,
  OUTBOX_ENVELOPE_FROM,
} OutboxDetail;
char *outbox_detail(Outbox *outbox, uint64_t ino, OutboxDetail detail);

// Writing. `pid` is the calling thread's; its process counts. An OutboxHandle is one open file.
typedef struct OutboxHandle OutboxHandle;

// EINVAL (a name that is ours: *.error, or with a control character), EEXIST, ENAMETOOLONG, EPERM
// (in failed/), ENOSPC.
OutboxHandle *outbox_create(Outbox *outbox, uint64_t parent, const char *name, mode_t mode,
                            pid_t pid, OutboxFile *file, GError **error);
// open_flags as open(2)'s. Writing to a letter under way: EBUSY, at once with O_APPEND, else from
// outbox_write and outbox_truncate, as it may still be emptied to take its name. O_TRUNC on a
// letter that another process closed or has open leaves that letter alone: it goes on as NAME+1
// (the listener is told), and `ino` is a new empty letter. One that an editor's lock holds back
// goes to failed/ instead. ESTALE for one that has lost its name since it was looked up: the kernel
// looks the name up again then, and opens what has it now.
OutboxHandle *outbox_open_file(Outbox *outbox, uint64_t ino, int open_flags, pid_t pid,
                               GError **error);
// Of the letter's bytes, as long as the handle lives; -1: a note, which is in memory.
int outbox_handle_fd(const OutboxHandle *handle);
// pread/pwrite on the letter's file: bytes done, or -1 with error. A letter whose writing failed is
// not whole until it was truncated to nothing: it cannot be committed, and flush, rename and link
// answer with the same errno; so it is with one whose writer was killed (ECANCELED), and with a
// draft that was open when the program ended (EOWNERDEAD).
ssize_t outbox_read(OutboxHandle *handle, void *buffer, size_t size, off_t offset, GError **error);
// To be said before a write: which thread it is of.
void outbox_note_writer(OutboxHandle *handle, pid_t pid);
#define OUTBOX_APPEND (-1)  // as an offset: at the end
ssize_t outbox_write(OutboxHandle *handle, const void *bytes, size_t size, off_t offset,
                     GError **error);
// Truncates or extends the letter that `handle` holds open; NULL: by path, the one `ino` is, EBUSY
// for one that is committed. To nothing by a handle that has written nothing yet, of another
// process than the one whose bytes these are or of a letter under way, is as O_TRUNC: the letter
// goes on as NAME+1. ENOENT if it was sent or failed since it was opened.
bool outbox_truncate(Outbox *outbox, uint64_t ino, OutboxHandle *handle, uint64_t size,
                     GError **error);
bool outbox_set_mode(Outbox *outbox, uint64_t ino, mode_t mode, GError **error);
bool outbox_set_times(Outbox *outbox, uint64_t ino, int64_t atime_ns, int64_t mtime_ns,
                      GError **error);
// Who is the letter's sender for the servers, whatever its header says; "" and "<>" are the null
// sender, NULL leaves it to the header again. Until the letter is queued, and in failed/: else
// EBUSY. EINVAL for what cannot be an address.
void outbox_set_envelope_from(Outbox *outbox, uint64_t ino, const char *from, OutboxDone done,
                              gpointer data);
// Durable once `done` says so. Flush also checks a non-empty letter that its opener's process
// flushes: EINVAL, or EMSGSIZE where the server said how much it takes, with the reason in the log.
// It never commits.
void outbox_flush(OutboxHandle *handle, pid_t pid, OutboxDone done, gpointer data);
void outbox_fsync(OutboxHandle *handle, OutboxDone done, gpointer data);
// Takes the handle. The last writer's release commits the letter (see SPEC: never empty files,
// dot-files, editors' files).
void outbox_release(OutboxHandle *handle, OutboxDone done, gpointer data);
// When the mount was ended, RELEASEs that were still on their way do not come any more. This is an
// open file of which one must have been: the process that opened it has flushed it since it was
// written to last, and has ended. NULL: there is none.
OutboxHandle *outbox_find_closed(Outbox *outbox);
// Within the outbox, from failed/ (a retry), never into failed/ (EPERM). From a name that is never
// sent to one that is: commits at once, and a refused letter (EINVAL, EMSGSIZE, or what its writing
// failed with) stays under its old name. Onto a letter: that one goes on, as above.
// RENAME_NOREPLACE is honoured, other flags EINVAL.
void outbox_rename(Outbox *outbox, uint64_t parent, const char *name, uint64_t new_parent,
                   const char *new_name, unsigned flags, OutboxDone done, gpointer data);
// A second name for a draft: a letter of its own with the same bytes and sender, so that either can
// be written to, sent or removed without the other; until then stat shows one file with two links.
// From a name that is never sent to one that is: the new one is committed at once, and a refused
// one (as by rename) is not made. EPERM in or from failed/, and for what is committed: it goes
// once. EBUSY while it is written to. EEXIST.
void outbox_link(Outbox *outbox, uint64_t ino, uint64_t new_parent, const char *new_name,
                 OutboxDone done, gpointer data);
// Cancels: a letter whose sending has not begun is gone for good; ENOENT, or EBUSY while it is
// being sent or is next. A process that removes another's letter and at once creates a file of that
// name only takes the name: the letter goes on as NAME+1. Where the program crashes within a second
// of such a removal, the letter lies in failed/ afterwards. `pid` 0: nobody's.
void outbox_unlink(Outbox *outbox, uint64_t parent, const char *name, pid_t pid, OutboxDone done,
                   gpointer data);
// The same as moving failed/NAME back and as removing a letter, for those who do it beside the file
// system: the listener is told. The first with errors as outbox_rename, and EBUSY beside an
// editor's lock, where it would not be sent. The second looks in outbox/ for NAME, else in failed/,
// and only there for failed/NAME; a failed one's note goes too.
void outbox_retry(Outbox *outbox, const char *name, OutboxDone done, gpointer data);
void outbox_cancel(Outbox *outbox, const char *name, OutboxDone done, gpointer data);
