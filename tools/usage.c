#include "tools/usage.h"

#include <getopt.h>
#include <string.h>

#include "tools/exit_code.h"

bool usage_refuse(GError **error, const char *program, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *why = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, EXIT_ERROR, EX_USAGE, "%s (%s --help tells more)", why, program);
  return false;
}

bool usage_refuse_option(GError **error, const char *program, int letter, const char *name) {
  return letter == ':' ? usage_refuse(error, program, "%s needs an argument", name)
                       : usage_refuse(error, program, "the option %s is not understood", name);
}

char *usage_option_name(char **argv, int first_long) {
  if (optopt > 0 && optopt < first_long) return g_strdup_printf("-%c", optopt);
  const char *word = argv[optind - 1];
  return g_strndup(word, strcspn(word, "="));
}
