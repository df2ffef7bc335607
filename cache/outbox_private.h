// The inside of an Outbox: shared by the files outbox*.c only. The main loop's thread owns it; what
// other threads do reaches it as answers of the spool and results of the courier.
//
//   outbox.c          life, numbers, errands to the spool
//   outbox_read.c     what the file system sees
//   outbox_recover.c  what a crash left
//   outbox_file.c     create, open
//   outbox_bytes.c    read, write, resize
//   outbox_attr.c     attributes of files
//   outbox_close.c    flush, fsync, release
//   outbox_intake.c   letters that other programs hand over
//   outbox_commit.c   from being written to being held; into failed/
//   outbox_move.c     rename, unlink
//   outbox_link.c     hard links
//   outbox_replace.c  removed to put another in its place
//   outbox_agenda.c   when what is due
//   outbox_demand.c   retrying and cancelling beside the file system
//   outbox_drain.c    sending all that waits
//   outbox_send.c     to the courier, and what comes of it
//   outbox_copy.c     copies for the Sent folder
#pragma once

#include "cache/courier.h"
#include "cache/outbox.h"
#include "cache/outbox_letters.h"
#include "cache/outbox_spool.h"
#include "cache/outbox_table.h"

// How many letters may be with the courier at once: two are sent, some are at hand, and some wait
// until the disk has what came of them.
#define OUTBOX_UNDER_WAY_MAX 8

#define OUTBOX_LETTERS_NAME "letters"
#define OUTBOX_JOURNAL_NAME "outbox.db"
// The directory in outbox/.
#define OUTBOX_FAILED_NAME "failed"
// Why a letter is not sent that was open when the program ended.
#define OUTBOX_UNFINISHED "it was still being written when mailfs ended"
// Numbers are set aside on disk in blocks of this.
#define OUTBOX_NUMBERS_BLOCK (1u << 16)

typedef struct OutboxAgenda OutboxAgenda;
typedef struct OutboxIntake OutboxIntake;
typedef struct OutboxKept OutboxKept;

struct Outbox {
  OutboxOptions options;
  char *from, *server, *copy_folder;
  GMainContext *context;
  OutboxListener listener;
  gpointer listener_data;

  OutboxTable *table;
  OutboxSpool *spool;
  Courier *courier;  // NULL until started
  OutboxAgenda *agenda;
  OutboxIntake *intake;
  OutboxKept *kept;
  int letters_fd;   // the directory letters/
  int incoming_fd;  // the directory incoming/
  char *note_name;  // lent to whom a note was shown last

  uint64_t next_number;  // for files and inodes, never given out before
  uint64_t reserved;     // numbers below this are ours to give out
  bool reserving;
  int64_t changed_ns[2];  // outbox/, failed/
  bool unstored;          // so may be letters

  GHashTable *handles;   // set of OutboxHandle *, owned: all that are open
  GPtrArray *under_way;  // OutboxLetter *, with the courier
  GPtrArray *copyings;   // owned: copies on their way
  GPtrArray *drains;     // OutboxDrain *, each its owner's
  unsigned failures;     // connections that failed in a row
  bool lets_in;          // a letter was answered since one was turned away, or a connection failed
  int64_t failed_us;     // when the courier saw the last of those, monotonic
  int64_t resume_us;     // no connection is tried before, monotonic
  int64_t hurried_us;    // when a try out of turn failed last
  bool out_of_turn;      // the next try is not the one that the delay was for
  bool denied;           // the server did not let us in
  uint64_t max_size;     // of a letter, as the server last said; 0: never
  int64_t max_size_us;   // when it did
};

// One open file.
struct OutboxHandle {
  Outbox *outbox;
  OutboxLetter *letter;  // NULL: a note
  char *note;
  bool writes, has_written;
  bool wants_name;        // opened for writing while its letter was sent: it can only be emptied
  OutboxProcess process;  // that opened it
  pid_t writer;           // the thread that last wrote by it
  bool is_half;           // that one was killed: whoever closes it, what it wrote is not all of it
  bool killed;            // the last to flush it was being killed
  // The letter's revision when it was flushed last, 0 if that was not by the opener's process.
  unsigned flushed;
};

// -- outbox.c
bool outbox_set_error(GError **error, int code, const char *name, const char *what);
// A number for a new file or inode. ENOSPC if the journal cannot set any aside.
bool outbox_new_number(Outbox *outbox, uint64_t *number, GError **error);
uint64_t outbox_ino_of_number(uint64_t number);
// The directory's listing changed, by the kernel's own doing.
void outbox_touch(Outbox *outbox, uint64_t directory);
// It changed otherwise, or lost a name: the listener is told.
void outbox_tell_changed(Outbox *outbox, uint64_t directory);
void outbox_tell_removed(Outbox *outbox, uint64_t directory, uint64_t ino, const char *name);

// Takes a job that was done: it has to end with outbox_end_errand.
typedef void (*OutboxAnswered)(SpoolJob *job, gpointer outbox);
// Who waits for what the spool does to a letter.
typedef struct {
  OutboxLetter *letter;       // pinned
  unsigned revision, commit;  // as they were
  OutboxAnswered answered;
  OutboxDone done;  // NULL: nobody
  gpointer data;
} OutboxErrand;
// How large a letter the server takes, 0: not known. What it said an hour ago does not count: it
// may take more by now, and only a letter that is tried can tell.
uint64_t outbox_max_size(const Outbox *outbox);
// A job for the spool with a copy of the letter's row and recipients. The row of a failed letter
// that is being written anew says, for a crash, that it is not whole.
SpoolJob *outbox_new_job(const OutboxLetter *letter, SpoolChange change);
// Pushes the job; where a failed letter's note does not tell any more whether it is whole, it is
// made anew. `answered`, with an OutboxErrand as job->detail, is called with the outcome on
// the main loop. NULL: errors are logged, `done` is called.
void outbox_push(Outbox *outbox, OutboxLetter *letter, SpoolJob *job, OutboxAnswered answered,
                 OutboxDone done, gpointer data);
void outbox_end_errand(Outbox *outbox, SpoolJob *job, const GError *error);
// What a caller is told of a letter that the check refused; NULL: it did not.
GError *outbox_refusal_of(const SpoolJob *job);
// Stores the letter as it is now, with its bytes if they are not known to be on disk. One that
// cannot be stored is tried again as soon as something else can be, and at the end.
void outbox_store(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data);
// Stores its place, mode and times only. relaxed: need not survive a power failure.
void outbox_store_label(Outbox *outbox, OutboxLetter *letter, bool relaxed);

// -- outbox_file.c
void outbox_handle_free(gpointer handle);
// The letter itself: ENOENT, and EPERM for a note.
OutboxLetter *outbox_get_letter(const Outbox *outbox, uint64_t ino, GError **error);
// Its file, until outbox_close_idle.
bool outbox_open_bytes(Outbox *outbox, OutboxLetter *letter, GError **error);
// Closes the letter's file if nobody has it open.
void outbox_close_idle(OutboxLetter *letter);
// True from the end of its being held until the server has taken it.
bool outbox_is_on_its_way(const OutboxLetter *letter);
// A new, empty letter with the name and inode of this one, which goes on under others. NULL: as it
// was.
OutboxLetter *outbox_replace_letter(Outbox *outbox, OutboxLetter *letter, GError **error);

// -- outbox_bytes.c
// Truncates or extends its file, which is open. To nothing: what was said of it is forgotten.
bool outbox_resize(OutboxLetter *letter, uint64_t size, GError **error);

// -- outbox_commit.c
// Whether a letter that others want the name of goes on under another name instead of being
// overwritten by `process`.
bool outbox_stands_alone(const OutboxLetter *letter, OutboxProcess process);
// That: gives it the next free NAME+n, and another inode unless `keep_ino`. A draft goes to
// failed/: without its name, the lock that holds it back is no more its own.
bool outbox_step_aside(Outbox *outbox, OutboxLetter *letter, bool keep_ino, GError **error);
// Sets what LetterDefaults wants to have, where it is not set yet.
void outbox_set_defaults(const Outbox *outbox, OutboxRow *row);
// True while an editor's lock lies beside that name.
bool outbox_is_locked(const Outbox *outbox, const char *name);
// True if nothing but an open writer keeps a letter of that name from being sent.
bool outbox_is_fit_name(const Outbox *outbox, const OutboxLetter *letter, const char *name);
// The last writer has closed it: hold it, keep it as a draft, or fail it if it is not whole.
void outbox_close_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data);
// A held letter is written to again; its row is the caller's to store.
void outbox_reopen_letter(Outbox *outbox, OutboxLetter *letter);
// A file of that name is gone: if it was an editor's lock, its letter may go on.
void outbox_lock_gone(Outbox *outbox, const char *name);
// In memory: the letter lies in failed/, with that note.
void outbox_place_failed(Outbox *outbox, OutboxLetter *letter, const char *note);
// For OutboxSpoolOptions.unsynced: a letter that waits goes to failed/.
void outbox_take_unsynced(uint64_t id, int code, gpointer outbox);
// Moves a letter to failed/ that is not whole; false: it is.
bool outbox_fail_if_broken(Outbox *outbox, OutboxLetter *letter);
// Moves a letter to failed/, for that reason and with what the last try said of the recipients.
void outbox_fail(Outbox *outbox, OutboxLetter *letter, bool by_server, const char *reason,
                 const GPtrArray *outcomes, OutboxDone done, gpointer data);
char *outbox_report(const Outbox *outbox, const OutboxLetter *letter, bool by_server,
                    const char *reason, const GPtrArray *outcomes);
// Of a failed letter that was written to in failed/: `broken` (as row.broken) tells whether what
// there is of it now is whole.
char *outbox_report_anew(const Outbox *outbox, const OutboxLetter *letter, int broken);
// The reason that a report gives; NULL: it was not made here.
char *outbox_report_reason(const char *note);

// -- outbox_move.c
// Answers with an error of that errno.
void outbox_refuse(OutboxDone done, gpointer data, int code, const char *name, const char *what);
// 0, or the errno that stands against a letter's coming there; flags as rename(2)'s.
int outbox_check_place(Outbox *outbox, uint64_t directory, const char *name, unsigned flags);
// The row of a letter that goes at once, as new.
void outbox_prepare_queued(const Outbox *outbox, OutboxRow *row);
// Takes the name away, and the letter off the agenda. Not one under way.
void outbox_unname_letter(Outbox *outbox, OutboxLetter *letter);
// That, and then as below.
void outbox_unlink_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data);
// Takes the letter and its row away for good.
void outbox_remove_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data);

// -- outbox_replace.c
OutboxKept *outbox_kept_new(Outbox *outbox);
void outbox_kept_free(OutboxKept *letters);
// When `process` removes a letter of outbox/: true if it may be about to put another in its place.
// Then the letter is kept, without a name, and `done` answered as by outbox_unlink_letter.
bool outbox_keep_removed(Outbox *outbox, OutboxLetter *letter, OutboxProcess process,
                         OutboxDone done, gpointer data);
// Those that were kept long enough are removed. Called by outbox_run_agenda.
void outbox_forget_kept(Outbox *outbox);
// To be called after `process` created a file.
void outbox_return_removed(Outbox *outbox, const char *name, OutboxProcess process);

// -- outbox_agenda.c
OutboxAgenda *outbox_agenda_new(Outbox *outbox);
void outbox_agenda_free(OutboxAgenda *agenda);
// The time that waits are counted by, and the date in seconds since 1970.
int64_t outbox_now_us(const Outbox *outbox);
int64_t outbox_now_s(const Outbox *outbox);
// By its phase, HELD or QUEUED. Of the queued ones that are due, those that the server turned away
// come behind all others.
void outbox_agenda_add(Outbox *outbox, OutboxLetter *letter, int64_t due_us);
void outbox_agenda_remove(Outbox *outbox, OutboxLetter *letter);
// Does what is due and sets the clock for what is next. To be called after any change of these.
void outbox_run_agenda(Outbox *outbox);
typedef void (*OutboxAgendaEach)(Outbox *outbox, OutboxLetter *letter, const char *message);
// `each` may take its letter off the agenda.
void outbox_agenda_each_queued(Outbox *outbox, OutboxAgendaEach each, const char *message);
// Another letter to send is a reason to try the server again at once, unless that failed within
// the shortest delay: a burst of letters is one such reason.
void outbox_hurry(Outbox *outbox);

// -- outbox_drain.c
typedef enum {
  OUTBOX_FATE_SENT,
  OUTBOX_FATE_FAILED,
  OUTBOX_FATE_DELAYED,  // row.error says why, as in the next
  OUTBOX_FATE_OFFLINE,  // and so are all others that wait for the server
  OUTBOX_FATE_LEFT,     // waits no more: removed, renamed, written to
} OutboxFate;
// What became of a letter that waited.
void outbox_tell_drains(Outbox *outbox, OutboxLetter *letter, OutboxFate fate);
// Whether somebody wants it to be sent at once.
bool outbox_is_drained(const Outbox *outbox, OutboxLetter *letter);

// -- outbox_intake.c
OutboxIntake *outbox_intake_new(void);
void outbox_intake_free(OutboxIntake *intake);
// Takes what is there and watches for more.
void outbox_start_intake(Outbox *outbox);
// At recovery, before anything is sent: takes drops away that have a row (`origins`: set of char *)
// already.
bool outbox_settle_drops(Outbox *outbox, GHashTable *origins, GError **error);

// -- outbox_copy.c
void outbox_copying_free(gpointer copying);
bool outbox_wants_copy(const Outbox *outbox, const OutboxLetter *letter);
// Has a copy kept of a letter that was sent to somebody, if one is wanted and not on its way; an
// ACCEPTED one is removed then.
void outbox_copy(Outbox *outbox, OutboxLetter *letter);
// All that an earlier end of the program left to do.
void outbox_copy_what_is_left(Outbox *outbox);
// Asks whether a letter that was perhaps sent was: true if there is somebody to ask, and then
// outbox_take_look tells.
bool outbox_look_first(Outbox *outbox, OutboxLetter *letter);

// -- outbox_send.c
int64_t outbox_retry_delay_us(const Outbox *outbox, unsigned attempts);
// Has the journal note that the letter was ACCEPTED, where it could not at first.
void outbox_record_accepted(Outbox *outbox, OutboxLetter *letter);
void outbox_take_look(Outbox *outbox, uint64_t id, bool was_sent);
void outbox_hand_over(Outbox *outbox, OutboxLetter *letter);
// True if the letter is not under way, or was not begun: then it is queued again. Afterwards
// outbox_run_agenda is to be called.
bool outbox_recall(Outbox *outbox, OutboxLetter *letter);
void outbox_take_result(const CourierResult *result, const GError *error, gpointer outbox);

// -- outbox_recover.c
bool outbox_recover(Outbox *outbox, OutboxJournal *journal, GError **error);
