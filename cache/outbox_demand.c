// What users ask for beside the file system, which then has to be told.
#include <errno.h>
#include <string.h>

#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

#define FAILED_PREFIX OUTBOX_FAILED_NAME "/"

typedef struct {
  Outbox *outbox;
  uint64_t directory, ino;
  char *name;
  bool had_note;
  OutboxDone done;
  gpointer data;
} Demand;

static Demand *demand_new(Outbox *outbox, const OutboxLetter *letter, OutboxDone done,
                          gpointer data) {
  Demand *demand = g_new0(Demand, 1);
  demand->outbox = outbox;
  demand->directory = letter->row.directory;
  demand->ino = letter->row.ino;
  demand->name = g_strdup(letter->row.name);
  demand->had_note = letter->note != NULL;
  demand->done = done;
  demand->data = data;
  return demand;
}

// Its name is gone there, and its note's.
static void tell_left(const Demand *demand) {
  Outbox *outbox = demand->outbox;
  outbox_tell_removed(outbox, demand->directory, demand->ino, demand->name);
  g_autofree char *note = g_strconcat(demand->name, OUTBOX_ERROR_SUFFIX, NULL);
  if (demand->had_note) outbox_tell_removed(outbox, demand->directory, demand->ino + 1, note);
  outbox_tell_changed(outbox, OUTBOX_INO);
  outbox_tell_changed(outbox, OUTBOX_FAILED_INO);
}

static void end_demand(const GError *error, gpointer data) {
  Demand *demand = data;
  if (error == NULL) tell_left(demand);
  demand->done(error, demand->data);
  g_free(demand->name);
  g_free(demand);
}

static void refuse(OutboxDone done, gpointer data, const char *name) {
  g_autoptr(GError) error = NULL;
  outbox_set_error(&error, ENOENT, name, "no such letter");
  done(error, data);
}

static OutboxLetter *find(Outbox *outbox, uint64_t directory, const char *name) {
  return outbox_name_is_note(name) ? NULL : outbox_table_find(outbox->table, directory, name);
}

void outbox_retry(Outbox *outbox, const char *name, OutboxDone done, gpointer data) {
  if (g_str_has_prefix(name, FAILED_PREFIX)) name += strlen(FAILED_PREFIX);
  OutboxLetter *letter = find(outbox, OUTBOX_FAILED_INO, name);
  if (letter == NULL && find(outbox, OUTBOX_INO, name) != NULL)
    outbox_refuse(done, data, ENOENT, name, "it has not failed: flush sends what waits");
  else if (letter == NULL)
    refuse(done, data, name);
  else if (outbox_is_locked(outbox, name))
    outbox_refuse(done, data, EBUSY, name, "an editor has it open");
  else
    outbox_rename(outbox, OUTBOX_FAILED_INO, name, OUTBOX_INO, name, 0, end_demand,
                  demand_new(outbox, letter, done, data));
}

void outbox_cancel(Outbox *outbox, const char *name, OutboxDone done, gpointer data) {
  bool failed = g_str_has_prefix(name, FAILED_PREFIX);
  if (failed) name += strlen(FAILED_PREFIX);
  OutboxLetter *letter = failed ? NULL : find(outbox, OUTBOX_INO, name);
  if (letter == NULL) letter = find(outbox, OUTBOX_FAILED_INO, name);
  if (letter == NULL) {
    refuse(done, data, name);
    return;
  }
  bool has_note = letter->note != NULL;
  g_autofree char *note = g_strconcat(name, OUTBOX_ERROR_SUFFIX, NULL);
  outbox_unlink(outbox, letter->row.directory, name, 0, end_demand,
                demand_new(outbox, letter, done, data));
  if (has_note && !letter->linked) outbox_unlink(outbox, OUTBOX_FAILED_INO, note, 0, NULL, NULL);
}
