// What the FUSE calls share: the inside of a Filesystem and the table of calls. ops_tree.c and
// ops_detail.c look, ops_read.c reads, ops_write.c changes, ops_announce.c plays along with the
// notifier. Each call is one short adapter: arguments into a Request, the answer from tree, store
// or outbox, a reply. All run on the main loop's thread and none blocks.
#pragma once

#include <stdbool.h>

#include <fuse_lowlevel.h>

#include "fs/attr.h"
#include "fs/estimates.h"
#include "fs/filesystem.h"
#include "fs/notify.h"
#include "fs/opened.h"
#include "fs/outbox_dir.h"
#include "fs/paths.h"
#include "fs/pending.h"
#include "fs/pushed.h"
#include "fs/reader.h"
#include "fs/tree.h"

struct Filesystem {
  Store *store;
  Outbox *outbox;  // NULL: none
  GMainContext *context;
  FilesystemEnded ended;
  gpointer ended_data;
  FilesystemAnswers answers;  // NULL: called
  gpointer answers_data;

  char *mountpoint, *outbox_name, *cache_dir;
  Identity identity;
  bool read_only;
  unsigned timeout_ms;

  struct fuse_session *session;
  struct fuse_buf buffer;  // the request being read
  GSource *source;         // on the session's descriptor; NULL before mount and after the end
  int64_t idle_since_us;   // when the last request had been answered
  int64_t crowded_at_us;   // when another process last kept the CPU that was lent to it
  Tree *tree;
  Pendings *pendings;
  Reader *reader;
  Pushed *pushed;
  OutboxDir *outbox_dir;
  Announcer *announcer;  // NULL: changes cannot be shown to inotify
  Notifier *notifier;    // NULL before INIT

  GHashTable *moved;  // set of folders whose listing changed since they were last opened
  Estimates *estimates;
  Opened *opened;
  Paths *paths;
};

// A name has at most this many bytes.
#define OPS_NAME_MAX 255

// Sets of inodes.
GHashTable *ino_set_new(void);
void ino_set_add(GHashTable *set, uint64_t ino);
bool ino_set_remove(GHashTable *set, uint64_t ino);  // true if it was in it

// Makes the kernel ask again for a thing's size and times. Takes no lock in the kernel, so that it
// may be called before a request on the same thing is answered.
void ops_forget_attr(Filesystem *filesystem, uint64_t ino);

// To be called with what a reply to the kernel said of a thing.
void ops_told(Filesystem *filesystem, const Thing *thing);

// Replies to what went wrong with the index (not LATER); true if nothing did.
bool ops_found(fuse_req_t req, StoreAnswer answer);

// Calls of the notifier that perform a change of the server's side: true if it is one. All but
// touch have then replied, or will.
bool ops_announced_lookup(fuse_req_t req, uint64_t parent, const char *name);
bool ops_announced_make(fuse_req_t req, uint64_t parent, const char *name);
bool ops_announced_remove(fuse_req_t req, uint64_t parent, const char *name);
bool ops_announced_touch(fuse_req_t req, uint64_t ino);

extern const struct fuse_lowlevel_ops ops_table;

void ops_init(void *data, struct fuse_conn_info *conn);

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *file);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *file);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *file);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *file);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file);

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *file);
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
                 struct fuse_file_info *file);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
               struct fuse_file_info *file);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                  int flags);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
