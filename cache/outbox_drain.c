#include "cache/outbox_drain.h"

#include "cache/outbox_private.h"

struct OutboxDrain {
  Outbox *outbox;
  OutboxDrainTold told;
  gpointer data;
  GHashTable *to_come;  // set of OutboxLetter *
  OutboxProgress progress;
  char *why;
  GSource *news;  // ready when there is something to tell
};

static gboolean dispatch_news(GSource *source, GSourceFunc unused, gpointer unused_data) {
  OutboxDrain *drain = *(OutboxDrain **)(source + 1);
  g_source_set_ready_time(source, -1);
  OutboxProgress progress = drain->progress;
  g_autofree char *why = g_strdup(drain->why);
  progress.to_come = g_hash_table_size(drain->to_come);
  progress.why = why;
  drain->told(&progress, drain->data);
  return G_SOURCE_CONTINUE;
}

static void make_news(OutboxDrain *drain) {
  static GSourceFuncs functions = {.dispatch = dispatch_news};
  drain->news = g_source_new(&functions, sizeof(GSource) + sizeof(OutboxDrain *));
  *(OutboxDrain **)(drain->news + 1) = drain;
  g_source_set_ready_time(drain->news, 0);
  g_source_attach(drain->news, drain->outbox->context);
}

// One with the courier, or still on its way to the disk, goes by itself.
static bool want_letter(OutboxLetter *letter, gpointer data) {
  OutboxDrain *drain = data;
  if (!letter->linked || !outbox_phase_is_waiting(letter->row.phase)) return true;
  g_hash_table_add(drain->to_come, letter);
  drain->progress.total++;
  letter->row.attempts = 0;
  if (letter->due_us != 0) outbox_agenda_add(drain->outbox, letter, outbox_now_us(drain->outbox));
  return true;
}

OutboxDrain *outbox_drain_new(Outbox *outbox, OutboxDrainTold told, gpointer data) {
  OutboxDrain *drain = g_new0(OutboxDrain, 1);
  drain->outbox = outbox;
  drain->told = told;
  drain->data = data;
  drain->to_come = g_hash_table_new(NULL, NULL);
  make_news(drain);
  g_ptr_array_add(outbox->drains, drain);
  outbox_table_from(outbox->table, 0, want_letter, drain);
  outbox->denied = false;
  outbox->failures = 0;
  outbox_hurry(outbox);
  outbox_run_agenda(outbox);
  return drain;
}

void outbox_drain_free(OutboxDrain *drain) {
  if (drain == NULL) return;
  g_ptr_array_remove(drain->outbox->drains, drain);
  g_source_destroy(drain->news);
  g_source_unref(drain->news);
  g_hash_table_unref(drain->to_come);
  g_free(drain->why);
  g_free(drain);
}

bool outbox_is_drained(const Outbox *outbox, OutboxLetter *letter) {
  for (unsigned i = 0; i < outbox->drains->len; i++) {
    const OutboxDrain *drain = g_ptr_array_index(outbox->drains, i);
    if (g_hash_table_contains(drain->to_come, letter)) return true;
  }
  return false;
}

static gboolean waits_for_server(gpointer key, gpointer unused_value, gpointer unused) {
  const OutboxLetter *letter = key;
  return letter->row.phase == OUTBOX_QUEUED || letter->row.phase == OUTBOX_HELD;
}

static void note_delay(OutboxDrain *drain, const OutboxLetter *letter, unsigned letters) {
  drain->progress.delayed += letters;
  g_free(drain->why);
  drain->why = g_strdup(letter->row.error);
}

// `own`: the letter was to come.
static void note(OutboxDrain *drain, const OutboxLetter *letter, OutboxFate fate, bool own) {
  unsigned others;
  switch (fate) {
    case OUTBOX_FATE_SENT:
      drain->progress.sent++;
      break;
    case OUTBOX_FATE_FAILED:
      drain->progress.failed++;
      break;
    case OUTBOX_FATE_DELAYED:
      note_delay(drain, letter, 1);
      break;
    case OUTBOX_FATE_OFFLINE:
      others = g_hash_table_foreach_remove(drain->to_come, waits_for_server, NULL);
      if (own || others > 0) note_delay(drain, letter, others + (own ? 1 : 0));
      break;
    case OUTBOX_FATE_LEFT:
      drain->progress.total--;
      break;
  }
}

void outbox_tell_drains(Outbox *outbox, OutboxLetter *letter, OutboxFate fate) {
  for (unsigned i = 0; i < outbox->drains->len; i++) {
    OutboxDrain *drain = g_ptr_array_index(outbox->drains, i);
    bool own = g_hash_table_remove(drain->to_come, letter);
    if (!own && fate != OUTBOX_FATE_OFFLINE) continue;
    note(drain, letter, fate, own);
    g_source_set_ready_time(drain->news, 0);
  }
}
