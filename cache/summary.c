#include "cache/summary.h"

#include <stdbool.h>
#include <string.h>

#include "cache/mime.h"

#define YEAR_10000 G_GINT64_CONSTANT(253402300800)

typedef enum { FROM, SUBJECT, DATE, MESSAGE_ID, RECEIVED, N_FIELDS } Field;
static const char *const names[N_FIELDS] = {
    [FROM] = "From",         [SUBJECT] = "Subject", [DATE] = "Date", [MESSAGE_ID] = "Message-ID",
    [RECEIVED] = "Received",
};

// ---- Fields.

// After the line that begins at `at`.
static const char *next_line(const char *at, const char *end) {
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  return newline != NULL ? newline + 1 : end;
}

static bool is_white(char c) {
  return c == ' ' || c == '\t';
}

// After the field that begins at `at`: its line, and those that continue it.
static const char *next_field(const char *at, const char *end) {
  do
    at = next_line(at, end);
  while (at < end && is_white(*at));
  return at;
}

// Where the value begins, after the colon; NULL: it is not a field of that name.
static const char *value_of(const char *at, const char *end, const char *name) {
  size_t length = strlen(name);
  if ((size_t)(end - at) <= length || g_ascii_strncasecmp(at, name, length) != 0) return NULL;
  for (at += length; at < end && is_white(*at);)
    at++;
  return at < end && *at == ':' ? at + 1 : NULL;
}

static bool is_line_end(const char *at, const char *end) {
  return at < end && (*at == '\n' || (*at == '\r' && at + 1 < end && at[1] == '\n'));
}

// On one line, without the white space around it. The white space of a continuation line stays.
static char *unfold(const char *value, const char *end) {
  if ((size_t)(end - value) > SUMMARY_FIELD_MAX) end = value + SUMMARY_FIELD_MAX;
  char *text = g_malloc((size_t)(end - value) + 1), *to = text;
  for (const char *at = value; at < end; at++) {
    if (is_line_end(at, end)) continue;
    *to++ = *at == '\0' || *at == '\r' ? ' ' : *at;
  }
  *to = '\0';
  return g_strstrip(text);
}

static void find_fields(const char *header, size_t size, char *values[N_FIELDS]) {
  const char *end = header + size;
  for (const char *at = header, *next; at < end && !is_line_end(at, end); at = next) {
    next = next_field(at, end);
    for (Field field = 0; field < N_FIELDS; field++) {
      const char *value = values[field] == NULL ? value_of(at, next, names[field]) : NULL;
      if (value != NULL) values[field] = unfold(value, next);
    }
  }
}

// ---- What they mean.

// The first that is somebody's: an address, or a member of a group; else the group.
static InternetAddress *first_of(InternetAddressList *list) {
  InternetAddress *first = NULL;
  for (int i = 0; list != NULL && i < internet_address_list_length(list); i++) {
    InternetAddress *address = internet_address_list_get_address(list, i);
    if (!INTERNET_ADDRESS_IS_GROUP(address)) return address;
    InternetAddressList *members =
        internet_address_group_get_members(INTERNET_ADDRESS_GROUP(address));
    InternetAddress *member = first_of(members);
    if (member != NULL && !INTERNET_ADDRESS_IS_GROUP(member)) return member;
    if (first == NULL) first = address;
  }
  return first;
}

// Newly allocated; NULL for what says nothing.
static char *dup_text(const char *text) {
  return text != NULL && text[0] != '\0' ? g_strdup(text) : NULL;
}

// What is no address is still what the message says of its sender.
static void read_sender(Summary *summary, const char *from) {
  GMimeParserOptions *options = mime_options_new();
  g_autofree char *text = mime_without_locale_charsets(from);
  InternetAddressList *list = internet_address_list_parse(options, text);
  InternetAddress *address = first_of(list);
  if (address == NULL) {
    summary->from_name = dup_text(from);
  } else {
    summary->from_name = dup_text(internet_address_get_name(address));
    if (INTERNET_ADDRESS_IS_MAILBOX(address))
      summary->from_address =
          dup_text(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address)));
  }
  g_clear_object(&list);
  g_mime_parser_options_free(options);
}

static int64_t read_date(const char *text) {
  g_autoptr(GDateTime) date = text != NULL ? g_mime_utils_header_decode_date(text) : NULL;
  int64_t seconds = date != NULL ? g_date_time_to_unix(date) : -1;
  return seconds >= 0 && seconds < YEAR_10000 ? seconds : -1;
}

// Behind the last semicolon: other parts of the field may have some in comments.
static int64_t read_received(const char *text) {
  const char *semicolon = text != NULL ? strrchr(text, ';') : NULL;
  return semicolon != NULL ? read_date(semicolon + 1) : -1;
}

void summary_read(Summary *summary, const char *header, size_t size) {
  char *values[N_FIELDS] = {0};
  mime_init();
  find_fields(header, size, values);
  *summary = (Summary){
      .subject = values[SUBJECT],
      .date = values[DATE],
      .message_id = values[MESSAGE_ID],
      .sent = read_date(values[DATE]),
      .received = read_received(values[RECEIVED]),
  };
  if (values[FROM] != NULL) read_sender(summary, values[FROM]);
  g_free(values[FROM]);
  g_free(values[RECEIVED]);
}

void summary_clear(Summary *summary) {
  g_clear_pointer(&summary->from_name, g_free);
  g_clear_pointer(&summary->from_address, g_free);
  g_clear_pointer(&summary->subject, g_free);
  g_clear_pointer(&summary->date, g_free);
  g_clear_pointer(&summary->message_id, g_free);
}

int64_t summary_date(const Summary *summary) {
  return summary->sent >= 0 ? summary->sent : summary->received;
}
