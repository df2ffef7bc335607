// What NAME.error says, for people.
#include <errno.h>
#include <string.h>

#include "cache/outbox_private.h"

#define WHY "\nWhy: "

static char *format_time(int64_t seconds) {
  g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
  return g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC");
}

static const char *verdict_words(int verdict) {
  switch ((SenderVerdict)verdict) {
    case SENDER_ACCEPTED:
      return "accepted";
    case SENDER_TEMPORARY:
      return "not taken for now";
    case SENDER_PERMANENT:
      return "refused";
  }
  return "?";
}

static unsigned append_recipients(GString *text, const GPtrArray *recipients) {
  unsigned accepted = 0;
  for (unsigned i = 0; recipients != NULL && i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    if (recipient->verdict == SENDER_ACCEPTED) accepted++;
    g_string_append_printf(text, "  %s: %s: %s\n", recipient->address,
                           verdict_words(recipient->verdict),
                           recipient->reply != NULL ? recipient->reply : "");
  }
  return accepted;
}

static const char *outcome_words(const OutboxLetter *letter, unsigned accepted) {
  if (accepted > 0) return "This letter was sent to some of its recipients only.";
  if (letter->row.perhaps_sent)
    return "This letter was perhaps sent: a try ended before the server had answered.";
  return "This letter was not sent.";
}

static void append_advice(GString *text, bool is_whole, unsigned accepted) {
  if (!is_whole)
    g_string_append(text, "\nIt can only be sent when it was written anew.");
  else
    g_string_append_printf(
        text,
        "\nIt will not be tried again unless you ask for it: correct it if it needs that, and"
        " move it from %s/ back to the outbox (mv)%s.",
        OUTBOX_FAILED_NAME,
        accepted > 0 ? "; it goes to those only who have not got it yet, but written anew to all"
                       " that its header names"
                     : "");
  g_string_append(text, "\nTo give it up, remove it (rm).\n");
}

char *outbox_report_reason(const char *note) {
  const char *reason = strstr(note, WHY);
  if (reason == NULL) return NULL;
  reason += strlen(WHY);
  return g_strndup(reason, strcspn(reason, "\n"));
}

static char *compose(const Outbox *outbox, const OutboxLetter *letter, bool is_whole,
                     bool by_server, const char *reason, const GPtrArray *outcomes) {
  g_autofree char *now = format_time(outbox_now_s(outbox));
  g_autoptr(GString) recipients = g_string_new(NULL);
  unsigned accepted = append_recipients(recipients, letter->recipients);
  append_recipients(recipients, outcomes);
  GString *text = g_string_new(outcome_words(letter, accepted));
  g_string_append_printf(text, "\n\nWhen: %s", now);
  if (by_server) g_string_append_printf(text, "\nServer: %s", outbox->server);
  g_string_append_printf(text, WHY "%s\n", reason);
  if (recipients->len > 0) g_string_append_printf(text, "Recipients:\n%s", recipients->str);
  append_advice(text, is_whole, accepted);
  return g_string_free(text, false);
}

char *outbox_report(const Outbox *outbox, const OutboxLetter *letter, bool by_server,
                    const char *reason, const GPtrArray *outcomes) {
  return compose(outbox, letter, letter->row.broken == 0, by_server, reason, outcomes);
}

static char *anew_reason(int broken) {
  switch (broken) {
    case 0:
      return g_strdup("it was written anew since it failed");
    case ECANCELED:
      return g_strdup("the program that wrote it anew was killed before it had finished");
    case EOWNERDEAD:
      return g_strdup("it was still being written anew when mailfs ended");
    default:
      return g_strdup_printf("it was written anew, and a part could not be written: %s",
                             g_strerror(broken));
  }
}

char *outbox_report_anew(const Outbox *outbox, const OutboxLetter *letter, int broken) {
  g_autofree char *reason = anew_reason(broken);
  return compose(outbox, letter, broken == 0, false, reason, NULL);
}
