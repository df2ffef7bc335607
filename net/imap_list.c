#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_private.h"

// No mailbox has more; a server that goes on shall not fill our memory.
#define MAX_FOLDERS 100000
#define MAX_NAMES_BYTES (16 << 20)
#define MAX_STATUSES (2 * MAX_FOLDERS)

typedef struct {
  char *prefix;  // "user." or ""
  char delimiter;
  bool is_personal;
} Namespace;

typedef struct {
  ImapMailbox *imap;
  GArray *namespaces;   // Namespace
  bool has_namespaces;  // it is known which folders are personal
  bool has_dropped;     // something came before that
  bool is_broken;       // a line that cannot be read may have been a folder's
  GHashTable *told;     // names, to whether they exist
  size_t names_bytes;   // of them
  unsigned n_statuses;
  char *inbox;            // as it was listed; NULL: not yet
  bool has_inbox_status;  // that came before
  MailboxStatus inbox_status;
  MailboxFolderFunc each;
  MailboxStatusFunc status;
  gpointer data;
  bool has_failed;  // a callback did: nothing more is told
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
static void note_namespace(Listing *listing, const ImapResponse *response) {
  g_array_set_size(listing->namespaces, 0);
  for (unsigned i = 0; i < 3; i++)
    note_namespaces(listing->namespaces, imap_value_nth(response->values, i), i == 0);
  listing->has_namespaces = true;
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

// False if it was told before. INBOX is one folder however it is spelled; servers repeat it. One
// that exists no more by now was deleted meanwhile (RFC 5465 5.4).
static bool is_new(Listing *listing, const char *name, bool exists) {
  const char *key = is_inbox(name) ? "INBOX" : name;
  gpointer existed;
  if (g_hash_table_lookup_extended(listing->told, key, NULL, &existed)) {
    bool is_news = GPOINTER_TO_INT(existed) && !exists && listing->imap->is_notified;
    listing->imap->has_missed |= is_news;
    return false;
  }
  g_hash_table_insert(listing->told, g_strdup(key), GINT_TO_POINTER(exists));
  listing->names_bytes += strlen(key);
  return true;
}

static bool pass_limit(GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT,
                      "the server lists more folders than any mailbox has");
  return false;
}

// INBOX is told as it was listed; what came before that waits.
static bool tell_inbox_status(Listing *listing, GError **error) {
  if (!listing->has_inbox_status || !listing->inbox) return true;
  listing->has_inbox_status = false;
  return listing->status(listing->inbox, &listing->inbox_status, listing->data, error);
}

// `* LIST (attributes) delimiter name` (RFC 3501 7.2.2).
static bool tell_folder(Listing *listing, const ImapResponse *response, GError **error) {
  const char *name = imap_value_text(imap_value_nth(response->values, 2));
  if (!name) listing->is_broken = true;
  if (!name || !*name || !is_personal(listing->namespaces, name)) return true;
  if (!is_new(listing, name, !is_missing(response->values))) return true;
  if (g_hash_table_size(listing->told) > MAX_FOLDERS || listing->names_bytes > MAX_NAMES_BYTES)
    return pass_limit(error);
  MailboxFolder folder = {.name = name,
                          .delimiter = delimiter_of(imap_value_nth(response->values, 1)),
                          .attributes = read_attributes(response->values)};
  if (!listing->each(&folder, listing->data, error)) return false;
  if (is_inbox(name)) listing->inbox = g_strdup(name);
  return tell_inbox_status(listing, error);
}

// `* STATUS name (MESSAGES 3 ...)`, of any folder (RFC 5819): in this or another order.
static bool tell_status(Listing *listing, const ImapResponse *response, GError **error) {
  const char *name = imap_value_text(response->values);
  const ImapValue *items = imap_value_nth(response->values, 1);
  MailboxStatus status;
  if (!listing->imap->is_status_asked || !name || !items ||
      !imap_read_status(items->first, &status))
    return true;
  if (!is_personal(listing->namespaces, name)) return true;
  if (++listing->n_statuses > MAX_STATUSES) return pass_limit(error);
  if (!is_inbox(name)) return listing->status(name, &status, listing->data, error);
  listing->has_inbox_status = true;
  listing->inbox_status = status;
  return tell_inbox_status(listing, error);
}

static bool tell_listed(Listing *listing, const ImapResponse *response, GError **error) {
  bool is_list = strcmp(response->name, "LIST") == 0;
  if (!is_list && strcmp(response->name, "STATUS") != 0) return true;
  if (!listing->has_namespaces) {
    listing->has_dropped = true;
    return true;
  }
  return is_list ? tell_folder(listing, response, error) : tell_status(listing, response, error);
}

// A line of which not even the name can be read may be anything's.
static bool may_be_list(const ImapEvent *event) {
  const char *name = event->response ? event->response->name : NULL;
  return event->type == IMAP_EVENT_BAD && (!name || strcmp(name, "LIST") == 0);
}

static bool take_event(const ImapEvent *event, gpointer data, GError **error) {
  Listing *listing = data;
  const ImapResponse *response = event->response;
  listing->is_broken |= may_be_list(event);
  if (event->type != IMAP_EVENT_RESPONSE || listing->has_failed) return true;
  if (strcmp(response->name, "NAMESPACE") == 0) note_namespace(listing, response);
  listing->has_failed = !tell_listed(listing, response, error);
  return !listing->has_failed;
}

// A server that offers NAMESPACE and then refuses it has none: all folders are personal.
static bool receive_namespaces(ImapSession *session, Listing *listing, GError **error) {
  g_autoptr(GError) failure = NULL;
  bool good = imap_session_receive(session, take_event, listing, &failure);
  listing->has_namespaces = true;
  if (good || (!listing->has_failed && !net_error_ends_connection(failure))) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
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

// Half a tree would make the other half go.
static bool run_list(ImapMailbox *imap, const char *words, Listing *listing, GError **error) {
  listing->is_broken = false;
  if (!imap_session_run_words(imap->session, words, take_event, listing, error)) return false;
  if (!listing->is_broken) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED,
                      "the server lists a folder in a way that cannot be read");
  return false;
}

// NAMESPACE and LIST go in one flight. What a server lists before it has said its namespaces is
// asked for again, and so is what cannot be read, and what it lists for none of the extensions that
// it offers.
static bool list_folders(ImapMailbox *imap, Listing *listing, GError **error) {
  static const char plain[] = "LIST \"\" \"*\"";
  ImapSession *session = imap->session;
  g_autoptr(GError) failure = NULL;
  g_autofree char *words = list_words(imap, listing->status != NULL);
  bool has_namespace = imap_session_has(session, "NAMESPACE");
  imap->is_status_asked = strstr(words, "STATUS (") != NULL;
  listing->has_namespaces = !has_namespace;
  if (has_namespace && !imap_send_words(session, "NAMESPACE", error)) return false;
  if (!imap_send_words(session, words, error)) return false;
  GError *another = NULL;
  bool is_open = !has_namespace || receive_namespaces(session, listing, &failure) ||
                 !net_error_ends_connection(failure);
  if (is_open && !imap_session_receive(session, take_event, listing, &another))
    imap_error_add(&failure, another);
  bool is_refused = g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED) && !listing->has_failed;
  if (is_refused && strcmp(words, plain) != 0) return run_list(imap, plain, listing, error);
  bool is_whole = !listing->has_dropped && !listing->is_broken;
  if (!failure) return is_whole || run_list(imap, words, listing, error);
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool imap_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
               GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  g_autoptr(GArray) namespaces = g_array_new(FALSE, FALSE, sizeof(Namespace));
  g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_array_set_clear_func(namespaces, clear_namespace);
  Listing listing = {.imap = imap,
                     .namespaces = namespaces,
                     .told = told,
                     .each = each,
                     .status = status,
                     .data = data};
  imap->is_listing = true;
  bool listed = list_folders(imap, &listing, error);
  imap->is_listing = imap->is_status_asked = false;
  g_free(listing.inbox);
  return listed;
}

typedef struct {
  ImapMailbox *imap;
  const char *name;
  bool found;  // or perhaps
} Search;

static bool match_folder(const ImapEvent *event, gpointer data, GError **error) {
  Search *search = data;
  const ImapResponse *response = event->response;
  search->found |= may_be_list(event);
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "LIST") != 0) return true;
  const char *name = imap_value_text(imap_value_nth(response->values, 2));
  if (!name || strcmp(name, search->name) != 0)
    search->imap->has_missed |= search->imap->is_notified;
  else if (!is_missing(response->values))
    search->found = true;
  return true;
}

bool imap_has_folder(ImapMailbox *imap, const char *folder) {
  if (is_inbox(folder)) return true;
  g_autoptr(ImapCommand) command = imap_session_command(imap->session, "LIST \"\"");
  imap_command_add_string(command, folder);
  imap_command_end(command);
  Search search = {.imap = imap, .name = folder};
  imap->is_listing = true;
  bool is_answered = imap_session_run(imap->session, command, match_folder, &search, NULL);
  imap->is_listing = false;
  return !is_answered || search.found;
}
