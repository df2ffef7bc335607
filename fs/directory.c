#include "fs/directory.h"

// Below every ino but the root's, which is in no directory.
#define COOKIE_SELF 1
#define COOKIE_PARENT 2

static bool add(Directory *directory, const char *name, const struct fuse_entry_param *entry,
                uint64_t cookie) {
  char *at = directory->bytes + directory->used;
  size_t left = directory->size - directory->used;
  size_t need =
      directory->plus
          ? fuse_add_direntry_plus(directory->req, at, left, name, entry, (off_t)cookie)
          : fuse_add_direntry(directory->req, at, left, name, &entry->attr, (off_t)cookie);
  if (need > left) return false;
  directory->used += need;
  return true;
}

// An entry without a node: the kernel takes only name, number and type from it.
static bool add_dots(Directory *directory, const Thing *self, off_t cookie) {
  struct fuse_entry_param entry = {.attr = {.st_ino = self->ino, .st_mode = S_IFDIR}};
  if (cookie < COOKIE_SELF && !add(directory, ".", &entry, COOKIE_SELF)) return false;
  if (self->parent != 0) entry.attr.st_ino = self->parent;  // the root is its own
  return cookie >= COOKIE_PARENT || add(directory, "..", &entry, COOKIE_PARENT);
}

static bool add_thing(const Thing *thing, gpointer data) {
  Directory *directory = data;
  struct fuse_entry_param entry;
  attr_fill_entry(directory->identity, thing, &entry);
  if (!add(directory, thing->name, &entry, thing->ino)) return false;
  if (directory->plus) directory->told(thing, directory->data);
  return true;
}

StoreAnswer directory_read(Directory *directory, uint64_t ino, off_t cookie) {
  Thing self;
  StoreAnswer answer = tree_get(directory->tree, ino, &self);
  directory->used = 0;
  if (answer != STORE_FOUND) return answer;
  if (self.gone) return STORE_ABSENT;
  if (!add_dots(directory, &self, cookie)) return STORE_FOUND;
  uint64_t after = MAX((uint64_t)cookie, COOKIE_PARENT);
  return tree_children(directory->tree, ino, after, add_thing, directory);
}
