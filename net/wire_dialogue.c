#include "net/wire_dialogue.h"

#include <string.h>

#include <openssl/crypto.h>

#include "net/wire_line.h"

struct WireDialogue {
  AccountProtocol protocol;
  char *name;
  const char *secret;
  bool has_login;
  bool asks_abilities;  // the last line sent was CAPA, which old servers do not know
  char *refusal;
};

WireDialogue *wire_dialogue_new(AccountProtocol protocol, const char *name, const char *secret) {
  WireDialogue *dialogue = g_new0(WireDialogue, 1);
  dialogue->protocol = protocol;
  dialogue->name = g_strdup(name);
  dialogue->secret = secret;
  return dialogue;
}

void wire_dialogue_free(WireDialogue *dialogue) {
  if (dialogue == NULL) return;
  g_free(dialogue->name);
  g_free(dialogue->refusal);
  g_free(dialogue);
}

void wire_dialogue_sent(WireDialogue *dialogue, const char *bytes, size_t size) {
  g_autofree char *shown = wire_line_redacted(bytes, size, dialogue->has_login);
  g_debug("%s: > %s", dialogue->name, shown);
  dialogue->asks_abilities =
      dialogue->protocol == ACCOUNT_POP3 && size >= 4 && g_ascii_strncasecmp(bytes, "CAPA", 4) == 0;
  // POP3's USER says no secret yet, but a server may refuse it as it would a login.
  bool is_user =
      dialogue->protocol == ACCOUNT_POP3 && size > 5 && g_ascii_strncasecmp(bytes, "USER ", 5) == 0;
  if (is_user || wire_line_is_login(bytes, size)) dialogue->has_login = true;
}

// The part of an IMAP line that refuses, NULL if it does not. BYE comes also after a NO, which
// says more.
static const char *imap_refusal(const WireDialogue *dialogue, const char *line) {
  const char *words = strchr(line, ' ');
  if (words == NULL) return NULL;
  words++;
  if (g_str_has_prefix(line, "* "))
    return g_ascii_strncasecmp(words, "BYE", 3) == 0 && dialogue->refusal == NULL ? words : NULL;
  if (g_ascii_strncasecmp(words, "NO ", 3) == 0) return words + 3;
  return g_ascii_strncasecmp(words, "BAD ", 4) == 0 ? words : NULL;
}

static const char *refusal_in(const WireDialogue *dialogue, const char *line) {
  switch (dialogue->protocol) {
    case ACCOUNT_IMAP:
      return imap_refusal(dialogue, line);
    case ACCOUNT_POP3:
      return g_str_has_prefix(line, "-ERR") && !dialogue->asks_abilities ? line : NULL;
    case ACCOUNT_SMTP:
      return (*line == '4' || *line == '5') && g_ascii_isdigit(line[1]) ? line : NULL;
  }
  g_assert_not_reached();
}

static char *heard_line(const WireDialogue *dialogue, const char *bytes, size_t size) {
  char *line = wire_line_printable(bytes, size);
  if (dialogue->secret == NULL || strstr(line, dialogue->secret) == NULL) return line;
  GString *struck = g_string_new(line);
  g_string_replace(struck, dialogue->secret, "***", 0);
  OPENSSL_cleanse(line, strlen(line));
  g_free(line);
  return g_string_free(struck, FALSE);
}

void wire_dialogue_received(WireDialogue *dialogue, const char *bytes, size_t size) {
  g_autofree char *line = heard_line(dialogue, bytes, size);
  g_debug("%s: < %s", dialogue->name, line);
  const char *refusal = refusal_in(dialogue, line);
  if (refusal == NULL) return;
  char *kept = g_strdup(refusal);
  g_free(dialogue->refusal);
  dialogue->refusal = kept;
}

bool wire_dialogue_has_login(const WireDialogue *dialogue) {
  return dialogue->has_login;
}

const char *wire_dialogue_refusal(const WireDialogue *dialogue) {
  return dialogue->refusal;
}

bool wire_dialogue_is_of_system(const WireDialogue *dialogue) {
  g_autofree char *words = g_ascii_strdown(dialogue->refusal != NULL ? dialogue->refusal : "", -1);
  return dialogue->protocol == ACCOUNT_POP3 && strstr(words, "[sys/perm") != NULL;
}

// Of POP3 servers without response codes (RFC 1939 4). The word alone says nothing: "invalid user
// or maildrop".
static bool is_maildrop_locked(const char *words) {
  const char *maildrop = strstr(words, "maildrop");
  return maildrop != NULL && (strstr(words, " lock") != NULL || strstr(maildrop, "busy") != NULL ||
                              strstr(maildrop, "in use") != NULL);
}

bool wire_dialogue_is_busy(const WireDialogue *dialogue) {
  static const char *const signs[] = {
      "[unavailable",    "[inuse",    "[in-use",        "[limit",
      "[throttled",      "[sys/temp", "too many",       "[login-delay",
      "try again later", "lock busy", "mailbox locked", "mailbox is locked",
      "mailbox in use",
  };
  if (dialogue->refusal == NULL) return false;
  if (dialogue->protocol == ACCOUNT_SMTP) return *dialogue->refusal == '4';
  g_autofree char *words = g_ascii_strdown(dialogue->refusal, -1);
  if (dialogue->protocol == ACCOUNT_IMAP && g_str_has_prefix(words, "bye")) return true;
  // RFC 3206: whatever the words are, the credentials are wrong.
  if (strstr(words, "[auth]") != NULL) return false;
  if (dialogue->protocol == ACCOUNT_POP3 && is_maildrop_locked(words)) return true;
  for (size_t i = 0; i < G_N_ELEMENTS(signs); i++) {
    if (strstr(words, signs[i]) != NULL) return true;
  }
  return false;
}
