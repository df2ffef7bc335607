// A Pending is a request that waits: for the server (a ticket of the store), or a few milliseconds
// for the index. It has a deadline, and it ends at once when its caller is really interrupted (the
// work goes on behind it, for the next try). Nothing else waits with it: the reader goes on.
//
//            ┌── the store is done ──────────> resume(result)
//   waiting ─┼── the deadline passed ────────> resume(NET_ERROR_TIMEOUT)
//            ├── the caller is interrupted ──> EINTR
//            └── the mount ends ─────────────> EHOSTUNREACH
//
// Main loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <fuse_lowlevel.h>
#include <glib.h>

#include "cache/store.h"
#include "fs/filesystem.h"

// A Request is one FUSE call with its arguments, as far as it may have to be answered later. On the
// stack `name` is libfuse's; what waits has its own copy.
typedef struct {
  Filesystem *filesystem;
  fuse_req_t req;
  uint64_t ino;      // the thing, or the directory of `name`
  const char *name;  // NULL where the call has none
  size_t size;
  off_t offset;
  struct fuse_file_info file;
  struct stat attr;
  int attr_set;
  bool plus;    // READDIRPLUS
  bool waited;  // the server was asked: answer with what is here
} Request;

// How a wait ended: error set, or done. body: a fetched one, then the taker's (store_close_body).
typedef struct {
  const GError *error;
  StoreBody *body;
} PendingResult;

// Answers from disk; false: the index is busy, ask again.
typedef bool (*RequestAnswer)(Request *request);
// Replies, or makes the request wait again.
typedef void (*RequestResume)(Request *request, const PendingResult *result);

// All that wait at one mount.
typedef struct Pendings Pendings;
Pendings *pendings_new(Store *store, GMainContext *context);
// Answers what waits with EHOSTUNREACH, and so, from now on, what would have to wait.
void pendings_close(Pendings *pendings);
void pendings_free(Pendings *pendings);

// Answers now, or as soon as the index can be read: EIO if it cannot for wait_ms.
void pending_answer(Pendings *pendings, const Request *request, RequestAnswer answer,
                    unsigned wait_ms);
// Waits for the folder's listing (0 < wait_ms).
void pending_sync(Pendings *pendings, const Request *request, uint64_t folder, unsigned wait_ms,
                  RequestResume resume);
// Waits for the body of request->ino, for wait_ms after the last bytes of any message came.
void pending_fetch(Pendings *pendings, const Request *request, unsigned wait_ms,
                   RequestResume resume);
// Waits until the removal of `ino` is on disk.
void pending_remove(Pendings *pendings, const Request *request, uint64_t ino, unsigned wait_ms,
                    RequestResume resume);
// Waits for request->size bytes at request->offset of `body`, which outlives the wait, as
// pending_fetch does.
void pending_want(Pendings *pendings, const Request *request, StoreBody *body, unsigned wait_ms,
                  RequestResume resume);
