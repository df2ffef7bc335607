// What is in open files: read, write, resize.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

static ssize_t read_note(const char *note, void *buffer, size_t size, off_t offset) {
  size_t length = strlen(note);
  if (offset < 0 || (size_t)offset >= length) return 0;
  size_t part = MIN(size, length - (size_t)offset);
  memcpy(buffer, note + offset, part);
  return (ssize_t)part;
}

int outbox_handle_fd(const OutboxHandle *handle) {
  return handle->note != NULL ? -1 : handle->letter->fd;
}

ssize_t outbox_read(OutboxHandle *handle, void *buffer, size_t size, off_t offset, GError **error) {
  if (handle->note != NULL) return read_note(handle->note, buffer, size, offset);
  ssize_t got = pread(handle->letter->fd, buffer, size, offset);
  if (got < 0) outbox_set_error(error, errno, handle->letter->row.name, g_strerror(errno));
  return got;
}

static void set_changed(OutboxLetter *letter, uint64_t size) {
  letter->size = size;
  letter->revision++;
  letter->row.mtime_ns = letter->row.ctime_ns = now_ns();
}

// What its writer was told of, it may not heed: a letter that lacks a part is not sent.
static bool set_broken(OutboxLetter *letter, int code, GError **error) {
  letter->row.broken = code;
  return outbox_set_error(error, code, letter->row.name, g_strerror(code));
}

// What was said of the text that is gone does not hold for the next: that one's header says who
// gets it, also those who have got the other.
static void begin_anew(OutboxLetter *letter) {
  OutboxRow *row = &letter->row;
  row->broken = 0;
  row->perhaps_sent = row->copied = false;
  g_clear_pointer(&row->message_id, g_free);
  row->date = 0;
  g_ptr_array_set_size(letter->recipients, 0);
  Envelope envelope = {.from = g_steal_pointer(&row->envelope.from)};
  envelope_clear(&row->envelope);
  row->envelope = envelope;
}

bool outbox_resize(OutboxLetter *letter, uint64_t size, GError **error) {
  if (size > INT64_MAX) return outbox_set_error(error, EFBIG, letter->row.name, "too large");
  if (ftruncate(letter->fd, (off_t)size) < 0) return set_broken(letter, errno, error);
  set_changed(letter, size);
  if (size == 0) begin_anew(letter);
  return true;
}

static bool may_write(const OutboxHandle *handle, GError **error) {
  if (handle->wants_name)
    return outbox_set_error(error, EBUSY, handle->letter->row.name, "is being sent");
  return handle->writes || outbox_set_error(error, EBADF, "a letter", "not opened for writing");
}

void outbox_note_writer(OutboxHandle *handle, pid_t pid) {
  handle->writer = pid;
}

ssize_t outbox_write(OutboxHandle *handle, const void *bytes, size_t size, off_t offset,
                     GError **error) {
  OutboxLetter *letter = handle->letter;
  if (!may_write(handle, error)) return -1;
  if (offset == OUTBOX_APPEND) offset = (off_t)letter->size;
  size_t done = outbox_file_write(letter->fd, bytes, size, offset);
  if (done < size) set_broken(letter, errno, error);
  if (done > 0) set_changed(letter, MAX(letter->size, (uint64_t)offset + done));
  letter->author = handle->process;
  handle->has_written = true;
  return done == size ? (ssize_t)done : -1;
}

// Without a writer, only what is not on its way can be resized by its path.
static bool truncate_path(Outbox *outbox, uint64_t ino, uint64_t size, GError **error) {
  OutboxLetter *letter = outbox_get_letter(outbox, ino, error);
  if (letter == NULL) return false;
  if (letter->moving || outbox_phase_is_waiting(letter->row.phase))
    return outbox_set_error(error, EBUSY, letter->row.name, "cannot be resized now");
  outbox_table_part(outbox->table, letter);
  bool done = outbox_open_bytes(outbox, letter, error) && outbox_resize(letter, size, error);
  outbox_close_idle(letter);
  if (done && letter->journaled) outbox_store(outbox, letter, NULL, NULL);
  return done;
}

static bool is_written_elsewhere(const OutboxHandle *handle) {
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, handle->outbox->handles);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    const OutboxHandle *other = key;
    bool is_same = other->letter == handle->letter && other->writes;
    if (is_same && !outbox_process_is(other->process, handle->process)) return true;
  }
  return false;
}

// sort -o and truncate open a file as it is and empty it then, which takes a letter of another
// program its name only, as O_TRUNC does: one that it has written, or is about to write.
static bool is_of_another(const OutboxHandle *handle) {
  const OutboxLetter *letter = handle->letter;
  if (!letter->linked || letter->row.phase != OUTBOX_OPEN || handle->has_written ||
      !outbox_name_is_sendable(letter->row.name))
    return false;
  return letter->size > 0 ? !outbox_process_is(letter->author, handle->process)
                          : is_written_elsewhere(handle);
}

static void change_letter(OutboxHandle *handle, OutboxLetter *fresh) {
  OutboxLetter *letter = handle->letter;
  letter->handles--;
  if (handle->writes) {
    letter->writers--;
    letter->writer = letter->author;
  }
  outbox_close_idle(letter);
  handle->letter = fresh;
  handle->writes = true;
  handle->wants_name = false;
  handle->flushed = 0;
  fresh->handles = fresh->writers = 1;
  fresh->writer = handle->process;
}

// The other goes on as if it had not been opened again.
static bool take_name(OutboxHandle *handle, GError **error) {
  Outbox *outbox = handle->outbox;
  OutboxLetter *letter = handle->letter;
  bool is_draft = letter->writers == 1 && outbox_is_locked(outbox, letter->row.name);
  if (is_draft) letter->row.phase = OUTBOX_DRAFT;
  OutboxLetter *fresh = outbox_replace_letter(outbox, letter, error);
  if (fresh == NULL) {
    letter->row.phase = OUTBOX_OPEN;
    return false;
  }
  change_letter(handle, fresh);
  if (letter->writers == 0 && !is_draft) outbox_close_letter(outbox, letter, NULL, NULL);
  return true;
}

// It may be gone by now, or lie in failed/.
static bool take_name_of_sent(OutboxHandle *handle, GError **error) {
  OutboxLetter *letter = handle->letter;
  if (letter->moving) return outbox_set_error(error, EBUSY, letter->row.name, "is being renamed");
  if (!letter->linked || !outbox_is_on_its_way(letter))
    return outbox_set_error(error, ENOENT, letter->row.name, "is not there any more");
  OutboxLetter *fresh = outbox_replace_letter(handle->outbox, letter, error);
  if (fresh == NULL) return false;
  change_letter(handle, fresh);
  return true;
}

bool outbox_truncate(Outbox *outbox, uint64_t ino, OutboxHandle *handle, uint64_t size,
                     GError **error) {
  if (handle == NULL) return truncate_path(outbox, ino, size, error);
  if (handle->wants_name && size == 0) return take_name_of_sent(handle, error);
  if (!may_write(handle, error)) return false;
  if (size == 0 && is_of_another(handle)) return take_name(handle, error);
  return outbox_resize(handle->letter, size, error);
}
