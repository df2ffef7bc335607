// The sweep: while they have nothing else to do, the sessions go once through the bodies on disk
// and remove those that the index does not know.

#include "cache/session_private.h"

// So many files are looked at between two looks at the board, or as many as a directory has.
#define FILES_AT_ONCE 200

static bool is_known(Index *index, uint64_t ino) {
  IndexMessage message;
  IndexAnswer answer = index_message(index, ino, &message);
  return answer == INDEX_FOUND ? message.has_body : answer != INDEX_ABSENT;
}

static unsigned sweep_directory(Session *session, unsigned directory) {
  BodyStore *bodies = session->context->bodies;
  g_autoptr(GArray) inos = body_in_directory(bodies, directory);
  for (unsigned i = 0; i < inos->len; i++) {
    uint64_t ino = g_array_index(inos, uint64_t, i);
    if (!is_known(session->index, ino)) body_sweep(bodies, ino);
  }
  return inos->len;
}

bool session_may_sweep(const Session *session) {
  return session->index != NULL &&
         g_atomic_int_get(&session->context->next_swept) < BODY_DIRECTORIES;
}

void session_sweep(Session *session) {
  SessionContext *context = session->context;
  for (unsigned looked = 0; looked < FILES_AT_ONCE;) {
    gint directory = g_atomic_int_add(&context->next_swept, 1);
    if (directory >= BODY_DIRECTORIES) return;
    looked += sweep_directory(session, (unsigned)directory);
    if (g_atomic_int_add(&context->n_swept, 1) + 1 == BODY_DIRECTORIES)
      body_end_sweep(context->bodies);
  }
}
