// The OutboxTable holds the letters of an outbox in memory, by inode and by directory and name: a
// copy of the journal's rows, and what only lasts as long as the program (open files, notes of
// letters already removed). It decides nothing. The main loop's.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "cache/outbox_journal.h"
#include "cache/outbox_process.h"

typedef struct {
  OutboxRow row;
  GPtrArray *recipients;  // of OutboxRecipient: those answered for
  uint64_t size;
  bool linked;     // has a name; else it is open still, or only its note is left
  bool journaled;  // the journal has a row of it, or soon will
  bool unstored;   // what it is now could not be stored
  char *note;      // FAILED: the text of NAME.error; NULL: none
  int64_t note_ns;
  int note_broken;  // row.broken as it was when that was written

  int fd;                // of its file while it is open, else -1
  unsigned handles;      // open files
  unsigned writers;      // those of them that may write
  OutboxProcess writer;  // that last opened it for writing
  OutboxProcess author;  // that last wrote to it
  unsigned revision;     // counts changes of its bytes
  unsigned checked;      // the revision last found fit to be sent
  unsigned synced;       // the revision last known to be on disk
  unsigned commit;       // counts commits and what takes them back: a late answer tells by it
  unsigned pins;         // answers of other threads that are still to come for it
  bool moving;           // one of them is a rename's
  uint64_t twin;         // the inode that stat shows for it and its hard links; 0: its own
  bool copying;          // a copy of it is on its way
  bool perhaps_copied;   // an earlier run may have kept one, and not have noted it
  bool has_looked;       // the server was asked whether it was sent, since that was last unsure
  bool is_recorded;      // ACCEPTED: the journal has it on disk
  bool aside;            // another process took its name while it was written
  bool turned_away;      // the server left when it was last tried
  int64_t due_us;        // HELD, QUEUED: when its next step is due, monotonic; 0: not on the agenda
} OutboxLetter;

typedef struct OutboxTable OutboxTable;

OutboxTable *outbox_table_new(void);
void outbox_table_free(OutboxTable *table);

// Takes `row`'s strings. The letter is in the table by its inode, without a name yet.
OutboxLetter *outbox_table_add(OutboxTable *table, OutboxRow *row);
// Removes and frees a letter if nothing speaks of it any more: no name, note, open file or pin.
void outbox_table_let_go(OutboxTable *table, OutboxLetter *letter);

// The letter with this inode, or whose note has it.
OutboxLetter *outbox_table_get(const OutboxTable *table, uint64_t ino);
// By name; a NAME.error finds the letter whose note it is.
OutboxLetter *outbox_table_find(const OutboxTable *table, uint64_t directory, const char *name);
// Letters with an inode of `ino` or above, by rising inode, until `each` returns false.
typedef bool (*OutboxTableEach)(OutboxLetter *letter, gpointer data);
void outbox_table_from(const OutboxTable *table, uint64_t ino, OutboxTableEach each, gpointer data);

// Gives the letter (back) its row's directory and name. The name must be free.
void outbox_table_link(OutboxTable *table, OutboxLetter *letter);
// Takes its name away. Its note, if it has one, goes on.
void outbox_table_unlink(OutboxTable *table, OutboxLetter *letter);
// Gives it a note (copied), or takes it away (NULL).
void outbox_table_set_note(OutboxTable *table, OutboxLetter *letter, const char *text);
// How many names there are of what stat shows as one file.
unsigned outbox_table_links(const OutboxTable *table, const OutboxLetter *letter);
// The letter is no longer what its hard links are: they are files of their own from now on.
void outbox_table_part(OutboxTable *table, OutboxLetter *letter);
// Gives it another inode.
void outbox_table_renumber(OutboxTable *table, OutboxLetter *letter, uint64_t ino);
// A name for the letter in `directory`: `name` if nothing has it, else NAME+1, NAME+2 ...
char *outbox_table_free_name(const OutboxTable *table, uint64_t directory, const char *name,
                             unsigned first);
