#include "net/imap_search.h"

#include <string.h>

#include "net/error.h"

// The set behind `ALL` in ESEARCH (without hits there is none); in SEARCH nothing else stands but
// (MODSEQ n).
static bool is_readable(const ImapResponse *response) {
  const ImapValue *value = response->values;
  if (strcmp(response->name, "ESEARCH") == 0) {
    while (value && !imap_value_is_atom(value, "ALL"))
      value = value->next;
    return !value || (value->next && value->next->kind == IMAP_SET);
  }
  while (value && (value->kind == IMAP_SET || value->kind == IMAP_LIST))
    value = value->next;
  return !value;
}

bool imap_search_note(ImapSearch *search, const ImapEvent *event) {
  static const char *const names[] = {"SEARCH", "ESEARCH", NULL};
  const ImapResponse *response = event->response;
  if (!response || !response->name || !g_strv_contains(names, response->name)) return false;
  if (event->type == IMAP_EVENT_RANGE) return true;
  search->has_answer = true;
  search->is_broken |= event->type == IMAP_EVENT_BAD || !is_readable(response);
  return true;
}

bool imap_search_check(const ImapSearch *search, GError **error) {
  if (search->has_answer && !search->is_broken) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
              "asked which messages there are, the server says %s",
              search->has_answer ? "what is no list" : "nothing");
  return false;
}
