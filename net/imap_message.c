#include "net/imap_message.h"

#include <string.h>

#include "net/imap_date.h"

struct ImapMessageReader {
  GPtrArray *flags;  // const char *, of the response
  GString *flags_text;
  GString *address;
};

ImapMessageReader *imap_message_reader_new(void) {
  ImapMessageReader *reader = g_new0(ImapMessageReader, 1);
  reader->flags = g_ptr_array_new();
  reader->flags_text = g_string_new(NULL);
  reader->address = g_string_new(NULL);
  return reader;
}

void imap_message_reader_free(ImapMessageReader *reader) {
  if (!reader) return;
  g_ptr_array_unref(reader->flags);
  g_string_free(reader->flags_text, TRUE);
  g_string_free(reader->address, TRUE);
  g_free(reader);
}

uint32_t imap_message_uid(const ImapValue *items) {
  int64_t uid = imap_value_number(imap_value_item(items, "UID"));
  return uid > 0 && uid <= UINT32_MAX ? (uint32_t)uid : 0;
}

static int compare_flags(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// NULL if they were not told.
static const char *read_flags(ImapMessageReader *reader, const ImapValue *flags) {
  if (!flags || flags->kind != IMAP_LIST) return NULL;
  g_ptr_array_set_size(reader->flags, 0);
  for (const ImapValue *flag = flags->first; flag; flag = flag->next)
    if (flag->kind == IMAP_ATOM && !imap_value_is_atom(flag, "\\Recent"))
      g_ptr_array_add(reader->flags, (gpointer)flag->text);
  g_ptr_array_sort(reader->flags, compare_flags);
  g_string_truncate(reader->flags_text, 0);
  for (guint i = 0; i < reader->flags->len; i++) {
    if (i > 0) g_string_append_c(reader->flags_text, ' ');
    g_string_append(reader->flags_text, g_ptr_array_index(reader->flags, i));
  }
  return reader->flags_text->str;
}

// What servers write where an address has no host.
static bool is_placeholder(const char *text) {
  static const char *const placeholders[] = {"MISSING_DOMAIN", "MISSING_MAILBOX",
                                             ".MISSING-HOST-NAME.", NULL};
  return g_strv_contains(placeholders, text);
}

// An address is (name source-route mailbox host); one without a host begins or ends a group.
static bool read_address(ImapMessageReader *reader, const ImapValue *address,
                         MailboxMessage *message) {
  if (address->kind != IMAP_LIST) return false;
  const char *mailbox = imap_value_text(imap_value_nth(address->first, 2));
  const char *host = imap_value_text(imap_value_nth(address->first, 3));
  if (!mailbox || !host) return false;
  message->from_name = imap_value_text(address->first);
  if (is_placeholder(mailbox)) return true;
  g_string_assign(reader->address, mailbox);
  if (!is_placeholder(host)) g_string_append_printf(reader->address, "@%s", host);
  message->from_address = reader->address->str;
  return true;
}

static void read_envelope(ImapMessageReader *reader, const ImapValue *envelope,
                          MailboxMessage *message) {
  if (!envelope || envelope->kind != IMAP_LIST) return;
  const ImapValue *from = imap_value_nth(envelope->first, 2);
  message->date = imap_value_text(envelope->first);
  message->subject = imap_value_text(imap_value_nth(envelope->first, 1));
  message->message_id = imap_value_text(imap_value_nth(envelope->first, 9));
  const ImapValue *address = from ? from->first : NULL;
  while (address && !read_address(reader, address, message))
    address = address->next;
}

// `EMAILID (M6d99ac3275bb4e)` (RFC 8474 5.2), or `X-GM-MSGID 1278455344230334865`.
static const char *read_email_id(const ImapValue *items) {
  const ImapValue *value = imap_value_item(items, "EMAILID");
  if (value && value->kind == IMAP_LIST) return imap_value_text(value->first);
  return imap_value_text(imap_value_item(items, "X-GM-MSGID"));
}

bool imap_message_reader_read(ImapMessageReader *reader, const ImapValue *items,
                              MailboxMessage *message) {
  *message = (MailboxMessage){.uid = imap_message_uid(items)};
  message->flags = read_flags(reader, imap_value_item(items, "FLAGS"));
  message->internaldate = imap_date_parse(imap_value_text(imap_value_item(items, "INTERNALDATE")));
  message->size = imap_value_number(imap_value_item(items, "RFC822.SIZE"));
  read_envelope(reader, imap_value_item(items, "ENVELOPE"), message);
  message->email_id = read_email_id(items);
  return message->uid != 0;
}
