#include "tests/fuzz/mailbox_caller.h"

#include <string.h>

#include "net/error.h"

bool mailbox_caller_answer(MailboxCaller *caller, GError **error) {
  g_assert_false(caller->has_failed);
  caller->has_failed = caller->fails;
  if (caller->fails) g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, "no more");
  return !caller->fails;
}

bool mailbox_caller_take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  MailboxCaller *caller = data;
  g_assert_true(caller->is_in_body && size > 0);
  return mailbox_caller_answer(caller, error);
}

bool mailbox_caller_request(MailboxCaller *caller, MailboxRequest wanted, GError **error) {
  if (caller->n_requests == MAILBOX_PIPELINE_MAX) return true;
  wanted.folder = "INBOX";
  caller->n_requests++;
  return mailbox_request(caller->mailbox, &wanted, error);
}

bool mailbox_caller_receive(MailboxCaller *caller, const MailboxBodyFuncs *funcs, GError **error) {
  if (caller->n_requests == 0) return true;
  caller->n_requests--;
  return mailbox_receive(caller->mailbox, funcs, error);
}

// False: the connection is over.
static bool ask(MailboxCaller *caller, const MailboxVerb *verb) {
  g_autoptr(GError) error = NULL;
  caller->has_failed = caller->is_in_body = false;
  bool good = verb->ask(caller, &error);
  g_assert_true(good == (error == NULL));
  g_assert_true(good || error->domain == NET_ERROR);
  g_assert_false(good && caller->has_failed);
  caller->fails = false;
  return good || !net_error_ends_connection(error);
}

static const MailboxVerb *find_verb(const MailboxGame *game, char letter) {
  for (size_t i = 0; i < game->n_verbs; i++)
    if (game->verbs[i].letter == letter) return &game->verbs[i];
  return NULL;
}

static bool play_letter(MailboxCaller *caller, const MailboxGame *game, char letter) {
  if (letter == 'f') caller->fails = true;
  const MailboxVerb *verb = find_verb(game, letter);
  const MailboxVerb *receive = find_verb(game, MAILBOX_VERB_RECEIVE);
  if (verb == NULL) return true;
  while (verb->is_alone && caller->n_requests > 0)
    if (!ask(caller, receive)) return false;
  return ask(caller, verb);
}

void mailbox_caller_play(MailboxCaller *caller, const MailboxGame *game, const uint8_t *data,
                         size_t size) {
  const char *start = (const char *)data, *newline = size > 0 ? memchr(start, '\n', size) : NULL;
  if (newline == NULL) return;
  size_t n_letters = (size_t)(newline - start);
  caller->mailbox = game->open(newline + 1, size - n_letters - 1);
  for (size_t i = 0; caller->mailbox != NULL && i < n_letters; i++)
    if (!play_letter(caller, game, start[i])) break;
  mailbox_free(caller->mailbox);
}
