#include <errno.h>
#include <string.h>

#include "fs/ops.h"

// The calls that the notifier makes on our own mount (fs/announce.h).

static pid_t caller(const Request *request) {
  return fuse_req_ctx(request->req)->pid;
}

// As it was; the index may know it no more, but then nobody has it open either.
static StoreAnswer get_removed(Tree *tree, const Change *change, Thing *thing) {
  StoreAnswer answer = tree_get(tree, change->ino, thing);
  if (answer != STORE_ABSENT) return answer;
  *thing = (Thing){
      .kind = change->folder ? THING_FOLDER : THING_MESSAGE,
      .ino = change->ino,
      .gone = true,
      .size_exact = true,
  };
  return STORE_FOUND;
}

// Of what is gone the kernel keeps nothing.
static void reply_thing(Request *request, const Thing *thing) {
  Filesystem *filesystem = request->filesystem;
  struct fuse_entry_param entry;
  attr_fill_entry(&filesystem->identity, thing, &entry);
  if (thing->gone) entry.entry_timeout = entry.attr_timeout = 0;
  fuse_reply_entry(request->req, &entry);
  if (!thing->gone) ops_told(filesystem, thing);
}

static bool answer_lookup(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Change change;
  Thing thing;
  if (!announcer_means(filesystem->announcer, caller(request), request->ino, request->name,
                       &change) ||
      change.kind == CHANGE_ADDED) {
    fuse_reply_err(request->req, ENOENT);
    return true;
  }
  StoreAnswer answer = get_removed(filesystem->tree, &change, &thing);
  if (answer == STORE_LATER) return false;
  if (!ops_found(request->req, answer)) return true;
  announcer_set_found(filesystem->announcer);
  thing.gone = true;
  reply_thing(request, &thing);
  return true;
}

// What was added may be gone again: then it is seen to come all the same, and to go.
static bool answer_make(Request *request) {
  Filesystem *filesystem = request->filesystem;
  Change change;
  Thing thing;
  if (!announcer_means(filesystem->announcer, caller(request), request->ino, request->name,
                       &change)) {
    fuse_reply_err(request->req, ENOENT);
    return true;
  }
  StoreAnswer answer = tree_get(filesystem->tree, change.ino, &thing);
  if (answer == STORE_LATER) return false;
  if (answer == STORE_FOUND && change.kind == CHANGE_ADDED && thing.parent == request->ino &&
      thing_is_directory(&thing) == change.folder && strcmp(thing.name, request->name) == 0)
    reply_thing(request, &thing);
  else
    fuse_reply_err(request->req, ENOENT);
  return true;
}

static bool is_announced(Filesystem *filesystem, fuse_req_t req, uint64_t directory,
                         const char *name, Change *change) {
  return announcer_means(filesystem->announcer, fuse_req_ctx(req)->pid, directory, name, change);
}

bool ops_announced_lookup(fuse_req_t req, uint64_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Change change;
  if (!is_announced(filesystem, req, parent, name, &change)) return false;
  Request request = {.filesystem = filesystem, .req = req, .ino = parent, .name = name};
  pending_answer(filesystem->pendings, &request, answer_lookup, filesystem->timeout_ms);
  return true;
}

bool ops_announced_make(fuse_req_t req, uint64_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Change change;
  if (!is_announced(filesystem, req, parent, name, &change)) return false;
  Request request = {.filesystem = filesystem, .req = req, .ino = parent, .name = name};
  pending_answer(filesystem->pendings, &request, answer_make, filesystem->timeout_ms);
  return true;
}

bool ops_announced_remove(fuse_req_t req, uint64_t parent, const char *name) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Change change;
  if (!is_announced(filesystem, req, parent, name, &change)) return false;
  bool found = change.kind == CHANGE_REMOVED && announcer_has_found(filesystem->announcer);
  fuse_reply_err(req, found ? 0 : ENOENT);
  return true;
}

bool ops_announced_touch(fuse_req_t req, uint64_t ino) {
  Filesystem *filesystem = fuse_req_userdata(req);
  Change change;
  return is_announced(filesystem, req, ino, NULL, &change);
}
