#include "tests/net/smtp_script.h"

#include <string.h>

#include "net/error.h"

static const char letter_text[] = "Subject: hello\r\n\r\nHello.\r\n.hidden\r\n.\r\n";

static const char broken_text[] = "one\ntwo\rthree\r\n\r";

// Gives the text in pieces that grow, so that every cut comes up.
static ssize_t read_text(void *buffer, size_t size, gpointer data, GError **error) {
  Script *script = data;
  if (script->fails_read && script->at > 0) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "disk error");
    return -1;
  }
  g_assert_cmpint(script->ends, ==, 0);
  size_t count = MIN(MIN(size, script->at / 2 + 1), script->size - script->at);
  memcpy(buffer, script->text + script->at, count);
  script->at += count;
  return (ssize_t)count;
}

static bool before_end(gpointer data, GError **error) {
  Script *script = data;
  script->ends++;
  if (script->fails_end) g_set_error_literal(error, NET_ERROR, NET_ERROR_CANCELLED, "given up");
  return !script->fails_end;
}

static void not_taken(gpointer data) {
  Script *script = data;
  g_assert_cmpint(script->ends, ==, 1);
  g_assert_false(script->is_untaken);
  script->is_untaken = true;
}

static const SenderLetter *give_next(gpointer data) {
  Script *script = data;
  g_assert_false(script->next->is_given);
  script->next->is_given = true;
  return &script->next->letter;
}

void script_set_next(Script *script, Script *next) {
  script->next = next;
  script->letter.next = give_next;
}

void script_init(Script *script, const char *text, size_t size) {
  *script =
      (Script){.recipients = g_ptr_array_new_with_free_func(g_free), .text = text, .size = size};
  script->letter = (SenderLetter){.from = NULL,
                                  .size_bytes = size,
                                  .read = read_text,
                                  .before_end = before_end,
                                  .not_taken = not_taken,
                                  .data = script};
}

void script_finish(Script *script) {
  g_ptr_array_add(script->recipients, NULL);
  script->letter.recipients = (const char *const *)script->recipients->pdata + 1;
  script->letter.from = g_ptr_array_index(script->recipients, 0);
}

static unsigned notify_of(const char *words) {
  static const char *const names[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
  unsigned notify = 0;
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    if (strstr(words, names[i]) != NULL) notify |= 1u << i;
  return notify;
}

// What is asked for with DSN.
static bool parse_report(Script *script, const char *word) {
  if (g_str_has_prefix(word, "notify="))
    script->letter.notify = notify_of(word);
  else if (strcmp(word, "ret=HDRS") == 0)
    script->letter.ret = SENDER_RETURN_HEADER;
  else if (strcmp(word, "ret=FULL") == 0)
    script->letter.ret = SENDER_RETURN_FULL;
  else if (g_str_has_prefix(word, "envid="))
    script->letter.envid = script->envid = g_strdup(word + strlen("envid="));
  else
    return false;
  return true;
}

void script_parse(Script *script, const char *line) {
  script_init(script, letter_text, strlen(letter_text));
  g_auto(GStrv) words = g_strsplit(line, " ", -1);
  g_assert_true(g_str_equal(words[0], "send") || g_str_equal(words[0], "leave"));
  for (char **word = words + 1; *word != NULL; word++) {
    if (**word == '<')
      g_ptr_array_add(script->recipients, g_strndup(*word + 1, strlen(*word) - 2));
    else if (strcmp(*word, "8bit") == 0)
      script->letter.has_8bit = true;
    else if (strcmp(*word, "utf8") == 0)
      script->letter.needs_utf8 = true;
    else if (g_str_has_prefix(*word, "size="))
      script->letter.size_bytes = g_ascii_strtoull(*word + 5, NULL, 10);
    else if (strcmp(*word, "next") == 0)
      script_set_next(script, script + 1);
    else if (strcmp(*word, "fail-read") == 0)
      script->fails_read = true;
    else if (strcmp(*word, "fail-before-end") == 0)
      script->fails_end = true;
    else if (strcmp(*word, "lone-break") == 0)
      script->text = broken_text, script->size = script->letter.size_bytes = strlen(broken_text);
    else if (!parse_report(script, *word))
      g_error("not a word of a letter: %s", *word);
  }
  script_finish(script);
}

void script_clear(Script *script) {
  g_ptr_array_unref(script->recipients);
  g_free(script->envid);
}
