// Open files: create, read, write.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "cache/outbox_process.h"
#include "cache/outbox_rules.h"

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

void outbox_handle_free(gpointer item) {
  OutboxHandle *handle = item;
  g_free(handle->note);
  g_free(handle);
}

void outbox_close_idle(OutboxLetter *letter) {
  if (letter->handles > 0 || letter->fd < 0) return;
  close(letter->fd);
  letter->fd = -1;
}

static OutboxHandle *handle_new(Outbox *outbox) {
  OutboxHandle *handle = g_new0(OutboxHandle, 1);
  handle->outbox = outbox;
  g_hash_table_add(outbox->handles, handle);
  return handle;
}

static OutboxHandle *open_letter(Outbox *outbox, OutboxLetter *letter, bool writes,
                                 OutboxProcess process) {
  OutboxHandle *handle = handle_new(outbox);
  handle->letter = letter;
  handle->writes = writes;
  handle->process = process;
  letter->handles++;
  if (writes) {
    letter->writers++;
    letter->writer = process;
  }
  return handle;
}

// A new, empty letter with a file of its own.
static OutboxLetter *make_letter(Outbox *outbox, const char *name, mode_t mode, GError **error) {
  uint64_t number;
  if (!outbox_new_number(outbox, &number, error)) return NULL;
  int fd = outbox_file_open(outbox->letters_fd, number, O_RDWR | O_CREAT | O_EXCL);
  if (fd < 0) {
    outbox_set_error(error, errno, name, g_strerror(errno));
    return NULL;
  }
  OutboxRow row = {
      .id = number,
      .ino = outbox_ino_of_number(number),
      .directory = OUTBOX_INO,
      .name = g_strdup(name),
      .phase = OUTBOX_OPEN,
      .mode = mode & 0777,
      .mtime_ns = now_ns(),
  };
  row.atime_ns = row.ctime_ns = row.mtime_ns;
  OutboxLetter *letter = outbox_table_add(outbox->table, &row);
  letter->fd = fd;
  return letter;
}

static bool may_create(Outbox *outbox, uint64_t parent, const char *name, GError **error) {
  if (parent != OUTBOX_INO) return outbox_set_error(error, EPERM, name, "only we put files there");
  if (strlen(name) > OUTBOX_NAME_MAX)
    return outbox_set_error(error, ENAMETOOLONG, name, "the name is too long");
  if (!outbox_name_is_allowed(name))
    return outbox_set_error(error, EINVAL, name, "not a name for a letter");
  if (strcmp(name, OUTBOX_FAILED_NAME) == 0 ||
      outbox_table_find(outbox->table, parent, name) != NULL)
    return outbox_set_error(error, EEXIST, name, "exists");
  return true;
}

OutboxHandle *outbox_create(Outbox *outbox, uint64_t parent, const char *name, mode_t mode,
                            pid_t pid, OutboxFile *file, GError **error) {
  if (!may_create(outbox, parent, name, error)) return NULL;
  OutboxLetter *letter = make_letter(outbox, name, mode, error);
  if (letter == NULL) return NULL;
  outbox_table_link(outbox->table, letter);
  outbox_touch(outbox, parent);
  OutboxProcess process = outbox_process_find(pid);
  OutboxHandle *handle = open_letter(outbox, letter, true, process);
  outbox_return_removed(outbox, name, process);
  outbox_get(outbox, letter->row.ino, file);
  return handle;
}

static OutboxHandle *open_note(Outbox *outbox, const OutboxLetter *letter, bool writes,
                               GError **error) {
  if (letter->note == NULL || writes) {
    outbox_set_error(error, writes ? EPERM : ENOENT, letter->row.name, "a note, to be read only");
    return NULL;
  }
  OutboxHandle *handle = handle_new(outbox);
  handle->note = g_strdup(letter->note);
  return handle;
}

static bool open_file(Outbox *outbox, OutboxLetter *letter, GError **error) {
  if (letter->fd < 0) letter->fd = outbox_file_open(outbox->letters_fd, letter->row.id, O_RDWR);
  return letter->fd >= 0 || outbox_set_error(error, errno, letter->row.name, g_strerror(errno));
}

// The letter goes on under another name and inode; a new one takes its place.
static OutboxLetter *replace_letter(Outbox *outbox, OutboxLetter *letter, GError **error) {
  g_autofree char *name = g_strdup(letter->row.name);
  uint64_t ino = letter->row.ino;
  OutboxLetter *fresh = make_letter(outbox, name, letter->row.mode, error);
  if (fresh == NULL) return NULL;
  if (!outbox_step_aside(outbox, letter, false, error)) {
    outbox_remove_letter(outbox, fresh, NULL, NULL);
    return NULL;
  }
  outbox_table_renumber(outbox->table, fresh, ino);
  outbox_table_link(outbox->table, fresh);
  return fresh;
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

static bool resize(OutboxLetter *letter, uint64_t size, GError **error) {
  if (size > INT64_MAX) return outbox_set_error(error, EFBIG, letter->row.name, "too large");
  if (ftruncate(letter->fd, (off_t)size) < 0) return set_broken(letter, errno, error);
  set_changed(letter, size);
  if (size == 0) begin_anew(letter);
  return true;
}

// Makes the letter one that may be written to; *letter becomes another where a new one takes its
// place.
static bool prepare_writing(Outbox *outbox, OutboxLetter **letter, bool truncate,
                            OutboxProcess process, GError **error) {
  if ((*letter)->moving)
    return outbox_set_error(error, EBUSY, (*letter)->row.name, "is being renamed");
  if (truncate && outbox_stands_alone(*letter, process)) {
    *letter = replace_letter(outbox, *letter, error);
    return *letter != NULL;
  }
  if ((*letter)->row.phase != OUTBOX_HELD && outbox_phase_is_waiting((*letter)->row.phase))
    return outbox_set_error(error, EBUSY, (*letter)->row.name, "is being sent");
  if (!open_file(outbox, *letter, error)) return false;
  outbox_table_part(outbox->table, *letter);
  if (truncate && (*letter)->size > 0 && !resize(*letter, 0, error)) return false;
  if ((*letter)->row.phase == OUTBOX_HELD)
    outbox_reopen_letter(outbox, *letter);
  else if ((*letter)->row.phase == OUTBOX_DRAFT)
    (*letter)->row.phase = OUTBOX_OPEN;
  return true;
}

// A crash from now on finds a file that was not finished.
static void store_opened(Outbox *outbox, OutboxLetter *letter) {
  bool is_kept = letter->row.phase == OUTBOX_OPEN || letter->row.phase == OUTBOX_FAILED;
  if (is_kept && letter->writers == 1 && letter->journaled)
    outbox_store(outbox, letter, NULL, NULL);
}

OutboxHandle *outbox_open_file(Outbox *outbox, uint64_t ino, int open_flags, pid_t pid,
                               GError **error) {
  OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  bool truncate = (open_flags & O_TRUNC) != 0;
  bool writes = (open_flags & O_ACCMODE) != O_RDONLY || truncate;
  if (letter != NULL && (ino & 1) != 0) return open_note(outbox, letter, writes, error);
  if (letter == NULL || !letter->linked) {
    outbox_set_error(error, ENOENT, "a letter", "is gone");
    return NULL;
  }
  OutboxProcess process = writes ? outbox_process_find(pid) : (OutboxProcess){0};
  if ((!writes || prepare_writing(outbox, &letter, truncate, process, error)) &&
      open_file(outbox, letter, error)) {
    OutboxHandle *handle = open_letter(outbox, letter, writes, process);
    if (writes) store_opened(outbox, letter);
    return handle;
  }
  if (letter != NULL) outbox_close_idle(letter);
  return NULL;
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

OutboxLetter *outbox_get_letter(const Outbox *outbox, uint64_t ino, GError **error) {
  OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  if (letter != NULL && (ino & 1) == 0) return letter;
  outbox_set_error(error, letter != NULL ? EPERM : ENOENT, "a letter",
                   letter != NULL ? "a note, to be read only" : "is gone");
  return NULL;
}

// How many bytes were written; where not all, errno tells why.
static size_t write_all(int fd, const char *bytes, size_t size, off_t offset) {
  size_t done = 0;
  while (done < size) {
    ssize_t put = pwrite(fd, bytes + done, size - done, offset + (off_t)done);
    if (put == 0) errno = EIO;
    if (put <= 0 && errno != EINTR) break;
    if (put > 0) done += (size_t)put;
  }
  return done;
}

void outbox_note_writer(OutboxHandle *handle, pid_t pid) {
  handle->writer = pid;
}

ssize_t outbox_write(OutboxHandle *handle, const void *bytes, size_t size, off_t offset,
                     GError **error) {
  OutboxLetter *letter = handle->letter;
  if (!handle->writes) {
    outbox_set_error(error, EBADF, "a letter", "not opened for writing");
    return -1;
  }
  if (offset == OUTBOX_APPEND) offset = (off_t)letter->size;
  size_t done = write_all(letter->fd, bytes, size, offset);
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
  bool done = open_file(outbox, letter, error) && resize(letter, size, error);
  outbox_close_idle(letter);
  return done;
}

// sort -o and truncate open a file as it is and empty it then, which takes a letter of another
// program its name only, as O_TRUNC does.
static bool is_of_another(const OutboxHandle *handle) {
  const OutboxLetter *letter = handle->letter;
  return letter->linked && letter->row.phase == OUTBOX_OPEN && letter->size > 0 &&
         outbox_name_is_sendable(letter->row.name) && !handle->has_written &&
         !outbox_process_is(letter->author, handle->process);
}

static void change_letter(OutboxHandle *handle, OutboxLetter *fresh) {
  OutboxLetter *letter = handle->letter;
  letter->handles--;
  letter->writers--;
  letter->writer = letter->author;
  outbox_close_idle(letter);
  handle->letter = fresh;
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
  OutboxLetter *fresh = replace_letter(outbox, letter, error);
  if (fresh == NULL) {
    letter->row.phase = OUTBOX_OPEN;
    return false;
  }
  change_letter(handle, fresh);
  if (letter->writers == 0 && !is_draft) outbox_close_letter(outbox, letter, NULL, NULL);
  return true;
}

bool outbox_truncate(Outbox *outbox, uint64_t ino, OutboxHandle *handle, uint64_t size,
                     GError **error) {
  if (handle == NULL) return truncate_path(outbox, ino, size, error);
  if (!handle->writes) return outbox_set_error(error, EBADF, "a letter", "not opened for writing");
  if (size == 0 && is_of_another(handle)) return take_name(handle, error);
  return resize(handle->letter, size, error);
}
