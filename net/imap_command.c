#include "net/imap_command.h"

#include <inttypes.h>
#include <string.h>

// Servers may cut lines at 8,192 bytes (RFC 7162 section 4); a literal is no part of its line.
static const size_t max_quoted_bytes = 1000;

struct ImapCommand {
  char *tag;
  size_t free_literal_bytes;
  GString *open;     // the part being written
  GPtrArray *parts;  // GBytes, finished
};

ImapCommand *imap_command_new(const char *tag, const char *words, size_t free_literal_bytes) {
  ImapCommand *command = g_new0(ImapCommand, 1);
  command->tag = g_strdup(tag);
  command->free_literal_bytes = free_literal_bytes;
  command->parts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  command->open = g_string_new(NULL);
  for (const char *at = words; *at; at++)
    g_assert(g_ascii_isprint(*at));
  g_string_printf(command->open, "%s %s", tag, words);
  return command;
}

void imap_command_free(ImapCommand *command) {
  if (!command) return;
  g_free(command->tag);
  g_string_free(command->open, TRUE);
  g_ptr_array_unref(command->parts);
  g_free(command);
}

static bool can_be_quoted(const char *text) {
  if (strlen(text) > max_quoted_bytes) return false;
  for (const char *at = text; *at; at++)
    if (!g_ascii_isprint(*at)) return false;
  return true;
}

static void add_quoted(GString *open, const char *text) {
  g_string_append(open, " \"");
  for (const char *at = text; *at; at++) {
    if (*at == '"' || *at == '\\') g_string_append_c(open, '\\');
    g_string_append_c(open, *at);
  }
  g_string_append_c(open, '"');
}

static void finish_part(ImapCommand *command) {
  g_ptr_array_add(command->parts, g_bytes_new(command->open->str, command->open->len));
  g_string_truncate(command->open, 0);
}

static void add_literal(ImapCommand *command, const char *text) {
  size_t size = strlen(text);
  bool is_free = size <= command->free_literal_bytes;
  g_string_append_printf(command->open, " {%zu%s}\r\n", size, is_free ? "+" : "");
  if (!is_free) finish_part(command);
  g_string_append(command->open, text);
}

void imap_command_add_string(ImapCommand *command, const char *text) {
  if (can_be_quoted(text))
    add_quoted(command->open, text);
  else
    add_literal(command, text);
}

void imap_command_add_words(ImapCommand *command, const char *words) {
  for (const char *at = words; *at; at++)
    g_assert(g_ascii_isprint(*at));
  g_string_append_printf(command->open, " %s", words);
}

void imap_command_add_stream(ImapCommand *command, uint64_t size) {
  g_string_append_printf(command->open, " {%" PRIu64 "}\r\n", size);
  finish_part(command);
}

void imap_command_end(ImapCommand *command) {
  g_string_append(command->open, "\r\n");
  finish_part(command);
}

const char *imap_command_tag(const ImapCommand *command) {
  return command->tag;
}

size_t imap_command_n_parts(const ImapCommand *command) {
  return command->parts->len;
}

GBytes *imap_command_part(const ImapCommand *command, size_t index) {
  g_assert(index < command->parts->len);
  return g_ptr_array_index(command->parts, index);
}
