#include "cache/copy.h"

#include <fcntl.h>
#include <unistd.h>

Copy *copy_new(const char *folder, int fd, const LetterDefaults *defaults) {
  Copy *copy = g_new0(Copy, 1);
  copy->folder = g_strdup(folder);
  copy->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  copy->sent_at = g_get_real_time() / G_USEC_PER_SEC;
  copy->from = g_strdup(defaults->from);
  copy->message_id = g_strdup(defaults->message_id);
  copy->envelope_from = g_strdup(defaults->envelope_from);
  copy->recipients = g_strdupv((char **)defaults->recipients);
  copy->date = defaults->date;
  return copy;
}

Letter *copy_read(const Copy *copy, GError **error) {
  const LetterDefaults defaults = {.from = copy->from,
                                   .message_id = copy->message_id,
                                   .date = copy->date,
                                   .envelope_from = copy->envelope_from,
                                   .recipients = (const char *const *)copy->recipients};
  return letter_read(copy->fd, &defaults, error);
}

void copy_free(Copy *copy) {
  if (copy == NULL) return;
  if (copy->fd >= 0) close(copy->fd);
  g_free(copy->folder);
  g_free(copy->from);
  g_free(copy->message_id);
  g_free(copy->envelope_from);
  g_strfreev(copy->recipients);
  g_free(copy);
}
