// Taking drops: letters that other programs have put into incoming/.
//
//   asked for ──> list ──> a job for each drop: linked, checked, stored, removed there ──> list ...
//                  └── none is left: those who asked are answered
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib-unix.h>

#include "cache/drop.h"
#include "cache/outbox_private.h"

// When what could not be taken, on a full disk, is tried again.
#define AGAIN_S 30

typedef struct {
  OutboxDone done;
  gpointer data;
} Asker;

struct OutboxIntake {
  GSource *watch;  // NULL: the kernel cannot tell of new drops
  GSource *again;  // NULL: nothing is to be tried again
  int watch_fd;
  bool running;          // between the first list and the last
  unsigned under_way;    // jobs of this round still to be answered
  char *after;           // the last drop of this round so far; NULL: none
  GError *failed;        // why one of this round stays where it is; NULL: none does
  GArray *asked, *next;  // of Asker: who waits for this round, and for the one after
  GHashTable *stuck;     // set of char *: ids that were taken, and are there all the same
};

OutboxIntake *outbox_intake_new(void) {
  OutboxIntake *intake = g_new0(OutboxIntake, 1);
  intake->watch_fd = -1;
  intake->asked = g_array_new(false, false, sizeof(Asker));
  intake->next = g_array_new(false, false, sizeof(Asker));
  intake->stuck = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return intake;
}

static void drop_source(GSource **source) {
  if (*source == NULL) return;
  g_source_destroy(*source);
  g_clear_pointer(source, g_source_unref);
}

void outbox_intake_free(OutboxIntake *intake) {
  if (intake == NULL) return;
  drop_source(&intake->watch);
  drop_source(&intake->again);
  if (intake->watch_fd >= 0) close(intake->watch_fd);
  g_free(intake->after);
  g_clear_error(&intake->failed);
  g_array_unref(intake->asked);
  g_array_unref(intake->next);
  g_hash_table_unref(intake->stuck);
  g_free(intake);
}

// -- A letter that was taken.

static void name_letter(Outbox *outbox, OutboxLetter *letter) {
  char *name = outbox_table_free_name(outbox->table, OUTBOX_INO, letter->row.name, 0);
  bool same = strcmp(name, letter->row.name) == 0;
  g_free(letter->row.name);
  letter->row.name = name;
  outbox_table_link(outbox->table, letter);
  if (!same) outbox_store_label(outbox, letter, false);
}

static OutboxLetter *add_letter(Outbox *outbox, SpoolJob *job) {
  char file[24];
  struct stat status = {0};
  outbox_file_name(job->row.id, file);
  fstatat(outbox->letters_fd, file, &status, AT_SYMLINK_NOFOLLOW);
  OutboxLetter *letter = outbox_table_add(outbox->table, &job->row);
  letter->size = (uint64_t)status.st_size;
  letter->journaled = true;
  letter->revision = letter->synced = letter->checked = 1;
  name_letter(outbox, letter);
  return letter;
}

static void take_in(Outbox *outbox, SpoolJob *job) {
  if (job->error != NULL) {
    g_warning("outbox: %s", job->error->message);
    g_hash_table_add(outbox->intake->stuck, g_strdup(job->row.origin));
  }
  OutboxLetter *letter = add_letter(outbox, job);
  if (job->error != NULL)
    outbox_fail(outbox, letter, false, job->error->message, NULL, NULL, NULL);
  else if (job->refused != NULL)
    outbox_fail(outbox, letter, false, job->refused->message, NULL, NULL, NULL);
  else
    outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
  outbox_tell_changed(outbox, OUTBOX_INO);
  outbox_hurry(outbox);
  outbox_run_agenda(outbox);
}

// -- A round.

static void list_next(Outbox *outbox);

// Of many that fail for one reason, one is told of.
static void set_failed(OutboxIntake *intake, const GError *error) {
  if (intake->failed != NULL) return;
  g_warning("outbox: %s", error->message);
  intake->failed = g_error_copy(error);
}

static void take_drop_answer(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  OutboxIntake *intake = outbox->intake;
  if (job->is_taken)
    take_in(outbox, job);
  else
    set_failed(intake, job->error);
  if (--intake->under_way == 0) list_next(outbox);
}

static void fill_row(Outbox *outbox, Drop *drop, OutboxRow *row) {
  row->ino = outbox_ino_of_number(row->id);
  row->directory = OUTBOX_INO;
  row->name = drop->name != NULL ? g_strdup(drop->name) : drop_file_name(drop->id, DROP_LETTER);
  row->phase = drop->broken == NULL ? OUTBOX_QUEUED : OUTBOX_DRAFT;
  row->mode = 0600;
  row->atime_ns = row->mtime_ns = row->ctime_ns = g_get_real_time() * 1000;
  row->queued_at = outbox_now_s(outbox);
  row->envelope = drop->envelope;
  drop->envelope = (Envelope){0};
  row->origin = g_strdup(drop->id);
  outbox_set_defaults(outbox, row);
}

static bool push_drop(Outbox *outbox, Drop *drop, GError **error) {
  uint64_t number;
  if (!outbox_new_number(outbox, &number, error)) return false;
  SpoolJob *job = spool_job_new(SPOOL_PUT);
  job->row.id = number;
  fill_row(outbox, drop, &job->row);
  job->take = job->sync = job->put_refused = true;
  job->check = drop->broken == NULL;
  job->max_size = outbox_max_size(outbox);
  if (drop->broken != NULL)
    g_set_error(&job->refused, OUTBOX_ERROR, EINVAL,
                "who is to get it is not known, the envelope it came with is broken: %s",
                drop->broken);
  job->done = take_drop_answer;
  outbox->intake->under_way++;
  outbox_spool_push(outbox->spool, job);
  return true;
}

static gboolean on_again(gpointer data) {
  Outbox *outbox = data;
  drop_source(&outbox->intake->again);
  outbox_take_drops(outbox, NULL, NULL);
  return G_SOURCE_REMOVE;
}

static void set_again(Outbox *outbox) {
  OutboxIntake *intake = outbox->intake;
  if (intake->again != NULL) return;
  intake->again = g_timeout_source_new_seconds(AGAIN_S);
  g_source_set_callback(intake->again, on_again, outbox, NULL);
  g_source_attach(intake->again, outbox->context);
}

static void begin_round(Outbox *outbox) {
  OutboxIntake *intake = outbox->intake;
  GArray *asked = intake->asked;
  intake->asked = intake->next;
  intake->next = asked;
  intake->running = true;
  g_clear_error(&intake->failed);
  g_clear_pointer(&intake->after, g_free);
  list_next(outbox);
}

static void end_round(Outbox *outbox) {
  OutboxIntake *intake = outbox->intake;
  if (intake->failed != NULL) set_again(outbox);
  for (unsigned i = 0; i < intake->asked->len; i++) {
    const Asker *asker = &g_array_index(intake->asked, Asker, i);
    if (asker->done != NULL) asker->done(intake->failed, asker->data);
  }
  g_array_set_size(intake->asked, 0);
  intake->running = false;
  if (intake->next->len > 0) begin_round(outbox);
}

static void take_list(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  OutboxIntake *intake = outbox->intake;
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < job->drops->len && error == NULL; i++) {
    Drop *drop = g_ptr_array_index(job->drops, i);
    if (!g_hash_table_contains(intake->stuck, drop->id)) push_drop(outbox, drop, &error);
    g_free(intake->after);
    intake->after = g_strdup(drop->id);
  }
  const GError *failed = job->error != NULL ? job->error : error;
  if (failed != NULL) set_failed(intake, failed);
  if (intake->under_way > 0) return;
  if (job->drops->len == 0 || failed != NULL)
    end_round(outbox);
  else
    list_next(outbox);
}

static void list_next(Outbox *outbox) {
  SpoolJob *job = spool_job_new(SPOOL_LIST);
  job->row.origin = g_strdup(outbox->intake->after);
  job->done = take_list;
  outbox_spool_push(outbox->spool, job);
}

void outbox_take_drops(Outbox *outbox, OutboxDone done, gpointer data) {
  const Asker asker = {done, data};
  g_array_append_val(outbox->intake->next, asker);
  if (!outbox->intake->running) begin_round(outbox);
}

// -- What starts a round.

static gboolean on_news(gint fd, GIOCondition condition, gpointer data) {
  char events[4096];
  bool any = false;
  while (read(fd, events, sizeof events) > 0)
    any = true;
  if (any) outbox_take_drops(data, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static bool watch(Outbox *outbox) {
  OutboxIntake *intake = outbox->intake;
  g_autofree char *path = g_build_filename(outbox->options.directory, DROP_DIRECTORY, NULL);
  intake->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (intake->watch_fd < 0 ||
      inotify_add_watch(intake->watch_fd, path, IN_MOVED_TO | IN_ONLYDIR) < 0)
    return false;
  intake->watch = g_unix_fd_source_new(intake->watch_fd, G_IO_IN);
  g_source_set_callback(intake->watch, G_SOURCE_FUNC(on_news), outbox, NULL);
  g_source_attach(intake->watch, outbox->context);
  return true;
}

void outbox_start_intake(Outbox *outbox) {
  if (!watch(outbox))
    g_message("outbox: letters of mailfs-sendmail are only seen when it tells of them: %s",
              g_strerror(errno));
  outbox_take_drops(outbox, NULL, NULL);
}

// -- At the start.

// The row was stored, and the end came before the drop was gone.
bool outbox_settle_drops(Outbox *outbox, GHashTable *origins, GError **error) {
  g_autoptr(GPtrArray) ids = drop_list(outbox->incoming_fd, NULL, G_MAXINT, error);
  if (ids == NULL) return false;
  bool settled = true;
  for (unsigned i = 0; settled && i < ids->len; i++) {
    if (!g_hash_table_contains(origins, ids->pdata[i])) continue;
    g_autofree char *letter = drop_file_name(ids->pdata[i], DROP_LETTER);
    g_autofree char *envelope = drop_file_name(ids->pdata[i], DROP_ENVELOPE);
    unlinkat(outbox->incoming_fd, letter, 0);
    settled = unlinkat(outbox->incoming_fd, envelope, 0) == 0;
  }
  if (!settled || fsync(outbox->incoming_fd) < 0)
    return outbox_set_error(error, errno, DROP_DIRECTORY, g_strerror(errno));
  drop_sweep(outbox->incoming_fd);
  return true;
}
