#include "fs/filesystem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/serve.h"

// How long the end waits for letters that are being put on disk.
#define LAST_WAIT_MS 5000

// libfuse writes a line piece by piece.
static void log_libfuse(enum fuse_log_level level, const char *format, va_list args) {
  static _Thread_local char line[1024];
  size_t used = strlen(line);
  vsnprintf(line + used, sizeof line - used, format, args);
  if (strchr(line, '\n') == NULL && strlen(line) < sizeof line - 1) return;
  GLogLevelFlags ours = level <= FUSE_LOG_WARNING ? G_LOG_LEVEL_WARNING
                        : level <= FUSE_LOG_INFO  ? G_LOG_LEVEL_INFO
                                                  : G_LOG_LEVEL_DEBUG;
  g_log(G_LOG_DOMAIN, ours, "%s", g_strchomp(line));
  line[0] = '\0';
}

// Takes the change; before INIT there is nobody to tell.
static void tell(Filesystem *filesystem, Change *change) {
  if (filesystem->notifier != NULL)
    notifier_tell(filesystem->notifier, change);
  else
    change_free(change);
}

static void on_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  Filesystem *filesystem = data;
  bool folder = paths_has(filesystem->paths, ino);
  ino_set_add(filesystem->moved, parent);
  tell(filesystem, change_new(CHANGE_REMOVED, parent, ino, folder, name));
}

static void on_added(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  Filesystem *filesystem = data;
  Thing thing;
  ino_set_add(filesystem->moved, parent);
  if (!paths_has(filesystem->paths, parent)) return;
  bool folder =
      tree_get(filesystem->tree, ino, &thing) == STORE_FOUND && thing_is_directory(&thing);
  tell(filesystem, change_new(CHANGE_ADDED, parent, ino, folder, name));
}

// While something is shown the mount is busy. So it is not where nobody needs it: of an unlink the
// kernel has told itself.
static void on_changed(uint64_t directory, bool is_no_news, gpointer data) {
  Filesystem *filesystem = data;
  g_autofree char *path = is_no_news ? NULL : paths_find(filesystem->paths, directory);
  ino_set_add(filesystem->moved, directory);
  tell(filesystem, change_new(CHANGE_LISTING, directory, 0, true, path));
}

static void on_removed_letter(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  tell(data, change_new(CHANGE_REMOVED, parent, ino, false, name));
}

static void on_changed_letters(uint64_t directory, gpointer data) {
  tell(data, change_new(CHANGE_LISTING, directory, 0, true, NULL));
}

static void add_option(struct fuse_args *args, const char *option) {
  fuse_opt_add_arg(args, "-o");
  fuse_opt_add_arg(args, option);
}

// A comma or backslash in the source belongs to it.
static void add_source(struct fuse_args *args, const char *source) {
  g_autofree char *fsname = g_strdup_printf("fsname=%s", source);
  char *escaped = NULL;
  fuse_opt_add_opt_escaped(&escaped, fsname);
  add_option(args, escaped);
  free(escaped);
}

static struct fuse_session *make_session(Filesystem *filesystem, const FilesystemOptions *options) {
  struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
  fuse_opt_add_arg(&args, "mailfs");
  add_source(&args, options->source);
  add_option(&args, "subtype=mailfs");
  if (options->allow_other) add_option(&args, "allow_other,default_permissions");
  // The outbox stays writable, so only a tree without one is read-only to the kernel.
  if (options->read_only && filesystem->outbox == NULL) add_option(&args, "ro");
  if (options->fuse_options != NULL) add_option(&args, options->fuse_options);
  if (options->debug) fuse_opt_add_arg(&args, "-d");
  struct fuse_session *session = fuse_session_new(&args, &ops_table, sizeof ops_table, filesystem);
  fuse_opt_free_args(&args);
  return session;
}

static void set_options(Filesystem *filesystem, const FilesystemOptions *options) {
  const char *cache_dir = options->cache_dir != NULL ? options->cache_dir : "/";
  filesystem->mountpoint = g_strdup(options->mountpoint);
  filesystem->outbox_name = g_strdup(options->outbox_name);
  filesystem->cache_dir = g_strdup(cache_dir);
  filesystem->identity = (Identity){options->uid, options->gid, options->umask};
  filesystem->read_only = options->read_only;
  filesystem->timeout_ms = options->timeout_ms;
}

Filesystem *filesystem_new(const FilesystemOptions *options, Store *store, Outbox *outbox,
                           GMainContext *context, FilesystemEnded ended, gpointer data,
                           GError **error) {
  static const StoreListener store_listener = {
      .removed = on_removed, .added = on_added, .changed = on_changed};
  static const OutboxListener outbox_listener = {.removed = on_removed_letter,
                                                 .changed = on_changed_letters};
  g_autoptr(Filesystem) filesystem = g_new0(Filesystem, 1);
  filesystem->store = store;
  filesystem->outbox = options->outbox_name != NULL ? outbox : NULL;
  filesystem->context = g_main_context_ref(context);
  filesystem->ended = ended;
  filesystem->ended_data = data;
  set_options(filesystem, options);
  filesystem->opened = opened_new(store);
  filesystem->tree =
      tree_new(store, filesystem->outbox, filesystem->outbox_name, filesystem->opened);
  filesystem->pendings = pendings_new(store, context);
  filesystem->pushed = pushed_new();
  filesystem->outbox_dir =
      outbox_dir_new(filesystem->outbox, filesystem->tree, &filesystem->identity);
  filesystem->moved = ino_set_new();
  filesystem->estimates = estimates_new();
  filesystem->paths = paths_new();
  fuse_set_log_func(log_libfuse);
  filesystem->session = make_session(filesystem, options);
  if (filesystem->session == NULL) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "FUSE does not take these options: %s",
                options->fuse_options != NULL ? options->fuse_options : "none");
    return NULL;
  }
  store_set_listener(store, &store_listener, filesystem);
  if (filesystem->outbox != NULL)
    outbox_set_listener(filesystem->outbox, &outbox_listener, filesystem);
  return g_steal_pointer(&filesystem);
}

bool filesystem_mount(Filesystem *filesystem, FilesystemAnswers answers, gpointer data,
                      GError **error) {
  if (!mountpoint_prepare(filesystem->mountpoint, error)) return false;
  g_autofree char *where = mountpoint_resolve(filesystem->mountpoint);
  dev_t device;
  if (fuse_session_mount(filesystem->session, filesystem->mountpoint) != 0) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: cannot mount here",
                filesystem->mountpoint);
    return false;
  }
  if (where != NULL && mountpoint_find(where, &device))
    filesystem->announcer = announcer_new(where, device);
  filesystem->answers = answers;
  filesystem->answers_data = data;
  filesystem->reader = reader_new();
  serve_start(filesystem);
  return true;
}

static gboolean wake(gpointer data) {
  return G_SOURCE_CONTINUE;
}

// The notifier may wait for a lock that the kernel gives back only when we answer, and callers for
// letters on their way to the disk: so both are awaited with the loop running.
static void serve_to_the_end(Filesystem *filesystem) {
  int64_t deadline_us = g_get_monotonic_time() + LAST_WAIT_MS * 1000;
  GSource *tick = g_timeout_source_new(5);
  g_source_set_callback(tick, wake, NULL, NULL);
  g_source_attach(tick, filesystem->context);
  if (filesystem->notifier != NULL) notifier_stop(filesystem->notifier);
  while ((filesystem->notifier != NULL && !notifier_has_ended(filesystem->notifier)) ||
         (outbox_dir_is_busy(filesystem->outbox_dir) && g_get_monotonic_time() < deadline_us))
    g_main_context_iteration(filesystem->context, TRUE);
  g_source_destroy(tick);
  g_source_unref(tick);
}

static void ignore_end(gpointer data) {}

static void end_session(Filesystem *filesystem) {
  filesystem->ended = ignore_end;
  store_set_listener(filesystem->store, &(StoreListener){0}, NULL);
  if (filesystem->outbox != NULL)
    outbox_set_listener(filesystem->outbox, &(OutboxListener){0}, NULL);
  pendings_close(filesystem->pendings);
  if (filesystem->outbox != NULL && fuse_session_exited(filesystem->session))
    outbox_dir_release_rest(filesystem->outbox_dir);
  serve_to_the_end(filesystem);
  notifier_free(filesystem->notifier);
  reader_free(filesystem->reader);
  outbox_dir_free(filesystem->outbox_dir);
  serve_stop(filesystem);
  fuse_session_unmount(filesystem->session);
  fuse_session_destroy(filesystem->session);
}

void filesystem_free(Filesystem *filesystem) {
  if (filesystem == NULL) return;
  if (filesystem->session != NULL)
    end_session(filesystem);
  else
    outbox_dir_free(filesystem->outbox_dir);
  pendings_free(filesystem->pendings);
  pushed_free(filesystem->pushed);
  tree_free(filesystem->tree);
  g_hash_table_unref(filesystem->moved);
  estimates_free(filesystem->estimates);
  opened_free(filesystem->opened);
  paths_free(filesystem->paths);
  announcer_free(filesystem->announcer);
  g_main_context_unref(filesystem->context);
  free(filesystem->buffer.mem);
  g_free(filesystem->mountpoint);
  g_free(filesystem->outbox_name);
  g_free(filesystem->cache_dir);
  g_free(filesystem);
}
