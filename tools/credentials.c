#include "tools/credentials.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "tools/exit_code.h"
#include "tools/prompt.h"

#define VARIABLE "MAILFS_PASSWORD"

// The environment's password, NULL if there is none: to be given to secret_wipe. The bytes are
// wiped where they lie, since unsetenv alone leaves them to be read in /proc/PID/environ.
static char *take_from_environment(void) {
  char *value = getenv(VARIABLE);
  if (value == NULL) return NULL;
  char *taken = *value != '\0' ? g_strdup(value) : NULL;
  OPENSSL_cleanse(value, strlen(value));
  unsetenv(VARIABLE);
  return taken;
}

// What one set of options says; *secret NULL: nothing.
static bool from_options(const char *prefix, const char *command, const char *file,
                         const char *token, Secret **secret, GError **error) {
  *secret = NULL;
  if ((command != NULL) + (file != NULL) + (token != NULL) > 1) {
    g_set_error(error, EXIT_ERROR, EX_CONFIG,
                "only one of %spassword_command, %spassword_file and %stoken_command can be set",
                prefix, prefix, prefix);
    return false;
  }
  g_autoptr(GError) reason = NULL;
  if (command != NULL) *secret = secret_new_from_command(SECRET_PASSWORD, command);
  if (token != NULL) *secret = secret_new_from_command(SECRET_TOKEN, token);
  if (file != NULL) *secret = secret_new_from_file(file, &reason);
  if (reason == NULL) return true;
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "%spassword_file: %s", prefix, reason->message);
  return false;
}

static Secret *from_user(const Account *mailbox, GError **error) {
  g_autofree char *server = account_server(mailbox);
  g_autofree char *question = g_strdup_printf("Password of %s at %s: ", mailbox->user, server);
  char *answer = prompt_password(question, error);
  Secret *secret = answer != NULL ? secret_new_from_value(SECRET_PASSWORD, answer) : NULL;
  secret_wipe(answer);
  return secret;
}

bool credentials_set(const Options *options, Account *mailbox, Account *smtp, GError **error) {
  char *inherited = take_from_environment();
  g_autoptr(Secret) inherited_secret =
      inherited != NULL ? secret_new_from_value(SECRET_PASSWORD, inherited) : NULL;
  secret_wipe(inherited);

  g_autoptr(Secret) own = NULL;
  if (!from_options("", options->password_command, options->password_file, options->token_command,
                    &mailbox->secret, error) ||
      !from_options("smtp_", options->smtp_password_command, options->smtp_password_file,
                    options->smtp_token_command, &own, error))
    return false;
  if (mailbox->secret == NULL) mailbox->secret = g_steal_pointer(&inherited_secret);
  if (mailbox->secret == NULL) mailbox->secret = from_user(mailbox, error);
  if (mailbox->secret == NULL) return false;
  if (smtp != NULL && smtp->user != NULL)
    smtp->secret = own != NULL ? g_steal_pointer(&own) : secret_ref(mailbox->secret);
  return true;
}
