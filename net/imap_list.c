#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_private.h"

// No mailbox has more; a server that goes on shall not fill our memory.
#define MAX_FOLDERS 100000
#define MAX_NAMES_BYTES (16 << 20)

typedef struct {
  char *prefix;  // "user." or ""
  char delimiter;
  bool is_personal;
} Namespace;

typedef struct {
  GArray *namespaces;  // Namespace
  GHashTable *told;    // names
  size_t names_bytes;  // of them
  MailboxFolderFunc each;
  MailboxStatusFunc status;
  gpointer data;
} Listing;

static void clear_namespace(gpointer data) {
  Namespace *space = data;
  g_free(space->prefix);
}

static bool is_inbox(const char *name) {
  return g_ascii_strcasecmp(name, "INBOX") == 0;
}

// A hierarchy delimiter is NIL or one character.
static char delimiter_of(const ImapValue *value) {
  const char *text = imap_value_text(value);
  return text && strlen(text) == 1 ? *text : '\0';
}

static void note_namespaces(GArray *namespaces, const ImapValue *list, bool is_personal) {
  const ImapValue *first = list ? list->first : NULL;
  for (const ImapValue *entry = first; entry; entry = entry->next) {
    const char *prefix = imap_value_text(entry->first);
    if (!prefix) continue;
    Namespace space = {.prefix = g_strdup(prefix),
                       .delimiter = delimiter_of(imap_value_nth(entry->first, 1)),
                       .is_personal = is_personal};
    g_array_append_val(namespaces, space);
  }
}

// `* NAMESPACE personal other-users shared` (RFC 2342 section 5).
static bool note_namespace(const ImapEvent *event, gpointer data, GError **error) {
  GArray *namespaces = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "NAMESPACE") != 0) return true;
  g_array_set_size(namespaces, 0);
  for (unsigned i = 0; i < 3; i++)
    note_namespaces(namespaces, imap_value_nth(response->values, i), i == 0);
  return true;
}

// The folder lies in the namespace, or is the folder that the namespace hangs from.
static bool is_within(const Namespace *space, const char *name) {
  size_t length = strlen(space->prefix);
  if (strncmp(name, space->prefix, length) == 0) return true;
  return length > 0 && space->prefix[length - 1] == space->delimiter &&
         strlen(name) == length - 1 && strncmp(name, space->prefix, length - 1) == 0;
}

// The namespace with the longest prefix decides: "" may be the personal one beside "user.", or the
// shared one beside "INBOX.".
static bool is_personal(const GArray *namespaces, const char *name) {
  const Namespace *nearest = NULL;
  for (guint i = 0; i < namespaces->len; i++) {
    const Namespace *space = &g_array_index(namespaces, Namespace, i);
    bool is_nearer = !nearest || strlen(space->prefix) > strlen(nearest->prefix);
    if (is_nearer && is_within(space, name)) nearest = space;
  }
  return is_inbox(name) || !nearest || nearest->is_personal;
}

static unsigned read_attributes(const ImapValue *list) {
  static const struct {
    const char *name;
    unsigned attribute;
  } names[] = {
      {"\\Noselect", MAILBOX_NOSELECT}, {"\\NonExistent", MAILBOX_NOSELECT},
      {"\\Sent", MAILBOX_SENT},         {"\\Drafts", MAILBOX_DRAFTS},
      {"\\Trash", MAILBOX_TRASH},       {"\\Junk", MAILBOX_JUNK},
      {"\\All", MAILBOX_ALL},
  };
  unsigned attributes = 0;
  const ImapValue *first = list ? list->first : NULL;
  for (const ImapValue *value = first; value; value = value->next)
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
      if (imap_value_is_atom(value, names[i].name)) attributes |= names[i].attribute;
  return attributes;
}

// A name that only holds others (RFC 5258 section 3).
static bool is_missing(const ImapValue *attributes) {
  const ImapValue *value = attributes ? attributes->first : NULL;
  while (value && !imap_value_is_atom(value, "\\NonExistent"))
    value = value->next;
  return value != NULL;
}

// False if it was told before. INBOX is one folder however it is spelled; servers repeat it.
static bool is_new(Listing *listing, const char *name) {
  const char *key = is_inbox(name) ? "INBOX" : name;
  bool is_added = g_hash_table_add(listing->told, g_strdup(key));
  if (is_added) listing->names_bytes += strlen(key);
  return is_added;
}

// `* LIST (attributes) delimiter name` (RFC 3501 7.2.2).
static bool tell_folder(const ImapEvent *event, gpointer data, GError **error) {
  Listing *listing = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "LIST") != 0) return true;
  const char *name = imap_value_text(imap_value_nth(response->values, 2));
  if (!name || !*name || !is_personal(listing->namespaces, name)) return true;
  if (!is_new(listing, name)) return true;
  if (g_hash_table_size(listing->told) > MAX_FOLDERS || listing->names_bytes > MAX_NAMES_BYTES) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT,
                        "the server lists more folders than any mailbox has");
    return false;
  }
  MailboxFolder folder = {.name = name,
                          .delimiter = delimiter_of(imap_value_nth(response->values, 1)),
                          .attributes = read_attributes(response->values)};
  return listing->each(&folder, listing->data, error);
}

// `* STATUS name (MESSAGES 3 ...)`, of any folder (RFC 5819): in this or another order.
static bool tell_status(const ImapResponse *response, Listing *listing, GError **error) {
  const char *name = imap_value_text(response->values);
  const ImapValue *items = imap_value_nth(response->values, 1);
  MailboxStatus status;
  if (!listing->status || !name || !items || !imap_read_status(items->first, &status)) return true;
  return listing->status(name, &status, listing->data, error);
}

static bool tell_listed(const ImapEvent *event, gpointer data, GError **error) {
  const ImapResponse *response = event->response;
  if (event->type == IMAP_EVENT_RESPONSE && strcmp(response->name, "STATUS") == 0)
    return tell_status(response, data, error);
  return tell_folder(event, data, error);
}

// A server that offers NAMESPACE and then refuses it has none: all folders are personal.
static bool ask_namespaces(ImapSession *session, GArray *namespaces, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (!imap_session_has(session, "NAMESPACE")) return true;
  if (imap_session_run_words(session, "NAMESPACE", note_namespace, namespaces, &refusal))
    return true;
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

// What LIST is to return, as far as the server can.
static char *list_words(ImapMailbox *imap, bool wants_status) {
  ImapSession *session = imap->session;
  bool special =
      imap_session_has(session, "LIST-EXTENDED") && imap_session_has(session, "SPECIAL-USE");
  bool status = wants_status && imap_session_has(session, "LIST-STATUS");
  if (!special && !status) return g_strdup("LIST \"\" \"*\"");
  return g_strdup_printf("LIST \"\" \"*\" RETURN (%s%s%s%s)", special ? "SPECIAL-USE" : "",
                         special && status ? " " : "",
                         status ? "STATUS (MESSAGES UIDNEXT UIDVALIDITY" : "",
                         !status               ? ""
                         : imap->has_condstore ? " HIGHESTMODSEQ)"
                                               : ")");
}

bool imap_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
               GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  g_autoptr(GArray) namespaces = g_array_new(FALSE, FALSE, sizeof(Namespace));
  g_array_set_clear_func(namespaces, clear_namespace);
  if (!ask_namespaces(imap->session, namespaces, error)) return false;

  g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Listing listing = {
      .namespaces = namespaces, .told = told, .each = each, .status = status, .data = data};
  g_autofree char *words = list_words(imap, status != NULL);
  imap->is_told = true;
  bool listed = imap_session_run_words(imap->session, words, tell_listed, &listing, error);
  imap->is_told = false;
  return listed;
}

typedef struct {
  const char *name;
  bool found;
} Search;

static bool match_folder(const ImapEvent *event, gpointer data, GError **error) {
  Search *search = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "LIST") != 0) return true;
  const char *name = imap_value_text(imap_value_nth(response->values, 2));
  if (name && strcmp(name, search->name) == 0 && !is_missing(response->values))
    search->found = true;
  return true;
}

bool imap_has_folder(ImapSession *session, const char *folder) {
  if (is_inbox(folder)) return true;
  g_autoptr(ImapCommand) command = imap_session_command(session, "LIST \"\"");
  imap_command_add_string(command, folder);
  imap_command_end(command);
  Search search = {.name = folder};
  return !imap_session_run(session, command, match_folder, &search, NULL) || search.found;
}
