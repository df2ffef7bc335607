// floor_pop3: the fastest a mailbox can be fetched over POP3 here. A bare client that logs in over
// TLS, asks for the UIDLs, and then for message after message without waiting for the answers, up
// to DEPTH ahead; reads what comes and forgets it. Nothing of mailfs is in it.
//
//   FLOOR_HOST=localhost FLOOR_PORT=995 FLOOR_CA=ca.pem FLOOR_USER=alice FLOOR_PASSWORD=...
//   floor_pop3
//
// Prints "connect S", "select S", "fetch S", "total S" (seconds: until logged in, of CAPA and UIDL,
// of all RETRs, of all that) and "bytes N" (of the answers to RETR). What was retrieved is taken
// back at the end (RSET), so that nothing is marked.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "floor_line.h"

// RETRs under way. Commands so short fit into any socket's buffer, so neither side can get stuck.
#define DEPTH 1000
#define LINE_END "\r\n"
#define ANSWER_END "\r\n.\r\n"

typedef struct {
  Line *line;
  // Read and not yet looked at; an end may lie across two reads.
  const char *rest;
  size_t rest_bytes;
  GString *cut;  // what was kept of the reads before
} Client;

// -- The answers.

// More bytes behind those that are left over, which are few.
static void client_read(Client *client) {
  g_string_erase(client->cut, 0, (gssize)(client->cut->len - client->rest_bytes));
  size_t size = line_read(client->line);
  g_string_append_len(client->cut, client->line->buffer, (gssize)size);
  client->rest = client->cut->str;
  client->rest_bytes = client->cut->len;
}

// Reads up to and with `end`, and returns how many bytes that were. `kept`: where to put them,
// NULL: forget them.
static uint64_t client_pass(Client *client, const char *end, GString *kept) {
  size_t length = strlen(end);
  uint64_t bytes = 0;
  for (;;) {
    const char *found = memmem(client->rest, client->rest_bytes, end, length);
    size_t passed = found                         ? (size_t)(found - client->rest) + length
                    : client->rest_bytes < length ? 0
                                                  : client->rest_bytes - (length - 1);
    if (kept) g_string_append_len(kept, client->rest, (gssize)passed);
    client->rest += passed;
    client->rest_bytes -= passed;
    bytes += passed;
    if (found) return bytes;
    client_read(client);
  }
}

// Reads one answer; `lines`, may be NULL, gets all of it.
static uint64_t client_answer(Client *client, bool is_multi_line, GString *lines) {
  while (client->rest_bytes == 0)
    client_read(client);
  if (*client->rest != '+')
    floor_fail("the server says %.*s", (int)MIN(client->rest_bytes, 80), client->rest);
  return client_pass(client, is_multi_line ? ANSWER_END : LINE_END, lines);
}

// -- The conversation.

G_GNUC_PRINTF(2, 3) static void client_say(Client *client, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *command = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_autofree char *line = g_strconcat(command, LINE_END, NULL);
  line_write(client->line, line, strlen(line));
}

static void client_log_in(Client *client) {
  client_answer(client, false, NULL);
  client_say(client, "USER %s", floor_setting("FLOOR_USER"));
  client_answer(client, false, NULL);
  client_say(client, "PASS %s", floor_setting("FLOOR_PASSWORD"));
  client_answer(client, false, NULL);
}

// How many messages there are.
static unsigned client_list(Client *client) {
  g_autoptr(GString) lines = g_string_new(NULL);
  client_say(client, "CAPA\r\nUIDL");
  client_answer(client, true, NULL);
  client_answer(client, true, lines);
  unsigned messages = 0;
  for (size_t i = 0; i < lines->len; i++) {
    if (lines->str[i] == '\n') messages++;
  }
  return messages - 2;  // the first line and the dot
}

static uint64_t client_retrieve(Client *client, unsigned messages) {
  uint64_t bytes = 0;
  unsigned asked = 0;
  g_autoptr(GString) commands = g_string_new(NULL);
  for (unsigned answered = 0; answered < messages; answered++) {
    if (asked < messages && asked - answered <= DEPTH / 2) {
      g_string_truncate(commands, 0);
      for (; asked < messages && asked - answered < DEPTH; asked++)
        g_string_append_printf(commands, "RETR %u" LINE_END, asked + 1);
      line_write(client->line, commands->str, commands->len);
    }
    bytes += client_answer(client, true, NULL);
  }
  return bytes;
}

int main(void) {
  Client client = {.cut = g_string_new(NULL)};
  double start = floor_now_s();
  client.line = line_open();
  client_log_in(&client);
  double connected = floor_now_s();
  unsigned messages = client_list(&client);
  double listed = floor_now_s();
  uint64_t bytes = client_retrieve(&client, messages);
  double fetched = floor_now_s();

  printf("connect %.6f\nselect %.6f\nfetch %.6f\ntotal %.6f\nbytes %" G_GUINT64_FORMAT "\n",
         connected - start, listed - connected, fetched - listed, fetched - start, bytes);
  client_say(&client, "RSET\r\nQUIT");
  client_answer(&client, false, NULL);
  client_answer(&client, false, NULL);
  line_free(client.line);
  g_string_free(client.cut, TRUE);
  return 0;
}
