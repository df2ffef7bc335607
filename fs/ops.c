#include "fs/ops.h"

#include <errno.h>

// How many requests the kernel may send in the background; reading ahead is one. Those that wait
// for a server must not keep others back, so this is far more than its default of 12.
#define BACKGROUND 1024

GHashTable *ino_set_new(void) {
  return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void ino_set_add(GHashTable *set, uint64_t ino) {
  g_hash_table_add(set, g_memdup2(&ino, sizeof ino));
}

bool ino_set_remove(GHashTable *set, uint64_t ino) {
  return g_hash_table_remove(set, &ino);
}

void ops_forget_attr(Filesystem *filesystem, uint64_t ino) {
  fuse_lowlevel_notify_inval_inode(filesystem->session, ino, -1, 0);
}

void ops_told(Filesystem *filesystem, const Thing *thing) {
  if (thing->kind == THING_FOLDER && thing->ino != INODE_ROOT)
    paths_told(filesystem->paths, thing->ino, thing->parent, thing->name);
  if (thing->kind == THING_MESSAGE)
    estimates_told(filesystem->estimates, thing->ino, thing->size, thing->size_exact);
}

bool ops_found(fuse_req_t req, StoreAnswer answer) {
  if (answer == STORE_ABSENT) fuse_reply_err(req, ENOENT);
  if (answer == STORE_FAILED) fuse_reply_err(req, EIO);
  return answer == STORE_FOUND;
}

// Without READDIRPLUS_AUTO each READDIR brings the attributes too: who lists mail goes on to look
// at it or to open it, and would ask for each name.
void ops_init(void *data, struct fuse_conn_info *conn) {
  conn->max_background = BACKGROUND;
  conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                            FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS_AUTO);
}

// What is missing here the kernel does by itself or refuses: access, ioctl, poll, locks, fallocate.
const struct fuse_lowlevel_ops ops_table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .setattr = ops_setattr,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .readdirplus = ops_readdirplus,
    .statfs = ops_statfs,
    .getxattr = ops_getxattr,
    .listxattr = ops_listxattr,
    .setxattr = ops_setxattr,
    .removexattr = ops_removexattr,
    .open = ops_open,
    .read = ops_read,
    .write = ops_write,
    .flush = ops_flush,
    .fsync = ops_fsync,
    .release = ops_release,
    .create = ops_create,
    .mknod = ops_mknod,
    .mkdir = ops_mkdir,
    .symlink = ops_symlink,
    .link = ops_link,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .rename = ops_rename,
};
