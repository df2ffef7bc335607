// floor: the fastest a mailbox can be fetched here. A bare client that logs in over TLS, opens one
// folder read-only, asks for everything in one command, reads the answer and forgets it. Nothing of
// mailfs is in it, so it measures nothing of mailfs.
//
//   FLOOR_HOST=localhost FLOOR_PORT=993 FLOOR_CA=ca.pem FLOOR_USER=alice FLOOR_PASSWORD=...
//   floor FOLDER ["(UID BODY.PEEK[])"]
//
// Prints "connect S", "select S", "fetch S", "total S" (seconds: until logged in, of EXAMINE, of
// FETCH from the command to its tagged answer, of all that) and "bytes N" (of the FETCH's answer).
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "floor_line.h"

// Begins the tagged answers; no mail holds it.
#define TAG "f1o0r"
#define TAIL_BYTES 512

typedef struct {
  Line *line;
  unsigned commands;
  char tail[TAIL_BYTES + 1];  // the last bytes of what came
  size_t tail_size;
} Client;

static void client_keep_tail(Client *client, size_t size) {
  if (size >= TAIL_BYTES) {
    memcpy(client->tail, client->line->buffer + size - TAIL_BYTES, TAIL_BYTES);
    client->tail_size = TAIL_BYTES;
  } else {
    size_t kept = MIN(client->tail_size, TAIL_BYTES - size);
    memmove(client->tail, client->tail + client->tail_size - kept, kept);
    memcpy(client->tail + kept, client->line->buffer, size);
    client->tail_size = kept + size;
  }
  client->tail[client->tail_size] = '\0';
}

static size_t client_read(Client *client) {
  size_t size = line_read(client->line);
  client_keep_tail(client, size);
  return size;
}

// The last line of what came if it is whole and begins with `start`; NULL: not yet.
static const char *client_last_line(Client *client, const char *start) {
  if (client->tail_size < 2 || !g_str_has_suffix(client->tail, "\r\n")) return NULL;
  const char *line = client->tail + client->tail_size - 2;
  while (line > client->tail && line[-1] != '\n')
    line--;
  return g_str_has_prefix(line, start) ? line : NULL;
}

// -- The conversation.

// Sends one command and reads to the end of its answer; returns the answer's size.
G_GNUC_PRINTF(2, 3) static uint64_t client_do(Client *client, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *command = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_autofree char *tag = g_strdup_printf(TAG "%u ", ++client->commands);
  g_autofree char *line = g_strconcat(tag, command, "\r\n", NULL);
  line_write(client->line, line, strlen(line));

  uint64_t bytes = 0;
  const char *answer = NULL;
  client->tail_size = 0;
  while (!answer) {
    bytes += client_read(client);
    answer = client_last_line(client, tag);
  }
  if (!g_str_has_prefix(answer + strlen(tag), "OK")) floor_fail("the server says %s", answer);
  return bytes;
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) floor_fail("usage: floor FOLDER [ITEMS]");
  const char *folder = argv[1], *items = argc > 2 ? argv[2] : "(UID BODY.PEEK[])";
  g_autofree Client *client = g_new0(Client, 1);

  double start = floor_now_s();
  client->line = line_open();
  while (!client_last_line(client, "* "))
    client_read(client);
  client_do(client, "LOGIN \"%s\" \"%s\"", floor_setting("FLOOR_USER"),
            floor_setting("FLOOR_PASSWORD"));
  double connected = floor_now_s();
  client_do(client, "EXAMINE \"%s\"", folder);
  double selected = floor_now_s();
  uint64_t bytes = client_do(client, "UID FETCH 1:* %s", items);
  double fetched = floor_now_s();

  printf("connect %.6f\nselect %.6f\nfetch %.6f\ntotal %.6f\nbytes %" G_GUINT64_FORMAT "\n",
         connected - start, selected - connected, fetched - selected, fetched - start, bytes);
  client_do(client, "LOGOUT");
  line_free(client->line);
  return 0;
}
