// The attributes of files: mode, times, and who sends a letter.
#include <errno.h>

#include "cache/outbox_private.h"

// While it is renamed, the row on its way has another place; the rename's answer stores the rest.
static void store_attributes(Outbox *outbox, OutboxLetter *letter) {
  letter->row.ctime_ns = MAX(g_get_real_time() * 1000, letter->row.ctime_ns + 1);
  if (!letter->moving) outbox_store_label(outbox, letter, true);
}

bool outbox_set_mode(Outbox *outbox, uint64_t ino, mode_t mode, GError **error) {
  OutboxLetter *letter = outbox_get_letter(outbox, ino, error);
  if (letter == NULL) return false;
  letter->row.mode = mode & 0777;
  store_attributes(outbox, letter);
  return true;
}

bool outbox_set_times(Outbox *outbox, uint64_t ino, int64_t atime_ns, int64_t mtime_ns,
                      GError **error) {
  OutboxLetter *letter = outbox_get_letter(outbox, ino, error);
  if (letter == NULL) return false;
  letter->row.atime_ns = atime_ns;
  letter->row.mtime_ns = mtime_ns;
  store_attributes(outbox, letter);
  return true;
}

// 0, or the errno that stands against another sender now.
static int check_settled(const OutboxLetter *letter) {
  switch (letter->row.phase) {
    case OUTBOX_OPEN:
    case OUTBOX_DRAFT:
    case OUTBOX_HELD:
    case OUTBOX_FAILED:
      return letter->moving ? EBUSY : 0;
    case OUTBOX_QUEUED:
    case OUTBOX_SENDING:
    case OUTBOX_SENT_DATA:
    case OUTBOX_ACCEPTED:
    case OUTBOX_KEPT:
      return EBUSY;
  }
  return EBUSY;
}

// *from: what is to be stored.
static OutboxLetter *prepare_sender(Outbox *outbox, uint64_t ino, const char *text, char **from,
                                    GError **error) {
  OutboxLetter *letter = outbox_get_letter(outbox, ino, error);
  if (letter == NULL) return NULL;
  int code = check_settled(letter);
  g_autoptr(GError) broken = NULL;
  *from = text != NULL ? envelope_read_sender(text, &broken) : NULL;
  if (broken != NULL) code = EINVAL;
  if (code == 0) return letter;
  g_clear_pointer(from, g_free);
  outbox_set_error(error, code, letter->row.name,
                   broken != NULL ? broken->message : "is on its way already");
  return NULL;
}

// One that is written for the first time is stored when it is flushed or closed.
void outbox_set_envelope_from(Outbox *outbox, uint64_t ino, const char *from, OutboxDone done,
                              gpointer data) {
  g_autoptr(GError) error = NULL;
  char *sender;
  OutboxLetter *letter = prepare_sender(outbox, ino, from, &sender, &error);
  if (letter == NULL) {
    done(error, data);
    return;
  }
  g_free(letter->row.envelope.from);
  letter->row.envelope.from = sender;
  letter->row.ctime_ns = MAX(g_get_real_time() * 1000, letter->row.ctime_ns + 1);
  if (letter->journaled && letter->linked)
    outbox_store(outbox, letter, done, data);
  else
    done(NULL, data);
}
