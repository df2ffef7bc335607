#include "fs/notify.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "cache/queue.h"
#include "fs/thread.h"

typedef struct {
  uint64_t directory;
  char *name;  // what left it; NULL: its listing changed
} Notice;

struct Notifier {
  struct fuse_session *session;
  Queue *queue;
  pthread_t thread;
  atomic_bool stopping, ended;
};

static void notice_free(gpointer data) {
  Notice *notice = data;
  g_free(notice->name);
  g_free(notice);
}

// ENOENT: the kernel does not know it, which is as good. ENODEV, ENOTCONN: the mount is gone.
static void check(int result, const char *what, uint64_t directory) {
  if (result == 0 || result == -ENOENT || result == -ENODEV || result == -ENOTCONN) return;
  g_warning("cannot tell the kernel of %s in %" G_GUINT64_FORMAT ": %s", what, directory,
            g_strerror(-result));
}

static void tell_removed(Notifier *notifier, const Notice *notice) {
  check(fuse_lowlevel_notify_inval_entry(notifier->session, notice->directory, notice->name,
                                         strlen(notice->name)),
        "a removed name", notice->directory);
}

static void tell_changed(Notifier *notifier, GHashTable *directories) {
  GHashTableIter iter;
  gpointer key;
  g_hash_table_iter_init(&iter, directories);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    uint64_t directory = *(uint64_t *)key;
    if (!atomic_load(&notifier->stopping))
      check(fuse_lowlevel_notify_inval_inode(notifier->session, directory, 0, 0), "changes",
            directory);
  }
  g_hash_table_remove_all(directories);
}

static void *run(void *data) {
  Notifier *notifier = data;
  g_autoptr(GHashTable) changed = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  for (;;) {
    bool idle = g_hash_table_size(changed) == 0;
    Notice *notice = queue_pop(notifier->queue, idle ? -1 : 0);
    if (notice == NULL && idle) break;
    if (notice == NULL) {
      tell_changed(notifier, changed);
      continue;
    }
    if (notice->name == NULL)
      g_hash_table_add(changed, g_memdup2(&notice->directory, sizeof notice->directory));
    else if (!atomic_load(&notifier->stopping))
      tell_removed(notifier, notice);
    notice_free(notice);
  }
  atomic_store(&notifier->ended, true);
  return NULL;
}

Notifier *notifier_new(struct fuse_session *session) {
  Notifier *notifier = g_new0(Notifier, 1);
  notifier->session = session;
  notifier->queue = queue_new(notice_free);
  notifier->thread = thread_start("notifier", run, notifier);
  return notifier;
}

static void push(Notifier *notifier, uint64_t directory, const char *name) {
  Notice *notice = g_new0(Notice, 1);
  notice->directory = directory;
  notice->name = g_strdup(name);
  queue_push(notifier->queue, notice);
}

void notifier_removed(Notifier *notifier, uint64_t parent, const char *name) {
  push(notifier, parent, name);
}

void notifier_changed(Notifier *notifier, uint64_t directory) {
  push(notifier, directory, NULL);
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
  g_free(notifier);
}
