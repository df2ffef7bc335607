#include "fs/tree.h"

#include <string.h>

#define FAILED_NAME "failed"

struct Tree {
  Store *store;
  Outbox *outbox;
  const char *outbox_name;
  const Opened *opened;
};

Tree *tree_new(Store *store, Outbox *outbox, const char *outbox_name, const Opened *opened) {
  Tree *tree = g_new0(Tree, 1);
  tree->store = store;
  tree->outbox = outbox_name != NULL ? outbox : NULL;
  tree->outbox_name = outbox_name;
  tree->opened = opened;
  return tree;
}

void tree_free(Tree *tree) {
  g_free(tree);
}

bool thing_is_directory(const Thing *thing) {
  return thing->kind == THING_FOLDER || thing->kind == THING_OUTBOX || thing->kind == THING_FAILED;
}

bool thing_is_mail(const Thing *thing) {
  return thing->kind == THING_FOLDER || thing->kind == THING_MESSAGE;
}

static void set_inode(const Tree *tree, const Inode *inode, Thing *thing) {
  bool folder = inode->kind == INODE_FOLDER;
  bool holds_outbox = inode->ino == INODE_ROOT && tree->outbox != NULL;
  *thing = (Thing){
      .kind = folder ? THING_FOLDER : THING_MESSAGE,
      .ino = inode->ino,
      .parent = inode->parent,
      .name = inode->name,
      .size = folder ? 0 : opened_size(tree->opened, inode->ino, inode->size),
      .size_exact = folder || inode->size_exact,
      .permissions = folder ? 0777 : 0666,
      .mtime_ns = inode->mtime_ns,
      .ctime_ns = inode->ctime_ns,
      .atime_ns = inode->mtime_ns,
      .subfolders = inode->subfolders + (holds_outbox ? 1 : 0),
      .gone = inode->gone,
  };
}

static void set_file(const OutboxFile *file, Thing *thing) {
  *thing = (Thing){
      .kind = file->is_error_note ? THING_NOTE : THING_LETTER,
      .ino = file->ino,
      .parent = file->parent,
      .name = file->name,
      .size = file->size,
      .size_exact = true,
      .permissions = file->mode & 0777,
      .mtime_ns = file->mtime_ns,
      .ctime_ns = file->ctime_ns,
      .atime_ns = file->atime_ns,
      .gone = file->links == 0,
      .shared_ino = file->shared_ino,
      .more_links = file->links > 1 ? file->links - 1 : 0,
  };
}

// outbox/ or failed/ themselves.
static void set_outbox_directory(const Tree *tree, uint64_t ino, Thing *thing) {
  bool top = ino == OUTBOX_INO;
  int64_t mtime_ns = outbox_directory_mtime_ns(tree->outbox, ino);
  *thing = (Thing){
      .kind = top ? THING_OUTBOX : THING_FAILED,
      .ino = ino,
      .parent = top ? INODE_ROOT : OUTBOX_INO,
      .name = top ? tree->outbox_name : FAILED_NAME,
      .size_exact = true,
      .permissions = 0777,
      .mtime_ns = mtime_ns,
      .ctime_ns = mtime_ns,
      .atime_ns = mtime_ns,
      .subfolders = top ? 1 : 0,
  };
}

static StoreAnswer get_in_outbox(Tree *tree, uint64_t ino, Thing *thing) {
  OutboxFile file;
  if (tree->outbox == NULL) return STORE_ABSENT;
  if (ino == OUTBOX_INO || ino == OUTBOX_FAILED_INO)
    set_outbox_directory(tree, ino, thing);
  else if (outbox_get(tree->outbox, ino, &file))
    set_file(&file, thing);
  else
    return STORE_ABSENT;
  return STORE_FOUND;
}

StoreAnswer tree_get(Tree *tree, uint64_t ino, Thing *thing) {
  if (outbox_owns(ino)) return get_in_outbox(tree, ino, thing);
  Inode inode;
  StoreAnswer answer = store_get(tree->store, ino, &inode);
  if (answer == STORE_FOUND) set_inode(tree, &inode, thing);
  return answer;
}

static StoreAnswer lookup_in_outbox(Tree *tree, uint64_t parent, const char *name, Thing *thing) {
  OutboxFile file;
  if (tree->outbox == NULL) return STORE_ABSENT;
  if (parent == OUTBOX_INO && strcmp(name, FAILED_NAME) == 0)
    set_outbox_directory(tree, OUTBOX_FAILED_INO, thing);
  else if (outbox_lookup(tree->outbox, parent, name, &file))
    set_file(&file, thing);
  else
    return STORE_ABSENT;
  return STORE_FOUND;
}

StoreAnswer tree_lookup(Tree *tree, uint64_t parent, const char *name, Thing *thing) {
  if (outbox_owns(parent)) return lookup_in_outbox(tree, parent, name, thing);
  if (parent == INODE_ROOT && tree->outbox != NULL && strcmp(name, tree->outbox_name) == 0) {
    set_outbox_directory(tree, OUTBOX_INO, thing);
    return STORE_FOUND;
  }
  Inode inode;
  StoreAnswer answer = store_lookup(tree->store, parent, name, &inode);
  if (answer == STORE_FOUND) set_inode(tree, &inode, thing);
  return answer;
}

typedef struct {
  const Tree *tree;
  TreeEach each;
  gpointer data;
  bool stopped;
} Walk;

static bool walk_inode(const Inode *inode, gpointer data) {
  Walk *walk = data;
  Thing thing;
  set_inode(walk->tree, inode, &thing);
  walk->stopped = !walk->each(&thing, walk->data);
  return !walk->stopped;
}

static bool walk_file(const OutboxFile *file, gpointer data) {
  Walk *walk = data;
  Thing thing;
  set_file(file, &thing);
  walk->stopped = !walk->each(&thing, walk->data);
  return !walk->stopped;
}

// A directory of the outbox that lies in `parent`, in its place by ino.
static void walk_outbox_directory(Walk *walk, uint64_t ino, uint64_t after) {
  if (walk->stopped || ino <= after) return;
  Thing thing;
  set_outbox_directory(walk->tree, ino, &thing);
  walk->stopped = !walk->each(&thing, walk->data);
}

static StoreAnswer children_of_outbox(Tree *tree, uint64_t directory, uint64_t after, Walk *walk) {
  if (tree->outbox == NULL) return STORE_ABSENT;
  if (directory == OUTBOX_INO) walk_outbox_directory(walk, OUTBOX_FAILED_INO, after);
  if (!walk->stopped) outbox_children(tree->outbox, directory, after, walk_file, walk);
  return STORE_FOUND;
}

StoreAnswer tree_children(Tree *tree, uint64_t directory, uint64_t after, TreeEach each,
                          gpointer data) {
  Walk walk = {.tree = tree, .each = each, .data = data};
  if (outbox_owns(directory)) return children_of_outbox(tree, directory, after, &walk);
  StoreAnswer answer = store_children(tree->store, directory, after, walk_inode, &walk);
  if (answer == STORE_FOUND && directory == INODE_ROOT && tree->outbox != NULL)
    walk_outbox_directory(&walk, OUTBOX_INO, after);
  return answer;
}
