// A session's work on copies of letters that were sent: finds the folder, looks whether the letter
// is there, and puts it there.

#include <string.h>

#include "cache/name.h"
#include "cache/session_private.h"
#include "net/error.h"

// How long it is believed that the server has no folder for sent mail.
#define ABSENT_US G_USEC_PER_SEC

typedef struct {
  const char *wanted;  // as the mount shows it; NULL: by its attribute
  char *name;          // the server's; NULL: not found
} FolderSearch;

// "Archive/Sent%2F1" of the server's "Archive.Sent/1".
static char *shown_path(const MailboxFolder *folder) {
  g_auto(GStrv) levels = name_folder_levels(folder->name, folder->delimiter);
  for (char **level = levels; *level != NULL; level++) {
    char *shown = name_folder(*level, NULL);
    g_free(*level);
    *level = shown;
  }
  return g_strjoinv("/", levels);
}

static bool is_wanted(const FolderSearch *search, const MailboxFolder *folder) {
  if (folder->attributes & MAILBOX_NOSELECT) return false;
  if (search->wanted == NULL) return (folder->attributes & MAILBOX_SENT) != 0;
  g_autofree char *shown = shown_path(folder);
  return strcmp(shown, search->wanted) == 0;
}

static bool take_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  FolderSearch *search = data;
  if (search->name == NULL && is_wanted(search, folder)) search->name = g_strdup(folder->name);
  return true;
}

// There was none just now, and none is needed.
static bool is_known_absent(const Session *session, const Copy *copy) {
  int64_t age_us = g_get_monotonic_time() - session->no_sent_us;
  return copy->folder == NULL && session->no_sent_us > 0 && age_us < ABSENT_US;
}

// The same for all copies of a connection: found once. Where there is none it is looked for again
// and again, since it may be made at any time, but not for each letter of a burst.
static bool find_folder(Session *session, const Copy *copy, GError **error) {
  FolderSearch search = {.wanted = copy->folder};
  if (session->sent_folder != NULL || is_known_absent(session, copy)) return true;
  if (!mailbox_list(session->mailbox, take_folder, NULL, &search, error)) {
    g_free(search.name);
    return false;
  }
  session->sent_folder = search.name;
  session->no_sent_us = search.name == NULL ? g_get_monotonic_time() : 0;
  if (search.name != NULL || copy->folder == NULL) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_GONE, "there is no folder %s to keep sent mail in",
              copy->folder);
  return false;
}

// A letter whose writer gave it an empty Message-ID cannot be told from others.
static bool look(Session *session, const Letter *letter, bool *found, GError **error) {
  *found = false;
  if (*letter_id(letter) == '\0') return true;
  session_set_folder(session, NULL, false);
  return mailbox_find(session->mailbox, session->sent_folder, letter_id_field(letter),
                      letter_id(letter), found, error);
}

static ssize_t read_letter(void *buffer, size_t size, gpointer data, GError **error) {
  return letter_stream_read(data, buffer, size, error);
}

static bool append(Session *session, Copy *copy, const Letter *letter, GError **error) {
  g_autoptr(LetterStream) stream = letter_stream_new_copy(letter, copy->fd);
  const MailboxAppend message = {.folder = session->sent_folder,
                                 .flags = "\\Seen",
                                 .internaldate = copy->sent_at,
                                 .size = letter_copy_size(letter),
                                 .read = read_letter,
                                 .data = stream};
  return mailbox_append(session->mailbox, &message, &copy->uncertain, error);
}

static bool try_copy(Session *session, Job *job, const Letter *letter, GError **error) {
  Copy *copy = job->copy;
  bool found = false;
  if (!session_connect(session, job, error)) return false;
  bool keeps_itself = copy->folder == NULL && mailbox_keeps_sent(session->mailbox);
  copy->outcome = COPY_UNWANTED;
  if (keeps_itself != copy->only_looks) return true;
  if (!find_folder(session, copy, error)) return false;
  if (session->sent_folder == NULL) return true;
  if (copy->looks_first || copy->only_looks) {
    if (!look(session, letter, &found, error)) return false;
    copy->outcome = found ? COPY_FOUND : COPY_ABSENT;
    if (found || copy->only_looks) return true;
  }
  copy->outcome = COPY_SAVED;
  return append(session, copy, letter, error);
}

bool session_copy(Session *session, Job *job, GError **error) {
  g_autoptr(GError) failure = NULL;
  bool was_connected = session->mailbox != NULL;
  g_autoptr(Letter) letter = copy_read(job->copy, error);
  if (letter == NULL) return false;
  if (try_copy(session, job, letter, &failure)) return true;
  // A folder that was renamed meanwhile is looked up again at the next try.
  g_clear_pointer(&session->sent_folder, g_free);
  session->no_sent_us = 0;
  bool is_lost = net_error_ends_connection(failure);
  if (is_lost) session_disconnect(session);
  if (is_lost && !job->copy->uncertain && session_may_retry(session, job, was_connected, failure)) {
    g_info("%s: %s; connecting again", session->name, failure->message);
    g_clear_error(&failure);
    if (try_copy(session, job, letter, &failure)) return true;
    if (net_error_ends_connection(failure)) session_disconnect(session);
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}
