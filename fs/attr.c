#include "fs/attr.h"

#define LONG_TIMEOUT_S 86400.0
#define NS_PER_S 1000000000
#define DIRECTORY_SIZE 4096
#define BLOCK_SIZE 4096

static struct timespec time_from_ns(int64_t ns) {
  int64_t seconds = ns / NS_PER_S, rest = ns % NS_PER_S;
  if (rest < 0) {
    seconds--;
    rest += NS_PER_S;
  }
  return (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static nlink_t link_count(const Thing *thing) {
  if (thing->gone) return 0;
  return thing_is_directory(thing) ? 2 + (nlink_t)thing->subfolders : 1 + thing->more_links;
}

void attr_fill(const Identity *identity, const Thing *thing, struct stat *attr) {
  bool directory = thing_is_directory(thing);
  uint64_t size = directory ? DIRECTORY_SIZE : MIN(thing->size, (uint64_t)INT64_MAX);
  *attr = (struct stat){
      .st_ino = thing->shared_ino != 0 ? thing->shared_ino : thing->ino,
      .st_mode = (directory ? S_IFDIR : S_IFREG) | (thing->permissions & ~identity->umask),
      .st_nlink = link_count(thing),
      .st_uid = identity->uid,
      .st_gid = identity->gid,
      .st_size = (off_t)size,
      .st_blksize = BLOCK_SIZE,
      .st_blocks = (blkcnt_t)(size / 512 + (size % 512 != 0)),
      .st_mtim = time_from_ns(thing->mtime_ns),
      .st_ctim = time_from_ns(thing->ctime_ns),
      .st_atim = time_from_ns(thing->atime_ns),
  };
}

void attr_fill_entry(const Identity *identity, const Thing *thing, struct fuse_entry_param *entry) {
  double timeout = attr_timeout(thing);
  *entry = (struct fuse_entry_param){
      .ino = thing->ino,
      .attr_timeout = timeout,
      .entry_timeout = timeout,
  };
  attr_fill(identity, thing, &entry->attr);
}

double attr_timeout(const Thing *thing) {
  return thing_is_mail(thing) ? LONG_TIMEOUT_S : 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool attr_is_unchanged(const struct stat *now, const struct stat *wanted, int set) {
  if ((set & FUSE_SET_ATTR_MODE) && (wanted->st_mode & 07777) != (now->st_mode & 07777))
    return false;
  if ((set & FUSE_SET_ATTR_UID) && wanted->st_uid != now->st_uid) return false;
  if ((set & FUSE_SET_ATTR_GID) && wanted->st_gid != now->st_gid) return false;
  if ((set & FUSE_SET_ATTR_SIZE) && wanted->st_size != now->st_size) return false;
  if (set & (FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)) return false;
  if ((set & FUSE_SET_ATTR_ATIME) && !same_time(&wanted->st_atim, &now->st_atim)) return false;
  if ((set & FUSE_SET_ATTR_MTIME) && !same_time(&wanted->st_mtim, &now->st_mtim)) return false;
  return true;
}

int64_t attr_time_ns(const struct timespec *wanted, int64_t old_ns, bool set, bool set_to_now) {
  if (set_to_now) return g_get_real_time() * 1000;
  if (!set) return old_ns;
  int64_t most = INT64_MAX / NS_PER_S - 1;
  return CLAMP((int64_t)wanted->tv_sec, -most, most) * NS_PER_S + wanted->tv_nsec;
}
