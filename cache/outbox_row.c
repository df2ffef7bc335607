#include "cache/outbox_journal.h"

void outbox_row_copy(OutboxRow *to, const OutboxRow *from) {
  *to = *from;
  to->name = g_strdup(from->name);
  to->message_id = g_strdup(from->message_id);
  to->from = g_strdup(from->from);
  to->error = g_strdup(from->error);
  envelope_copy(&to->envelope, &from->envelope);
  to->origin = g_strdup(from->origin);
}

void outbox_row_clear(OutboxRow *row) {
  g_free(row->name);
  g_free(row->message_id);
  g_free(row->from);
  g_free(row->error);
  envelope_clear(&row->envelope);
  g_free(row->origin);
  *row = (OutboxRow){0};
}

bool outbox_phase_is_waiting(OutboxPhase phase) {
  switch (phase) {
    case OUTBOX_HELD:
    case OUTBOX_QUEUED:
    case OUTBOX_SENDING:
    case OUTBOX_SENT_DATA:
      return true;
    case OUTBOX_OPEN:
    case OUTBOX_DRAFT:
    case OUTBOX_ACCEPTED:
    case OUTBOX_FAILED:
    case OUTBOX_KEPT:
      return false;
  }
  return false;
}

const char *outbox_phase_name(OutboxPhase phase) {
  switch (phase) {
    case OUTBOX_OPEN:
      return "writing";
    case OUTBOX_DRAFT:
      return "draft";
    case OUTBOX_HELD:
      return "held";
    case OUTBOX_QUEUED:
      return "queued";
    case OUTBOX_SENDING:
    case OUTBOX_SENT_DATA:
      return "sending";
    case OUTBOX_ACCEPTED:
      return "sent";
    case OUTBOX_FAILED:
      return "failed";
    case OUTBOX_KEPT:
      return "removed";
  }
  return NULL;
}

OutboxRecipient *outbox_recipient_new(const char *address, int verdict, const char *reply) {
  OutboxRecipient *recipient = g_new0(OutboxRecipient, 1);
  recipient->address = g_strdup(address);
  recipient->verdict = verdict;
  recipient->reply = g_strdup(reply);
  return recipient;
}

void outbox_recipient_free(OutboxRecipient *recipient) {
  if (recipient == NULL) return;
  g_free(recipient->address);
  g_free(recipient->reply);
  g_free(recipient);
}

OutboxRecipient *outbox_recipient_copy(const OutboxRecipient *recipient) {
  return outbox_recipient_new(recipient->address, recipient->verdict, recipient->reply);
}
