#include "tests/net/mailbox_player.h"

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "tests/net/wire_script.h"

typedef struct {
  char *path;
  WireScriptCut cut;
  MailboxNew *open;
  const char *name;
} Replay;

typedef struct {
  char *id;
  uint32_t uid;
  int64_t size;
  char *subject;  // NULL: any
} Known;

typedef struct {
  Mailbox *mailbox;
  Wire *wire;         // its own
  GPtrArray *events;  // what was told, as in the E: lines
  GString *body;
  GArray *known;  // Known
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

// Bytes as they stand in the events.
static void append_bytes(GString *text, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (g_ascii_isprint(bytes[i]))
      g_string_append_c(text, bytes[i]);
    else
      g_string_append_printf(text, "\\%03o", (unsigned char)bytes[i]);
  }
}

// One of a store without UIDs.
static void note_header(Player *player, const MailboxMessage *message) {
  g_autoptr(GString) header = g_string_new(message->header != NULL ? "" : "~");
  if (message->header != NULL) append_bytes(header, message->header, message->header_bytes);
  g_assert_cmpint(message->internaldate, ==, -1);
  g_ptr_array_add(player->events,
                  g_strdup_printf("message uid=%" PRIu32 " size=%" PRId64 " id=%s header=%s%s",
                                  message->uid, message->size, message->id, header->str,
                                  message->is_put_off ? " put-off" : ""));
}

static bool note_message(const MailboxMessage *message, gpointer data, GError **error) {
  Player *player = data;
  if (message->id != NULL) {
    note_header(player, message);
    return answer(player, error);
  }
  g_autofree char *flags = shown(message->flags);
  g_autofree char *name = shown(message->from_name);
  g_autofree char *address = shown(message->from_address);
  g_autofree char *subject = shown(message->subject);
  g_autofree char *sent = shown(message->date);
  g_autofree char *id = shown(message->message_id);
  g_ptr_array_add(player->events,
                  g_strdup_printf("message uid=%" PRIu32 " flags=%s date=%" PRId64 " size=%" PRId64
                                  " name=%s address=%s subject=%s sent=%s id=%s%s%s",
                                  message->uid, flags, message->internaldate, message->size, name,
                                  address, subject, sent, id, message->email_id ? " email=" : "",
                                  message->email_id ? message->email_id : ""));
  return answer(player, error);
}

static char *status_text(const MailboxStatus *status) {
  return g_strdup_printf(
      "uidvalidity=%" PRIu32 " uidnext=%" PRIu32 " exists=%" PRIu32 " highestmodseq=%" PRIu64,
      status->uidvalidity, status->uidnext, status->exists, status->highestmodseq);
}

static bool note_status(const char *folder, const MailboxStatus *status, gpointer data,
                        GError **error) {
  Player *player = data;
  g_autofree char *name = shown(folder), *text = status_text(status);
  g_ptr_array_add(player->events, g_strdup_printf("of %s %s", name, text));
  return answer(player, error);
}

static bool note_vanished(UidRange range, gpointer data, GError **error) {
  Player *player = data;
  g_ptr_array_add(player->events,
                  g_strdup_printf("vanished %" PRIu32 "-%" PRIu32, range.first, range.last));
  return answer(player, error);
}

static bool note_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  g_string_truncate(((Player *)data)->body, 0);
  return answer(data, error);
}

static bool note_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  append_bytes(((Player *)data)->body, bytes, size);
  return true;
}

static bool note_body(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Player *player = data;
  g_ptr_array_add(player->events, g_strdup_printf("body uid=%" PRIu32 " offset=%" PRIu64 " %s", uid,
                                                  offset, player->body->str));
  return true;
}

static void note_withheld(uint32_t uid, gpointer data) {
  g_ptr_array_add(((Player *)data)->events, g_strdup_printf("withheld %" PRIu32, uid));
}

static bool do_list(Player *player, char **words, GError **error) {
  return mailbox_list(player->mailbox, note_folder, note_status, player, error);
}

static uint64_t number(const char *word) {
  return g_ascii_strtoull(word, NULL, 10);
}

static void note_present(Player *player, const UidSet *present) {
  g_autoptr(GString) text = g_string_new("present");
  for (size_t i = 0; i < uid_set_n_ranges(present); i++) {
    UidRange range = uid_set_range(present, i);
    g_string_append_printf(text, " %" PRIu32 "-%" PRIu32, range.first, range.last);
  }
  g_ptr_array_add(player->events, g_strdup(text->str));
}

static bool tell_number(const char *id, int64_t size, uint32_t *uid, bool *is_certain,
                        gpointer data, GError **error) {
  const Player *player = data;
  *uid = 0;
  for (guint i = 0; i < player->known->len; i++) {
    const Known *known = &g_array_index(player->known, Known, i);
    if (strcmp(known->id, id) != 0) continue;
    *uid = known->uid;
    *is_certain = known->size < 0 || size < 0 || known->size == size;
  }
  return true;
}

static bool tell_is_same(const MailboxMessage *message, bool *is_same, gpointer data,
                         GError **error) {
  const Player *player = data;
  bool is_shown = message->header != NULL;
  g_autofree char *header = is_shown ? g_strndup(message->header, message->header_bytes) : NULL;
  for (guint i = 0; i < player->known->len; i++) {
    const Known *known = &g_array_index(player->known, Known, i);
    if (known->uid != message->uid) continue;
    g_autofree char *line = g_strdup_printf("Subject: %s\r\n", known->subject);
    bool is_bare = known->subject == NULL || strcmp(known->subject, "~") == 0;
    *is_same = is_shown ? known->subject == NULL || strstr(header, line) != NULL
                        : is_bare && (known->size < 0 || known->size == message->size);
  }
  g_ptr_array_add(player->events, g_strdup_printf("compared %" PRIu32 " %s", message->uid,
                                                  *is_same ? "same" : "other"));
  return true;
}

static bool do_known(Player *player, char **words, GError **error) {
  g_auto(GStrv) parts = g_strsplit(words[2], " ", 3);
  bool has_size = parts[1] != NULL;
  const Known known = {.id = g_strdup(words[1]),
                       .uid = (uint32_t)number(parts[0]),
                       .size = has_size ? (int64_t)number(parts[1]) : -1,
                       .subject = has_size ? g_strdup(parts[2]) : NULL};
  g_array_append_val(player->known, known);
  return true;
}

static bool do_update(Player *player, char **words, GError **error) {
  g_autofree char *folder = g_strcompress(words[1]);
  const MailboxKnown known = {.folder = folder,
                              .uidvalidity = (uint32_t)number(words[2]),
                              .last_uid = (uint32_t)number(words[3]),
                              .count = (uint32_t)number(words[4]),
                              .modseq = number(words[5])};
  const MailboxBodyFuncs bodies = {note_begin, note_bytes, note_body, NULL, player};
  const MailboxUpdateFuncs funcs = {.message = note_message,
                                    .vanished = note_vanished,
                                    .number = tell_number,
                                    .is_same = tell_is_same,
                                    .bodies = &bodies,
                                    .data = player};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate update = {.present = present};
  if (!mailbox_update(player->mailbox, &known, &funcs, &update, error)) return false;
  if (update.is_present_told) note_present(player, present);
  g_autofree char *text = status_text(&update.status);
  g_ptr_array_add(player->events, g_strdup_printf("status %s", text));
  return true;
}

// "3,5:9" as a set.
static UidSet *set_of(const char *text) {
  UidSet *set = uid_set_new();
  g_auto(GStrv) ranges = g_strsplit(text, ",", -1);
  for (char **range = ranges; *range; range++) {
    const char *colon = strchr(*range, ':');
    uint32_t first = (uint32_t)number(*range);
    uid_set_add_range(set, first, colon ? (uint32_t)number(colon + 1) : first);
  }
  return set;
}

static bool do_expunge(Player *player, char **words, GError **error) {
  g_autoptr(UidSet) uids = set_of(words[3]);
  return mailbox_expunge(player->mailbox, words[1], (uint32_t)number(words[2]), uids, error);
}

static bool do_request(Player *player, char **words, GError **error) {
  g_autofree char *folder = g_strcompress(words[1]);
  g_autoptr(UidSet) uids = set_of(words[3]);
  const MailboxRequest request = {.folder = folder,
                                  .uidvalidity = (uint32_t)number(words[2]),
                                  .anew = strcmp(words[0], "anew") == 0,
                                  .uids = uids};
  return mailbox_request(player->mailbox, &request, error);
}

static bool do_parts(Player *player, char **words, GError **error) {
  g_auto(GStrv) ranges = g_strsplit(words[4], " ", 2);
  MailboxRequest request = {.folder = words[1],
                            .uidvalidity = (uint32_t)number(words[2]),
                            .uid = (uint32_t)number(words[3])};
  for (; ranges[request.n_ranges]; request.n_ranges++) {
    g_auto(GStrv) parts = g_strsplit(ranges[request.n_ranges], ".", 2);
    request.ranges[request.n_ranges] = (MailboxRange){number(parts[0]), number(parts[1])};
  }
  return mailbox_request(player->mailbox, &request, error);
}

static bool do_receive(Player *player, char **words, GError **error) {
  const MailboxBodyFuncs funcs = {note_begin, note_bytes, note_body, note_withheld, player};
  return mailbox_receive(player->mailbox, &funcs, error);
}

static void note_folder_news(const char *folder, const MailboxStatus *status, gpointer data) {
  g_autofree char *name = shown(folder), *text = status ? status_text(status) : g_strdup("");
  g_ptr_array_add(((Player *)data)->events, g_strdup_printf("folder-news %s %s", name, text));
}

static void note_tree_news(gpointer data) {
  g_ptr_array_add(((Player *)data)->events, g_strdup("tree-news"));
}

static void note_watching(MailboxWatch watch, gpointer data) {
  static const char *const words[] = {"nothing", "folder", "all"};
  g_ptr_array_add(((Player *)data)->events, g_strdup_printf("watching %s", words[watch]));
}

static bool do_watch(Player *player, char **words, GError **error) {
  const MailboxNewsFuncs funcs = {note_folder_news, note_tree_news, note_watching, player};
  return mailbox_watch(player->mailbox, (int)g_ascii_strtoll(words[1], NULL, 10), &funcs, error);
}

static bool do_quota(Player *player, char **words, GError **error) {
  MailboxQuota quota;
  if (!mailbox_quota(player->mailbox, &quota, error)) return false;
  g_ptr_array_add(player->events, g_strdup_printf("quota %" PRIu64 " of %" PRIu64, quota.used_bytes,
                                                  quota.limit_bytes));
  return true;
}

static ssize_t read_text(void *buffer, size_t size, gpointer data, GError **error) {
  const char **text = data;
  size_t length = MIN(strlen(*text), MIN(size, 5));
  memcpy(buffer, *text, length);
  *text += length;
  return (ssize_t)length;
}

static bool do_append(Player *player, char **words, GError **error) {
  g_autofree char *text = g_strcompress(words[5]), *folder = g_strcompress(words[1]);
  const char *rest = text;
  const MailboxAppend message = {.folder = folder,
                                 .flags = strcmp(words[2], "-") == 0 ? "" : words[2],
                                 .internaldate = g_ascii_strtoll(words[3], NULL, 10),
                                 .size = number(words[4]),
                                 .read = read_text,
                                 .data = &rest};
  bool uncertain;
  bool good = mailbox_append(player->mailbox, &message, &uncertain, error);
  if (uncertain) g_ptr_array_add(player->events, g_strdup("uncertain"));
  return good;
}

static bool do_find(Player *player, char **words, GError **error) {
  bool found;
  if (!mailbox_find(player->mailbox, words[1], words[2], words[3], &found, error)) return false;
  g_ptr_array_add(player->events, g_strdup(found ? "found" : "not found"));
  return true;
}

static bool do_login_delay(Player *player, char **words, GError **error) {
  g_ptr_array_add(player->events,
                  g_strdup_printf("login delay %u s", mailbox_login_delay_s(player->mailbox)));
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
      {"list", 1, do_list},
      {"update", 6, do_update},
      {"request", 4, do_request},
      {"anew", 4, do_request},
      {"parts", 5, do_parts},
      {"receive", 1, do_receive},
      {"watch", 2, do_watch},
      {"quota", 1, do_quota},
      {"append", 6, do_append},
      {"find", 4, do_find},
      {"known", 3, do_known},
      {"expunge", 4, do_expunge},
      {"login-delay", 1, do_login_delay},
  };
  if (strcmp(line, "refuse") == 0) {
    player->refuses = true;
    return;
  }
  if (strcmp(line, "reset waker") == 0) {
    wire_script_reset_waker(player->wire);
    return;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
    g_auto(GStrv) words = g_strsplit(line, " ", (int)verbs[i].n_words);
    if (strcmp(words[0], verbs[i].verb) != 0) continue;
    g_assert_cmpuint(g_strv_length(words), ==, verbs[i].n_words);
    g_autoptr(GError) error = NULL;
    bool done = verbs[i].play(player, words, &error);
    g_assert_true(done == (error == NULL));
    if (verbs[i].play != do_known) note_end(player, error);
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

static void clear_known(gpointer data) {
  Known *known = data;
  g_free(known->id);
  g_free(known->subject);
}

static void test_replay(gconstpointer data) {
  const Replay *replay = data;
  Player player = {.events = g_ptr_array_new_with_free_func(g_free),
                   .body = g_string_new(NULL),
                   .known = g_array_new(FALSE, FALSE, sizeof(Known))};
  g_array_set_clear_func(player.known, clear_known);
  g_autoptr(GError) error = NULL;
  player.wire = wire_script_new(replay->path, replay->cut, 1);
  player.mailbox = replay->open(player.wire, replay->name, &error);
  if (!player.mailbox) note_end(&player, error);

  g_auto(GStrv) lines = wire_script_lines(replay->path, "do ");
  for (char **line = lines; player.mailbox && *line; line++)
    play_line(&player, *line);
  mailbox_free(player.mailbox);

  g_auto(GStrv) expected = wire_script_lines(replay->path, "E: ");
  compare(&player, expected);
  g_ptr_array_unref(player.events);
  g_string_free(player.body, TRUE);
  g_array_unref(player.known);
}

static void free_replay(gpointer data) {
  Replay *replay = data;
  g_free(replay->path);
  g_free(replay);
}

static void add_replays(const char *folder, const char *file, MailboxNew *open) {
  static const char *const cuts[] = {[WIRE_SCRIPT_WHOLE] = "whole",
                                     [WIRE_SCRIPT_BYTES] = "bytes",
                                     [WIRE_SCRIPT_RANDOM] = "random"};
  for (unsigned cut = 0; cut < G_N_ELEMENTS(cuts); cut++) {
    Replay *replay = g_new0(Replay, 1);
    replay->path = g_build_filename("transcripts", folder, file, NULL);
    replay->cut = cut;
    replay->open = open;
    replay->name = folder;
    g_autofree char *test = g_strdup_printf("/%s/%s/%s", folder, file, cuts[cut]);
    g_test_add_data_func_full(test, replay, test_replay, free_replay);
  }
}

void mailbox_player_add(const char *folder, MailboxNew *open) {
  g_autofree char *path = g_test_build_filename(G_TEST_DIST, "transcripts", folder, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
  g_assert_no_error(error);
  for (const char *name; (name = g_dir_read_name(dir));)
    if (g_str_has_suffix(name, ".txt")) add_replays(folder, name, open);
}
