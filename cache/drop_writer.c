#include "cache/drop_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/drop_format.h"
#include "cache/outbox.h"

struct DropWriter {
  int directory_fd, letter_fd;
  char *id;
  bool committed;
  void (*after_step)(gpointer data);
  gpointer data;
};

static bool fail(const DropWriter *writer, const char *doing, GError **error) {
  int code = errno;
  g_set_error(error, OUTBOX_ERROR, code, "cannot %s in %s: %s", doing, DROP_DIRECTORY,
              g_strerror(code));
  return false;
}

static void tell_step(const DropWriter *writer) {
  if (writer->after_step != NULL) writer->after_step(writer->data);
}

static char *make_id(void) {
  g_autoptr(GDateTime) now = g_date_time_new_now_utc();
  g_autofree char *second = g_date_time_format(now, "%Y%m%d-%H%M%S");
  return g_strdup_printf("%s-%06d-%08x", second, g_date_time_get_microsecond(now), g_random_int());
}

static int create(const DropWriter *writer, const char *suffix) {
  g_autofree char *name = drop_file_name(writer->id, suffix);
  return openat(writer->directory_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                0600);
}

DropWriter *drop_writer_new(const char *account_directory, GError **error) {
  g_autoptr(DropWriter) writer = g_new0(DropWriter, 1);
  writer->letter_fd = -1;
  writer->id = make_id();
  writer->directory_fd = drop_directory_open(account_directory, error);
  if (writer->directory_fd < 0) return NULL;
  writer->letter_fd = create(writer, DROP_LETTER);
  if (writer->letter_fd < 0) {
    fail(writer, "make a letter", error);
    return NULL;
  }
  // Against drop_sweep.
  flock(writer->letter_fd, LOCK_EX);
  return g_steal_pointer(&writer);
}

static void remove_file(const DropWriter *writer, const char *suffix) {
  g_autofree char *name = drop_file_name(writer->id, suffix);
  unlinkat(writer->directory_fd, name, 0);
}

void drop_writer_free(DropWriter *writer) {
  if (writer == NULL) return;
  if (writer->letter_fd >= 0 && !writer->committed) {
    remove_file(writer, DROP_UNFINISHED);
    remove_file(writer, DROP_LETTER);
  }
  if (writer->letter_fd >= 0) close(writer->letter_fd);
  if (writer->directory_fd >= 0) close(writer->directory_fd);
  g_free(writer->id);
  g_free(writer);
}

void drop_writer_watch(DropWriter *writer, void (*after_step)(gpointer data), gpointer data) {
  writer->after_step = after_step;
  writer->data = data;
}

int drop_writer_fd(const DropWriter *writer) {
  return writer->letter_fd;
}

const char *drop_writer_id(const DropWriter *writer) {
  return writer->id;
}

static bool write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t put = write(fd, bytes, size);
    if (put < 0 && errno != EINTR) return false;
    if (put > 0) {
      bytes += put;
      size -= (size_t)put;
    }
  }
  return true;
}

static bool write_envelope(const DropWriter *writer, const char *name, const Envelope *envelope,
                           GError **error) {
  size_t size;
  g_autofree char *text = drop_format_write(name, envelope, &size);
  int fd = create(writer, DROP_UNFINISHED);
  if (fd < 0) return fail(writer, "make an envelope", error);
  bool done =
      (write_all(fd, text, size) && fsync(fd) == 0) || fail(writer, "write an envelope", error);
  close(fd);
  return done;
}

// The disk did not take the commit, so it is taken back; if that is too late, the outbox has the
// letter already, on disk in its own way.
static bool take_back(DropWriter *writer, const char *envelope, GError **error) {
  fail(writer, "write", error);
  if (unlinkat(writer->directory_fd, envelope, 0) < 0 && errno == ENOENT) {
    g_clear_error(error);
    return true;
  }
  writer->committed = false;
  return false;
}

static bool put_in_place(DropWriter *writer, GError **error) {
  g_autofree char *from = drop_file_name(writer->id, DROP_UNFINISHED);
  g_autofree char *to = drop_file_name(writer->id, DROP_ENVELOPE);
  // The letter's name is on disk before the envelope's can be.
  if (fsync(writer->directory_fd) < 0) return fail(writer, "write", error);
  tell_step(writer);
  if (renameat(writer->directory_fd, from, writer->directory_fd, to) < 0)
    return fail(writer, "rename an envelope", error);
  writer->committed = true;
  tell_step(writer);
  return fsync(writer->directory_fd) == 0 || take_back(writer, to, error);
}

bool drop_writer_commit(DropWriter *writer, const char *name, const Envelope *envelope,
                        GError **error) {
  if (fsync(writer->letter_fd) < 0) return fail(writer, "write a letter", error);
  tell_step(writer);
  if (!write_envelope(writer, name, envelope, error)) return false;
  tell_step(writer);
  if (!put_in_place(writer, error)) return false;
  tell_step(writer);
  return true;
}
