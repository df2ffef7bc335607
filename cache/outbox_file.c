// Open files: create, open.
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

bool outbox_open_bytes(Outbox *outbox, OutboxLetter *letter, GError **error) {
  if (letter->fd < 0) letter->fd = outbox_file_open(outbox->letters_fd, letter->row.id, O_RDWR);
  return letter->fd >= 0 || outbox_set_error(error, errno, letter->row.name, g_strerror(errno));
}

OutboxLetter *outbox_replace_letter(Outbox *outbox, OutboxLetter *letter, GError **error) {
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

bool outbox_is_on_its_way(const OutboxLetter *letter) {
  return letter->row.phase != OUTBOX_HELD && outbox_phase_is_waiting(letter->row.phase);
}

// Makes the letter one that may be written to; *letter becomes another where a new one takes its
// place.
static bool prepare_writing(Outbox *outbox, OutboxLetter **letter, bool truncate,
                            OutboxProcess process, GError **error) {
  if ((*letter)->moving)
    return outbox_set_error(error, EBUSY, (*letter)->row.name, "is being renamed");
  if (truncate && outbox_stands_alone(*letter, process)) {
    *letter = outbox_replace_letter(outbox, *letter, error);
    return *letter != NULL;
  }
  if (outbox_is_on_its_way(*letter))
    return outbox_set_error(error, EBUSY, (*letter)->row.name, "is being sent");
  if (!outbox_open_bytes(outbox, *letter, error)) return false;
  outbox_table_part(outbox->table, *letter);
  if (truncate && (*letter)->size > 0 && !outbox_resize(*letter, 0, error)) return false;
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

// What is on its way is not written to any more. Who opens it as it is may still only want its
// name, which is known when it is emptied (sort -o, truncate) or written to.
static bool is_to_be_emptied(const OutboxLetter *letter, int open_flags) {
  return outbox_is_on_its_way(letter) && !letter->moving &&
         (open_flags & (O_TRUNC | O_APPEND)) == 0;
}

OutboxHandle *outbox_open_file(Outbox *outbox, uint64_t ino, int open_flags, pid_t pid,
                               GError **error) {
  OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  bool truncate = (open_flags & O_TRUNC) != 0;
  bool writes = (open_flags & O_ACCMODE) != O_RDONLY || truncate;
  if (letter != NULL && (ino & 1) != 0) return open_note(outbox, letter, writes, error);
  if (letter == NULL || !letter->linked) {
    outbox_set_error(error, ESTALE, "a letter", "is gone");
    return NULL;
  }
  OutboxProcess process = writes ? outbox_process_find(pid) : (OutboxProcess){0};
  bool wants_name = writes && is_to_be_emptied(letter, open_flags);
  if (wants_name) writes = false;
  if ((!writes || prepare_writing(outbox, &letter, truncate, process, error)) &&
      outbox_open_bytes(outbox, letter, error)) {
    OutboxHandle *handle = open_letter(outbox, letter, writes, process);
    handle->wants_name = wants_name;
    if (writes) store_opened(outbox, letter);
    return handle;
  }
  if (letter != NULL) outbox_close_idle(letter);
  return NULL;
}

OutboxLetter *outbox_get_letter(const Outbox *outbox, uint64_t ino, GError **error) {
  OutboxLetter *letter = outbox_table_get(outbox->table, ino);
  if (letter != NULL && (ino & 1) == 0) return letter;
  outbox_set_error(error, letter != NULL ? EPERM : ENOENT, "a letter",
                   letter != NULL ? "a note, to be read only" : "is gone");
  return NULL;
}
