#include "fs/notify.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "cache/queue.h"
#include "fs/thread.h"

struct Notifier {
  struct fuse_session *session;
  Announcer *announcer;  // NULL: none
  Queue *queue;          // of Change
  pthread_t thread;
  atomic_bool stopping, ended;
  // The thread's own.
  GHashTable *changed;  // set of directories whose listing the kernel has to forget
  GPtrArray *shown;     // changes of one directory, to be shown to those who watch
  unsigned added, removed;
};

static void free_change(gpointer data) {
  change_free(data);
}

// ENOENT: the kernel does not know it, which is as good. ENODEV, ENOTCONN: the mount is gone.
static void check(int result, const char *what, uint64_t directory) {
  if (result == 0 || result == -ENOENT || result == -ENODEV || result == -ENOTCONN) return;
  g_warning("cannot tell the kernel of %s in %" G_GUINT64_FORMAT ": %s", what, directory,
            g_strerror(-result));
}

static void forget_name(Notifier *notifier, const Change *change) {
  check(fuse_lowlevel_notify_inval_entry(notifier->session, change->directory, change->name,
                                         strlen(change->name)),
        "a changed name", change->directory);
}

static void forget_listings(Notifier *notifier) {
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, notifier->changed);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    uint64_t directory = *(uint64_t *)key;
    if (!atomic_load(&notifier->stopping))
      check(fuse_lowlevel_notify_inval_inode(notifier->session, directory, 0, 0), "changes",
            directory);
  }
  g_hash_table_remove_all(notifier->changed);
}

static void drop_shown(Notifier *notifier) {
  g_ptr_array_set_size(notifier->shown, 0);
  notifier->added = notifier->removed = 0;
}

// Takes the change.
static void keep(Notifier *notifier, Change *change) {
  GPtrArray *shown = notifier->shown;
  if (shown->len > 0 && ((Change *)shown->pdata[0])->directory != change->directory)
    drop_shown(notifier);
  unsigned *count = change->kind == CHANGE_ADDED ? &notifier->added : &notifier->removed;
  if (++*count <= NOTIFIER_SHOWN_MAX)
    g_ptr_array_add(shown, change);
  else
    change_free(change);
}

static void show_one(Notifier *notifier, const Change *change) {
  int error = announcer_perform(notifier->announcer, change);
  if (error != 0) g_debug("%s: nobody saw it change: %s", change->name, g_strerror(error));
}

// Nobody told what came where it was too much; so where nothing did, it may have been.
static bool was_too_much(const Notifier *notifier) {
  return notifier->added == 0 || notifier->added > NOTIFIER_SHOWN_MAX ||
         notifier->removed > NOTIFIER_SHOWN_MAX;
}

static void show(Notifier *notifier, const Change *listing) {
  if (notifier->announcer == NULL || listing->name == NULL) return;
  if (!announcer_open(notifier->announcer, listing->name, listing->directory)) return;
  for (unsigned i = 0; i < notifier->shown->len; i++) {
    const Change *change = notifier->shown->pdata[i];
    unsigned count = change->kind == CHANGE_ADDED ? notifier->added : notifier->removed;
    if (count <= NOTIFIER_SHOWN_MAX && !atomic_load(&notifier->stopping))
      show_one(notifier, change);
  }
  if (was_too_much(notifier) && !atomic_load(&notifier->stopping))
    announcer_perform(notifier->announcer, listing);
  announcer_close(notifier->announcer);
}

// Takes the change.
static void take(Notifier *notifier, Change *change) {
  g_hash_table_add(notifier->changed, g_memdup2(&change->directory, sizeof change->directory));
  if (change->kind == CHANGE_REMOVED) forget_name(notifier, change);
  if (change->kind != CHANGE_LISTING) {
    keep(notifier, change);
    return;
  }
  show(notifier, change);
  drop_shown(notifier);
  change_free(change);
}

static void *run(void *data) {
  Notifier *notifier = data;
  for (;;) {
    bool idle = g_hash_table_size(notifier->changed) == 0;
    Change *change = queue_pop(notifier->queue, idle ? -1 : 0);
    if (change == NULL && idle) break;
    if (change == NULL)
      forget_listings(notifier);
    else if (atomic_load(&notifier->stopping))
      change_free(change);
    else
      take(notifier, change);
  }
  atomic_store(&notifier->ended, true);
  return NULL;
}

Notifier *notifier_new(struct fuse_session *session, Announcer *announcer) {
  Notifier *notifier = g_new0(Notifier, 1);
  notifier->session = session;
  notifier->announcer = announcer;
  notifier->queue = queue_new(free_change);
  notifier->changed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  notifier->shown = g_ptr_array_new_with_free_func(free_change);
  notifier->thread = thread_start("notifier", run, notifier);
  return notifier;
}

void notifier_tell(Notifier *notifier, Change *change) {
  queue_push(notifier->queue, change);
}

void notifier_stop(Notifier *notifier) {
  atomic_store(&notifier->stopping, true);
  queue_close(notifier->queue);
}

bool notifier_has_ended(const Notifier *notifier) {
  return atomic_load(&notifier->ended);
}

void notifier_free(Notifier *notifier) {
  if (notifier == NULL) return;
  pthread_join(notifier->thread, NULL);
  queue_free(notifier->queue);
  g_hash_table_unref(notifier->changed);
  g_ptr_array_unref(notifier->shown);
  g_free(notifier);
}
