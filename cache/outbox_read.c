// Reading: what the table holds, as the file system wants to see it.
#include <string.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/lock.h"
#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

#define NOTE_MODE 0400

// Lent by `file` until the next call; kept by the outbox, as a note's name is nowhere else.
static const char *note_name(Outbox *outbox, const OutboxLetter *letter) {
  g_free(outbox->note_name);
  outbox->note_name = g_strconcat(letter->row.name, OUTBOX_ERROR_SUFFIX, NULL);
  return outbox->note_name;
}

static void fill_letter(const Outbox *outbox, const OutboxLetter *letter, OutboxFile *file) {
  *file = (OutboxFile){
      .ino = letter->row.ino,
      .parent = letter->row.directory,
      .name = letter->row.name,
      .size = letter->size,
      .mode = letter->row.mode,
      .mtime_ns = letter->row.mtime_ns,
      .ctime_ns = letter->row.ctime_ns,
      .atime_ns = letter->row.atime_ns,
      .shared_ino = letter->twin,
      .links = outbox_table_links(outbox->table, letter),
  };
}

static void fill_note(Outbox *outbox, const OutboxLetter *letter, OutboxFile *file) {
  *file = (OutboxFile){
      .ino = letter->row.ino + 1,
      .parent = OUTBOX_FAILED_INO,
      .name = note_name(outbox, letter),
      .size = strlen(letter->note),
      .mode = NOTE_MODE,
      .mtime_ns = letter->note_ns,
      .ctime_ns = letter->note_ns,
      .atime_ns = letter->note_ns,
      .is_error_note = true,
      .links = 1,
  };
}

bool outbox_owns(uint64_t ino) {
  return ino > INODE_OUTBOX_BASE;
}

bool outbox_get(Outbox *outbox, uint64_t ino, OutboxFile *file) {
  const OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  if (letter == NULL) return false;
  if ((ino & 1) != 0) {
    if (letter->note == NULL) return false;
    fill_note(outbox, letter, file);
  } else {
    if (!letter->linked && letter->handles == 0) return false;
    fill_letter(outbox, letter, file);
  }
  return true;
}

bool outbox_lookup(Outbox *outbox, uint64_t parent, const char *name, OutboxFile *file) {
  const OutboxLetter *letter = outbox_table_find(outbox->table, parent, name);
  if (letter == NULL) return false;
  if (outbox_name_is_note(name))
    fill_note(outbox, letter, file);
  else
    fill_letter(outbox, letter, file);
  return true;
}

typedef struct {
  Outbox *outbox;
  uint64_t parent, after;
  OutboxEach each;
  gpointer data;
} Walk;

static bool walk_letter(OutboxLetter *letter, gpointer data) {
  const Walk *walk = data;
  OutboxFile file;
  if (letter->linked && letter->row.directory == walk->parent && letter->row.ino > walk->after) {
    fill_letter(walk->outbox, letter, &file);
    if (!walk->each(&file, walk->data)) return false;
  }
  if (letter->note == NULL || walk->parent != OUTBOX_FAILED_INO || letter->row.ino < walk->after)
    return true;
  fill_note(walk->outbox, letter, &file);
  return walk->each(&file, walk->data);
}

void outbox_children(Outbox *outbox, uint64_t parent, uint64_t after, OutboxEach each,
                     gpointer data) {
  Walk walk = {outbox, parent, after, each, data};
  outbox_table_from(outbox->table, after & ~(uint64_t)1, walk_letter, &walk);
}

// A letter is not to be called held before the disk has it: only then it is due.
static const char *state_of(const OutboxLetter *letter) {
  bool unsaved = letter->row.phase == OUTBOX_HELD && letter->due_us == 0;
  return outbox_phase_name(unsaved ? OUTBOX_OPEN : letter->row.phase);
}

static char *next_try_of(const Outbox *outbox, const OutboxLetter *letter) {
  if (letter->due_us == 0) return NULL;
  int64_t due_us = letter->due_us;
  if (letter->row.phase == OUTBOX_QUEUED) due_us = MAX(due_us, outbox->resume_us);
  int64_t wait_us = MAX(due_us - outbox_now_us(outbox), 0);
  g_autoptr(GDateTime) when =
      g_date_time_new_from_unix_utc(outbox_now_s(outbox) + wait_us / G_USEC_PER_SEC);
  return g_date_time_format(when, "%Y-%m-%dT%H:%M:%SZ");
}

static char *sender_of(const Envelope *envelope) {
  return envelope->from != NULL && *envelope->from == '\0' ? g_strdup("<>")
                                                           : g_strdup(envelope->from);
}

char *outbox_detail(Outbox *outbox, uint64_t ino, OutboxDetail detail) {
  const OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  if (letter == NULL || (ino & 1) != 0) return NULL;
  switch (detail) {
    case OUTBOX_STATE:
      return g_strdup(state_of(letter));
    case OUTBOX_ERROR_TEXT:
      return g_strdup(letter->row.error);
    case OUTBOX_NEXT_TRY:
      return next_try_of(outbox, letter);
    case OUTBOX_ENVELOPE_FROM:
      return sender_of(&letter->row.envelope);
  }
  return NULL;
}

static bool count_waiting(OutboxLetter *letter, gpointer data) {
  unsigned *count = data;
  if (letter->linked && outbox_phase_is_waiting(letter->row.phase)) (*count)++;
  return true;
}

unsigned outbox_waiting(const Outbox *outbox) {
  unsigned count = 0;
  outbox_table_from(outbox->table, 0, count_waiting, &count);
  return count;
}

static unsigned count_drops(const char *directory) {
  int fd = drop_directory_find(directory);
  if (fd < 0) return 0;
  g_autoptr(GPtrArray) ids = drop_list(fd, NULL, G_MAXINT, NULL);
  close(fd);
  return ids != NULL ? ids->len : 0;
}

unsigned outbox_count_elsewhere(const char *state_dir, const char *own_directory) {
  g_autoptr(GDir) accounts = g_dir_open(state_dir, 0, NULL);
  g_autofree char *own = g_path_get_basename(own_directory);
  unsigned count = 0;
  const char *name;
  while (accounts != NULL && (name = g_dir_read_name(accounts)) != NULL) {
    if (strcmp(name, own) == 0) continue;
    g_autofree char *directory = g_build_filename(state_dir, name, NULL);
    if (directory_lock_is_held(directory)) continue;
    g_autofree char *path = g_build_filename(directory, OUTBOX_JOURNAL_NAME, NULL);
    count += outbox_journal_count(path) + count_drops(directory);
  }
  return count;
}
