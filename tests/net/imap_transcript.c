// Replays transcripts/imap/*.txt: the mailbox is told what its `do` lines say, over a scripted wire
// that checks each command and hands out the answers whole, byte by byte and cut at random; what it
// tells in return must match the `E:` lines, which are globs.
//
//   do list                        E: folder NAME delimiter=/ attributes=noselect,sent
//   do examine NAME                E: status uidvalidity=1 uidnext=2 exists=3 highestmodseq=4
//   do scan 1 * summary|flags      E: message uid=1 flags=.. date=.. size=.. name=.. address=..
//                                             subject=.. sent=.. id=..
//   do fetch 7                     E: body 5 bytes       (written out)
//   do quota                       E: quota 10 of 20
//   do refuse                      the callbacks of the next `do` fail
//
// Each `do` ends in `E: ok` or `E: CODE message`; so does the login, if it fails. Bytes other than
// printable ASCII are written \ooo, NULL is ~.
#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap.h"
#include "tests/net/wire_script.h"

typedef struct {
  char *path;
  WireScriptCut cut;
} Replay;

typedef struct {
  Mailbox *mailbox;
  GPtrArray *events;  // what was told, as in the E: lines
  GString *body;
  bool refuses;
} Player;

static char *shown(const char *text) {
  return text ? g_strescape(text, "\"\\") : g_strdup("~");
}

static bool answer(Player *player, GError **error) {
  if (player->refuses)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "refused by the callback");
  return !player->refuses;
}

static bool note_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  static const char *const names[] = {"noselect", "sent", "drafts", "trash", "junk", "all"};
  Player *player = data;
  g_autoptr(GPtrArray) attributes = g_ptr_array_new();
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    if (folder->attributes & (1u << i)) g_ptr_array_add(attributes, (gpointer)names[i]);
  g_ptr_array_add(attributes, NULL);
  g_autofree char *joined = g_strjoinv(",", (char **)attributes->pdata);
  g_autofree char *name = shown(folder->name);
  g_ptr_array_add(
      player->events,
      g_strdup_printf("folder %s delimiter=%s attributes=%s", name,
                      folder->delimiter ? (char[]){folder->delimiter, '\0'} : "~", joined));
  return answer(player, error);
}

static bool note_message(const MailboxMessage *message, gpointer data, GError **error) {
  Player *player = data;
  g_autofree char *flags = shown(message->flags);
  g_autofree char *name = shown(message->from_name);
  g_autofree char *address = shown(message->from_address);
  g_autofree char *subject = shown(message->subject);
  g_autofree char *sent = shown(message->date);
  g_autofree char *id = shown(message->message_id);
  g_ptr_array_add(player->events,
                  g_strdup_printf("message uid=%" PRIu32 " flags=%s date=%" PRId64 " size=%" PRId64
                                  " name=%s address=%s subject=%s sent=%s id=%s",
                                  message->uid, flags, message->internaldate, message->size, name,
                                  address, subject, sent, id));
  return answer(player, error);
}

static bool note_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  Player *player = data;
  for (size_t i = 0; i < size; i++) {
    char byte = ((const char *)bytes)[i];
    if (g_ascii_isprint(byte))
      g_string_append_c(player->body, byte);
    else
      g_string_append_printf(player->body, "\\%03o", (unsigned char)byte);
  }
  return answer(player, error);
}

static bool do_list(Player *player, char **words, GError **error) {
  return mailbox_list(player->mailbox, note_folder, player, error);
}

static bool do_examine(Player *player, char **words, GError **error) {
  MailboxStatus status;
  g_autofree char *folder = g_strcompress(words[1]);
  if (!mailbox_examine(player->mailbox, folder, &status, error)) return false;
  g_ptr_array_add(player->events, g_strdup_printf("status uidvalidity=%" PRIu32 " uidnext=%" PRIu32
                                                  " exists=%" PRIu32 " highestmodseq=%" PRIu64,
                                                  status.uidvalidity, status.uidnext, status.exists,
                                                  status.highestmodseq));
  return true;
}

static bool do_scan(Player *player, char **words, GError **error) {
  uint32_t first = (uint32_t)g_ascii_strtoull(words[1], NULL, 10);
  uint32_t last =
      strcmp(words[2], "*") == 0 ? UINT32_MAX : (uint32_t)g_ascii_strtoull(words[2], NULL, 10);
  MailboxItems items = strcmp(words[3], "summary") == 0 ? MAILBOX_SUMMARY : MAILBOX_FLAGS;
  return mailbox_scan(player->mailbox, first, last, items, note_message, player, error);
}

static bool do_fetch(Player *player, char **words, GError **error) {
  uint32_t uid = (uint32_t)g_ascii_strtoull(words[1], NULL, 10);
  g_string_truncate(player->body, 0);
  if (!mailbox_fetch(player->mailbox, uid, note_bytes, player, error)) return false;
  g_ptr_array_add(player->events, g_strdup_printf("body %s", player->body->str));
  return true;
}

static bool do_quota(Player *player, char **words, GError **error) {
  MailboxQuota quota;
  if (!mailbox_quota(player->mailbox, &quota, error)) return false;
  g_ptr_array_add(player->events, g_strdup_printf("quota %" PRIu64 " of %" PRIu64, quota.used_bytes,
                                                  quota.limit_bytes));
  return true;
}

static char *error_text(const GError *error) {
  static const char *const codes[] = {
      [NET_ERROR_HOST] = "HOST",           [NET_ERROR_OFFLINE] = "OFFLINE",
      [NET_ERROR_TIMEOUT] = "TIMEOUT",     [NET_ERROR_UNTRUSTED] = "UNTRUSTED",
      [NET_ERROR_DENIED] = "DENIED",       [NET_ERROR_FORBIDDEN] = "FORBIDDEN",
      [NET_ERROR_GONE] = "GONE",           [NET_ERROR_BUSY] = "BUSY",
      [NET_ERROR_REFUSED] = "REFUSED",     [NET_ERROR_PROTOCOL] = "PROTOCOL",
      [NET_ERROR_LIMIT] = "LIMIT",         [NET_ERROR_UNSUPPORTED] = "UNSUPPORTED",
      [NET_ERROR_CANCELLED] = "CANCELLED",
  };
  g_assert_true(error->domain == NET_ERROR);
  return g_strdup_printf("%s %s", codes[error->code], error->message);
}

static void note_end(Player *player, const GError *error) {
  g_ptr_array_add(player->events, error ? error_text(error) : g_strdup("ok"));
}

static void play_line(Player *player, const char *line) {
  static const struct {
    const char *verb;
    unsigned n_words;
    bool (*play)(Player *player, char **words, GError **error);
  } verbs[] = {
      {"list", 1, do_list},   {"examine", 2, do_examine}, {"scan", 4, do_scan},
      {"fetch", 2, do_fetch}, {"quota", 1, do_quota},
  };
  if (strcmp(line, "refuse") == 0) {
    player->refuses = true;
    return;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
    g_auto(GStrv) words = g_strsplit(line, " ", (int)verbs[i].n_words);
    if (strcmp(words[0], verbs[i].verb) != 0) continue;
    g_assert_cmpuint(g_strv_length(words), ==, verbs[i].n_words);
    g_autoptr(GError) error = NULL;
    bool done = verbs[i].play(player, words, &error);
    g_assert_true(done == (error == NULL));
    note_end(player, error);
    player->refuses = false;
    return;
  }
  g_error("not a verb of a transcript: %s", line);
}

static void compare(const Player *player, char **expected) {
  guint count = g_strv_length(expected);
  for (guint i = 0; i < MAX(count, player->events->len); i++) {
    const char *want = i < count ? expected[i] : "nothing more";
    const char *got =
        i < player->events->len ? g_ptr_array_index(player->events, i) : "nothing more";
    if (g_pattern_match_simple(want, got)) continue;
    g_test_fail_printf("line %u of what is told: expected <%s>, got <%s>", i + 1, want, got);
    return;
  }
}

static void test_replay(gconstpointer data) {
  const Replay *replay = data;
  Player player = {.events = g_ptr_array_new_with_free_func(g_free), .body = g_string_new(NULL)};
  g_autoptr(GError) error = NULL;
  Wire *wire = wire_script_new(replay->path, replay->cut, 1);
  player.mailbox = imap_mailbox_new(wire, "imap1", &error);
  if (!player.mailbox) note_end(&player, error);

  g_auto(GStrv) lines = wire_script_lines(replay->path, "do ");
  for (char **line = lines; player.mailbox && *line; line++)
    play_line(&player, *line);
  mailbox_free(player.mailbox);

  g_auto(GStrv) expected = wire_script_lines(replay->path, "E: ");
  compare(&player, expected);
  g_ptr_array_unref(player.events);
  g_string_free(player.body, TRUE);
}

static void free_replay(gpointer data) {
  Replay *replay = data;
  g_free(replay->path);
  g_free(replay);
}

static void add_replays(const char *name) {
  static const char *const cuts[] = {[WIRE_SCRIPT_WHOLE] = "whole",
                                     [WIRE_SCRIPT_BYTES] = "bytes",
                                     [WIRE_SCRIPT_RANDOM] = "random"};
  for (unsigned cut = 0; cut < G_N_ELEMENTS(cuts); cut++) {
    Replay *replay = g_new0(Replay, 1);
    replay->path = g_build_filename("transcripts", "imap", name, NULL);
    replay->cut = cut;
    g_autofree char *test = g_strdup_printf("/imap/%s/%s", name, cuts[cut]);
    g_test_add_data_func_full(test, replay, test_replay, free_replay);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_autofree char *folder = g_test_build_filename(G_TEST_DIST, "transcripts", "imap", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
  g_assert_no_error(error);
  for (const char *name; (name = g_dir_read_name(dir));)
    if (g_str_has_suffix(name, ".txt")) add_replays(name);
  return g_test_run();
}
