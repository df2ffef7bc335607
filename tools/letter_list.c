#include "tools/letter_list.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <json-glib/json-glib.h>

#include "cache/letter.h"
#include "cache/outbox_summary.h"
#include "tools/control_client.h"
#include "tools/control_letter.h"
#include "tools/exit_code.h"

static const char *text_of(JsonObject *letter, const char *member) {
  return json_object_get_string_member_with_default(letter, member, NULL);
}

// -- Where they come from.

static bool ask(ControlClient *client, GPtrArray *letters, GError **error) {
  if (!control_client_ask(client, "outbox", NULL, error)) return false;
  for (bool done = false; !done;) {
    g_autoptr(JsonObject) answer = control_client_next(client, &done, error);
    if (answer == NULL) return false;
    if (json_object_has_member(answer, "letter"))
      g_ptr_array_add(letters, json_object_ref(json_object_get_object_member(answer, "letter")));
  }
  return true;
}

static bool add_summary(const OutboxSummary *summary, gpointer letters) {
  g_autoptr(JsonBuilder) builder = json_builder_new();
  control_letter_build(builder, summary);
  g_autoptr(JsonNode) node = json_builder_get_root(builder);
  g_ptr_array_add(letters, json_node_dup_object(node));
  return true;
}

typedef bool (*Peek)(const char *account_directory, OutboxSummaryEach each, gpointer data,
                     GError **error);

static bool read_disk(Peek peek, const Place *place, GPtrArray *letters, GError **error) {
  g_autoptr(GError) reason = NULL;
  if (peek(place->directory, add_summary, letters, &reason)) return true;
  g_set_error(error, EXIT_ERROR, EX_IOERR, "%s", reason->message);
  return false;
}

static GHashTable *origins_of(const GPtrArray *letters) {
  GHashTable *origins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (unsigned i = 0; i < letters->len; i++) {
    const char *origin = text_of(letters->pdata[i], "origin");
    if (origin != NULL) g_hash_table_add(origins, g_strdup(origin));
  }
  return origins;
}

// What was handed over and is not in the outbox yet. It is looked at before mailfs is asked: what
// is taken in between is seen in one of them.
static bool ask_and_look(const Place *place, ControlClient *client, GPtrArray *letters,
                         GError **error) {
  g_autoptr(GPtrArray) drops = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
  if (!read_disk(outbox_peek_drops, place, drops, error) || !ask(client, letters, error))
    return false;
  g_autoptr(GHashTable) origins = origins_of(letters);
  for (unsigned i = 0; i < drops->len; i++)
    if (!g_hash_table_contains(origins, text_of(drops->pdata[i], "origin")))
      g_ptr_array_add(letters, json_object_ref(drops->pdata[i]));
  return true;
}

// -- Who gets them.

static void set_addresses(JsonObject *letter, const char *const *addresses) {
  JsonArray *array = json_array_new();
  for (; *addresses != NULL; addresses++) {
    g_autofree char *valid = g_utf8_make_valid(*addresses, -1);
    json_array_add_string_element(array, valid);
  }
  json_object_set_array_member(letter, "recipients", array);
}

// A letter that cannot be understood has none that could be told.
static void read_recipients(JsonObject *object, const Place *place) {
  const char *file = text_of(object, "file");
  if (file == NULL) return;
  g_autofree char *path = g_build_filename(place->directory, file, NULL);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  const LetterDefaults defaults = {
      .from = place->from != NULL ? place->from : "nobody@localhost",
      .message_id = "none@localhost",
      .envelope_from = "",
  };
  g_autoptr(Letter) letter = letter_read(fd, &defaults, NULL);
  if (letter != NULL) set_addresses(object, letter_recipients(letter));
  close(fd);
}

static void complete(JsonObject *letter, const Place *place) {
  static const char *const own[] = {"envelope_to", "file", "from", "date", "origin"};
  if (json_object_has_member(letter, "envelope_to"))
    json_object_set_array_member(
        letter, "recipients", json_array_ref(json_object_get_array_member(letter, "envelope_to")));
  else
    read_recipients(letter, place);
  for (size_t i = 0; i < G_N_ELEMENTS(own); i++)
    json_object_remove_member(letter, own[i]);
}

GPtrArray *letter_list_load(const Place *place, bool *running, GError **error) {
  g_autoptr(GPtrArray) letters = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
  g_autoptr(GError) absent = NULL;
  g_autoptr(ControlClient) client = control_client_new(place->directory, &absent);
  *running = client != NULL;
  if (client == NULL && !g_error_matches(absent, EXIT_ERROR, EX_UNAVAILABLE)) {
    g_propagate_error(error, g_steal_pointer(&absent));
    return NULL;
  }
  bool ok = client != NULL ? ask_and_look(place, client, letters, error)
                           : read_disk(outbox_peek, place, letters, error);
  if (!ok) return NULL;
  for (unsigned i = 0; i < letters->len; i++)
    complete(letters->pdata[i], place);
  return g_steal_pointer(&letters);
}

// -- How they look.

static void print_addresses(const char *before, const GPtrArray *addresses) {
  for (unsigned i = 0; i < addresses->len; i++)
    printf("%s%s", i == 0 ? before : ", ", (const char *)addresses->pdata[i]);
  if (addresses->len > 0) puts("");
}

static void print_recipients(JsonObject *letter) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new();
  if (!json_object_has_member(letter, "recipients")) return;
  JsonArray *array = json_object_get_array_member(letter, "recipients");
  for (unsigned i = 0; i < json_array_get_length(array); i++)
    g_ptr_array_add(addresses, (gpointer)json_array_get_string_element(array, i));
  print_addresses("    to ", addresses);
}

// Who has got a letter that others have not.
static void print_accepted(JsonObject *letter) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new();
  if (!json_object_has_member(letter, "answered")) return;
  JsonArray *array = json_object_get_array_member(letter, "answered");
  for (unsigned i = 0; i < json_array_get_length(array); i++) {
    JsonObject *answered = json_array_get_object_element(array, i);
    if (g_strcmp0(text_of(answered, "verdict"), "accepted") == 0)
      g_ptr_array_add(addresses, (gpointer)text_of(answered, "address"));
  }
  print_addresses("    accepted for ", addresses);
}

static void print_text(JsonObject *letter) {
  const char *next_try = text_of(letter, "next_try");
  const char *why = text_of(letter, "why");
  bool failed = g_strcmp0(text_of(letter, "directory"), "failed") == 0;
  printf("%s%s: %s", failed ? "failed/" : "", text_of(letter, "name"), text_of(letter, "state"));
  if (next_try != NULL) printf(", next try %s", next_try);
  puts("");
  print_recipients(letter);
  print_accepted(letter);
  if (why != NULL) printf("    %s\n", why);
}

static void print_json(JsonObject *letter) {
  g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), letter);
  g_autofree char *line = json_to_string(node, FALSE);
  puts(line);
}

void letter_list_print(GPtrArray *letters, bool as_json) {
  for (unsigned i = 0; i < letters->len; i++) {
    if (as_json)
      print_json(letters->pdata[i]);
    else
      print_text(letters->pdata[i]);
  }
}
