// The steps that tests at a mount are made of: what happens at the server, and what programs do and
// see. From the test's own thread.
#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include "tests/fs/mounted.h"

#define LETTER "From: alice@example.org\r\n\r\nHello\r\n"
#define PATIENT_MS 60000
#define HASTY_MS 200

// A new message in INBOX, as fake_add_message; nobody is told yet.
uint64_t add_message(Mounted *mounted, const char *name, const char *body, uint64_t announced);
// It is told as new, as part of a change.
void tell_added(Mounted *mounted, uint64_t ino);
void remove_message(Mounted *mounted, uint64_t ino);
// INBOX has changed: its mtime moves and the listener is told.
void tell_changed(Mounted *mounted);
// As fake_set_outcome, fake_set_listing (of INBOX), fake_go_on.
void set_outcome(Mounted *mounted, int outcome);
void set_listing(Mounted *mounted, StoreListing listing);
void go_on(Mounted *mounted);
// The next reads of the tree answer LATER.
void be_busy(Mounted *mounted);
unsigned count_cancelled(Mounted *mounted);
unsigned count_open(Mounted *mounted);
// As fake_let_arrive.
void let_arrive(Mounted *mounted, uint64_t ino, uint64_t arrived);

// Names in the order of readdir, each followed by a space; "errno N" if there is no opening it.
void assert_list(Mounted *mounted, const char *name, const char *expected);
// As `ls -l` does: names, and what stat says of each.
void list_plus(Mounted *mounted, const char *name);
struct stat look(Mounted *mounted, const char *name);
// The errno of stat, 0 for none.
int look_errno(Mounted *mounted, const char *name);
// Once open, the file has this size and these bytes.
void assert_read(Mounted *mounted, const char *name, const char *expected);
// -1: it was killed.
int exit_code_of(pid_t pid);
// Waits until a signal has turned the wait in a call into one that only a fatal signal ends: then
// the kernel has told the file system.
void wait_until_interrupted(pid_t pid);

// A reader that may have to wait.
typedef struct {
  pthread_t thread;
  char *path;
  char *bytes;
} Reading;

void reading_start(Reading *reading, Mounted *mounted, const char *name);
// Waits for it: it has read these bytes, or "errno N".
void reading_end(Reading *reading, const char *expected);
