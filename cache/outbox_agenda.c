// When what is due: letters held until their delay is over, letters queued until their next try,
// and one clock on the main loop for both.
#include "cache/outbox_private.h"

struct OutboxAgenda {
  GTree *held, *queued, *turned_away;  // of OutboxLetter *, by due_us
  GSource *clock;
};

static int compare_due(gconstpointer a, gconstpointer b, gpointer unused) {
  const OutboxLetter *left = a, *right = b;
  if (left->due_us != right->due_us) return left->due_us < right->due_us ? -1 : 1;
  return left->row.id < right->row.id ? -1 : left->row.id > right->row.id;
}

static gboolean dispatch_clock(GSource *source, GSourceFunc unused, gpointer unused_data) {
  Outbox *outbox = *(Outbox **)(source + 1);
  outbox_run_agenda(outbox);
  return G_SOURCE_CONTINUE;
}

OutboxAgenda *outbox_agenda_new(Outbox *outbox) {
  static GSourceFuncs functions = {.dispatch = dispatch_clock};
  OutboxAgenda *agenda = g_new0(OutboxAgenda, 1);
  agenda->held = g_tree_new_full(compare_due, NULL, NULL, NULL);
  agenda->queued = g_tree_new_full(compare_due, NULL, NULL, NULL);
  agenda->turned_away = g_tree_new_full(compare_due, NULL, NULL, NULL);
  agenda->clock = g_source_new(&functions, sizeof(GSource) + sizeof(Outbox *));
  *(Outbox **)(agenda->clock + 1) = outbox;
  g_source_attach(agenda->clock, outbox->context);
  return agenda;
}

void outbox_agenda_free(OutboxAgenda *agenda) {
  if (agenda == NULL) return;
  g_source_destroy(agenda->clock);
  g_source_unref(agenda->clock);
  g_tree_unref(agenda->held);
  g_tree_unref(agenda->queued);
  g_tree_unref(agenda->turned_away);
  g_free(agenda);
}

static int64_t told_us(const Outbox *outbox) {
  return outbox->options.now_us(outbox->options.data);
}

int64_t outbox_now_us(const Outbox *outbox) {
  return outbox->options.now_us != NULL ? told_us(outbox) : g_get_monotonic_time();
}

int64_t outbox_now_s(const Outbox *outbox) {
  return (outbox->options.now_us != NULL ? told_us(outbox) : g_get_real_time()) / G_USEC_PER_SEC;
}

void outbox_agenda_add(Outbox *outbox, OutboxLetter *letter, int64_t due_us) {
  OutboxAgenda *agenda = outbox->agenda;
  outbox_agenda_remove(outbox, letter);
  letter->due_us = due_us;
  GTree *queued = letter->turned_away ? agenda->turned_away : agenda->queued;
  g_tree_insert(letter->row.phase == OUTBOX_HELD ? agenda->held : queued, letter, letter);
}

void outbox_agenda_remove(Outbox *outbox, OutboxLetter *letter) {
  if (letter->due_us == 0) return;
  GTree *const trees[] = {outbox->agenda->held, outbox->agenda->queued,
                          outbox->agenda->turned_away};
  for (size_t i = 0; i < G_N_ELEMENTS(trees) && !g_tree_remove(trees[i], letter); i++)
    continue;
  letter->due_us = 0;
}

static OutboxLetter *first_of(GTree *tree) {
  GTreeNode *node = g_tree_node_first(tree);
  return node != NULL ? g_tree_node_value(node) : NULL;
}

// The letter to be tried next. Until that is due, none is.
static OutboxLetter *first_queued(const Outbox *outbox, int64_t now_us) {
  OutboxLetter *queued = first_of(outbox->agenda->queued);
  OutboxLetter *turned_away = first_of(outbox->agenda->turned_away);
  if (queued == NULL || turned_away == NULL) return queued != NULL ? queued : turned_away;
  bool is_sooner = turned_away->due_us < queued->due_us;
  return is_sooner && queued->due_us > now_us ? turned_away : queued;
}

// A password refused once is not offered again for each letter: that locks accounts.
void outbox_hurry(Outbox *outbox) {
  int64_t rest_us = outbox->hurried_us + outbox_retry_delay_us(outbox, 1);
  bool was_just_tried =
      outbox->hurried_us > 0 && outbox->failures > 0 && outbox_now_us(outbox) < rest_us;
  if (outbox->denied || was_just_tried) return;
  outbox->resume_us = 0;
  outbox->out_of_turn = outbox->failures > 0;
}

// An editor may have opened it in the meantime.
static bool keep_locked(Outbox *outbox, OutboxLetter *letter) {
  if (!outbox_is_locked(outbox, letter->row.name)) return false;
  outbox_agenda_remove(outbox, letter);
  letter->row.phase = OUTBOX_DRAFT;
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_LEFT);
  outbox_store(outbox, letter, NULL, NULL);
  return true;
}

static void end_hold(Outbox *outbox, OutboxLetter *letter) {
  if (keep_locked(outbox, letter)) return;
  outbox_agenda_remove(outbox, letter);
  letter->row.phase = OUTBOX_QUEUED;
  outbox_hurry(outbox);
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
}

// While the server is out of reach, one letter is enough to try.
static bool may_hand_over(const Outbox *outbox) {
  unsigned limit = outbox->failures > 0 ? 1 : OUTBOX_UNDER_WAY_MAX;
  return outbox->courier != NULL && outbox->under_way->len < limit;
}

static void set_clock(Outbox *outbox) {
  if (outbox->options.now_us != NULL) return;
  const OutboxLetter *held = first_of(outbox->agenda->held);
  const OutboxLetter *queued = first_queued(outbox, outbox_now_us(outbox));
  int64_t next_us = held != NULL ? held->due_us : INT64_MAX;
  if (queued != NULL && may_hand_over(outbox))
    next_us = MIN(next_us, MAX(queued->due_us, outbox->resume_us));
  g_source_set_ready_time(outbox->agenda->clock, next_us < INT64_MAX ? next_us : -1);
}

void outbox_run_agenda(Outbox *outbox) {
  outbox_forget_kept(outbox);
  int64_t now_us = outbox_now_us(outbox);
  OutboxLetter *letter;
  while ((letter = first_of(outbox->agenda->held)) != NULL && letter->due_us <= now_us)
    end_hold(outbox, letter);
  now_us = outbox_now_us(outbox);
  while (may_hand_over(outbox) && outbox->resume_us <= now_us &&
         (letter = first_queued(outbox, now_us)) != NULL && letter->due_us <= now_us)
    if (!outbox_fail_if_broken(outbox, letter) && !keep_locked(outbox, letter))
      outbox_hand_over(outbox, letter);
  set_clock(outbox);
}

void outbox_agenda_each_queued(Outbox *outbox, OutboxAgendaEach each, const char *message) {
  GTree *const trees[] = {outbox->agenda->queued, outbox->agenda->turned_away};
  g_autoptr(GPtrArray) letters = g_ptr_array_new();
  for (size_t i = 0; i < G_N_ELEMENTS(trees); i++) {
    GTreeNode *node = g_tree_node_first(trees[i]);
    for (; node != NULL; node = g_tree_node_next(node))
      g_ptr_array_add(letters, g_tree_node_value(node));
  }
  for (unsigned i = 0; i < letters->len; i++)
    each(outbox, g_ptr_array_index(letters, i), message);
}
