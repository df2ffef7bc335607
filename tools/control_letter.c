#include "tools/control_letter.h"

#include <string.h>

#include "net/sender.h"

static void add_text(JsonBuilder *builder, const char *member, const char *text) {
  if (text == NULL) return;
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  json_builder_set_member_name(builder, member);
  json_builder_add_string_value(builder, valid);
}

static void add_escaped(JsonBuilder *builder, const char *member, const char *text) {
  g_autofree char *escaped = g_uri_escape_bytes((const uint8_t *)text, strlen(text), NULL);
  json_builder_set_member_name(builder, member);
  json_builder_add_string_value(builder, escaped);
}

static void add_number(JsonBuilder *builder, const char *member, int64_t number) {
  if (number == 0) return;
  json_builder_set_member_name(builder, member);
  json_builder_add_int_value(builder, number);
}

static const char *verdict_name(int verdict) {
  switch ((SenderVerdict)verdict) {
    case SENDER_ACCEPTED:
      return "accepted";
    case SENDER_TEMPORARY:
      return "delayed";
    case SENDER_PERMANENT:
      return "refused";
  }
  return "unknown";
}

static void add_answered(JsonBuilder *builder, const GPtrArray *recipients) {
  if (recipients->len == 0) return;
  json_builder_set_member_name(builder, "answered");
  json_builder_begin_array(builder);
  for (unsigned i = 0; i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    json_builder_begin_object(builder);
    add_text(builder, "address", recipient->address);
    add_text(builder, "verdict", verdict_name(recipient->verdict));
    add_text(builder, "reply", recipient->reply);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void add_addresses(JsonBuilder *builder, char **addresses) {
  if (addresses == NULL) return;
  json_builder_set_member_name(builder, "envelope_to");
  json_builder_begin_array(builder);
  for (; *addresses != NULL; addresses++) {
    g_autofree char *valid = g_utf8_make_valid(*addresses, -1);
    json_builder_add_string_value(builder, valid);
  }
  json_builder_end_array(builder);
}

void control_letter_build(JsonBuilder *builder, const OutboxSummary *summary) {
  const OutboxRow *row = summary->row;
  json_builder_begin_object(builder);
  add_text(builder, "name", summary->name);
  add_escaped(builder, "escaped", summary->name);
  add_text(builder, "directory", summary->is_failed ? "failed" : "outbox");
  add_text(builder, "state", summary->state);
  add_number(builder, "queued", row->queued_at);
  add_text(builder, "why", summary->why);
  add_text(builder, "next_try", summary->next_try);
  add_text(builder, "file", summary->file);
  add_text(builder, "from", row->from);
  add_text(builder, "message_id", row->message_id);
  add_number(builder, "date", row->date);
  add_text(builder, "origin", row->origin);
  add_text(builder, "envelope_from", row->envelope.from);
  add_addresses(builder, row->envelope.recipients);
  add_answered(builder, summary->recipients);
  json_builder_end_object(builder);
}
