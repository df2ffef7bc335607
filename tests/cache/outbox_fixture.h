// An outbox in a directory of its own, with a fake server and a main loop that the test turns; and
// the calls a file system would make, each waited for.
#pragma once

#include <stdbool.h>

#include "cache/outbox.h"
#include "fake_sender.h"

typedef struct {
  char *directory;
  Account *account;
  OutboxOptions options;
  GMainContext *context;
  Outbox *outbox;   // NULL: not open
  GPtrArray *told;  // of char *: "- outbox/NAME" and "* outbox" (or failed), as the listener hears
} Fixture;

// Processes of other people: one that lives, and one that a signal has killed. Before any thread.
pid_t fixture_start_process(void);
void fixture_end_process(pid_t pid);
void fixture_begin_processes(void);
void fixture_end_processes(void);
pid_t fixture_other_process(void);
pid_t fixture_killed_process(void);

// Opens and starts. send_delay is 0, the first retry comes after 1 ms.
void fixture_set_up(Fixture *fixture, gconstpointer unused);
// Nothing is sent until fixture_open is called: the outbox is not open.
void fixture_set_up_closed(Fixture *fixture, gconstpointer unused);
// As fixture_set_up, but letters are held until fixture_assert_sends.
void fixture_set_up_holding(Fixture *fixture, gconstpointer unused);
void fixture_tear_down(Fixture *fixture, gconstpointer unused);
void fixture_open(Fixture *fixture);   // opens and starts
void fixture_close(Fixture *fixture);  // as the end of the program
void fixture_reopen(Fixture *fixture);
// As kill -9 and another start: what is on the disk now is all that the next one knows. Files that
// were open are closed.
void fixture_crash(Fixture *fixture);
// The same, with what `change` makes of what is in `directory` before the other start.
typedef void (*FixtureChange)(const char *directory, gpointer data);
void fixture_crash_with(Fixture *fixture, FixtureChange change, gpointer data);

// Turns the main loop until `holds`.
typedef bool (*FixtureHolds)(Fixture *fixture);
void fixture_wait(Fixture *fixture, FixtureHolds holds);
// Until no letter waits to be sent and the last one's row is gone.
void fixture_wait_sent(Fixture *fixture);
// Until the spool has done all that it was asked for.
void fixture_wait_disk(Fixture *fixture);

// Each returns 0 or the errno it was answered with.
int fixture_flush(Fixture *fixture, OutboxHandle *handle, pid_t pid);
int fixture_fsync(Fixture *fixture, OutboxHandle *handle);
int fixture_release(Fixture *fixture, OutboxHandle *handle);
int fixture_rename(Fixture *fixture, uint64_t parent, const char *name, const char *new_name,
                   unsigned flags);
// Both in outbox/.
int fixture_link(Fixture *fixture, const char *name, const char *new_name);
int fixture_unlink(Fixture *fixture, uint64_t parent, const char *name);

OutboxHandle *fixture_create(Fixture *fixture, const char *name);
OutboxHandle *fixture_open_letter(Fixture *fixture, const char *name, int flags, pid_t pid);
void fixture_write(OutboxHandle *handle, const char *text);  // at offset 0
// Creates, writes, flushes and releases, as cp does; what flush said.
int fixture_copy(Fixture *fixture, const char *name, const char *text);

// The names of a directory, separated by spaces, by rising inode.
char *fixture_names(Fixture *fixture, uint64_t directory);
void fixture_assert_names(Fixture *fixture, const char *outbox, const char *failed);
// A whole file; newly allocated.
char *fixture_read(Fixture *fixture, uint64_t directory, const char *name);
char *fixture_state(Fixture *fixture, uint64_t directory, const char *name);
bool fixture_was_told(const Fixture *fixture, const char *line);

// A sound letter with that subject, to one recipient.
char *fixture_letter(const char *subject);

// Writes a sound letter; closes it, as the process that opened it does; both, by one named after
// its subject; puts one that cannot be sent into failed/.
void fixture_write_letter(OutboxHandle *handle, const char *subject);
void fixture_finish(Fixture *fixture, OutboxHandle *handle, pid_t pid);
void fixture_copy_letter(Fixture *fixture, const char *name);
void fixture_fail_letter(Fixture *fixture, const char *name);

void fixture_assert_state(Fixture *fixture, const char *name, const char *state);
// The subject of what is to be kept; newly allocated.
char *fixture_subject_of(const Copy *copy);
// Starts again, which ends every hold, and lets all be sent that was committed: letters of just
// these subjects, in any order.
void fixture_assert_sends(Fixture *fixture, unsigned count, const char *const *subjects);
#define FIXTURE_ASSERT_SENDS(fixture, ...)                                       \
  fixture_assert_sends((fixture), G_N_ELEMENTS(((const char *[]){__VA_ARGS__})), \
                       (const char *[]){__VA_ARGS__})
