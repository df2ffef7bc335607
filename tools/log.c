#include "tools/log.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <glib.h>

// GLib has one log a process, and calls its writer on the thread that logs.
static bool shows_debug;
static const char *program_name;
static gint is_to_syslog;  // atomic

typedef struct {
  GLogLevelFlags level;
  const char *word;  // after the program's name
  int priority;
} Level;

static const Level levels[] = {
    {G_LOG_LEVEL_ERROR, "fatal: ", LOG_CRIT},        {G_LOG_LEVEL_CRITICAL, "error: ", LOG_ERR},
    {G_LOG_LEVEL_WARNING, "warning: ", LOG_WARNING}, {G_LOG_LEVEL_MESSAGE, "", LOG_NOTICE},
    {G_LOG_LEVEL_INFO, "info: ", LOG_INFO},          {G_LOG_LEVEL_DEBUG, "debug: ", LOG_DEBUG},
};

static const Level *level_of(GLogLevelFlags flags) {
  for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
    if ((flags & levels[i].level) != 0) return &levels[i];
  }
  return &levels[G_N_ELEMENTS(levels) - 1];
}

static const char *find_field(const GLogField *fields, gsize n_fields, const char *key) {
  for (gsize i = 0; i < n_fields; i++) {
    if (strcmp(fields[i].key, key) == 0 && fields[i].length < 0) return fields[i].value;
  }
  return NULL;
}

static char *one_line(const char *message) {
  g_autofree char *text = g_utf8_make_valid(message, -1);
  GString *line = g_string_new(NULL);
  for (const char *p = g_strchomp(text); *p != '\0'; p = g_utf8_next_char(p)) {
    gunichar character = g_utf8_get_char(p);
    g_string_append_unichar(line, g_unichar_iscntrl(character) ? '?' : character);
  }
  return g_string_free(line, FALSE);
}

static GLogWriterOutput write_record(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                     gpointer unused) {
  const Level *level = level_of(flags);
  if (!shows_debug && level->priority > LOG_NOTICE) return G_LOG_WRITER_HANDLED;
  const char *message = find_field(fields, n_fields, "MESSAGE");
  if (message == NULL) return G_LOG_WRITER_UNHANDLED;
  g_autofree char *line = one_line(message);
  if (g_atomic_int_get(&is_to_syslog) != 0)
    syslog(level->priority, "%s%s", level->word, line);
  else
    fprintf(stderr, "%s: %s%s\n", program_name, level->word, line);
  return G_LOG_WRITER_HANDLED;
}

void log_start(const char *program) {
  program_name = program;
  g_log_set_writer_func(write_record, NULL, NULL);
}

void log_show_debug(void) {
  shows_debug = true;
  // For those who ask before they put a record together.
  g_log_set_debug_enabled(TRUE);
}

void log_to_syslog(void) {
  openlog("mailfs", LOG_PID, LOG_DAEMON);
  g_atomic_int_set(&is_to_syslog, 1);
}
