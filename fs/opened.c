#include "fs/opened.h"

struct OpenMessage {
  uint64_t ino;
  uint64_t edition;   // of the files that use the page cache
  uint64_t size;      // theirs
  unsigned n_cached;  // how many those are
  unsigned n_files;   // with those that are beside
};

struct Opened {
  Store *store;
  GHashTable *messages;  // set of OpenMessage, by ino
  GQueue files;          // of OpenFile
};

Opened *opened_new(Store *store) {
  Opened *opened = g_new0(Opened, 1);
  opened->store = store;
  opened->messages = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
  return opened;
}

void opened_free(Opened *opened) {
  if (opened == NULL) return;
  while (opened->files.head != NULL)
    opened_close(opened, opened->files.head->data);
  g_hash_table_unref(opened->messages);
  g_free(opened);
}

static OpenMessage *message_new(Opened *opened, uint64_t ino) {
  OpenMessage *message = g_new0(OpenMessage, 1);
  message->ino = ino;
  g_hash_table_insert(opened->messages, &message->ino, message);
  return message;
}

OpenFile *opened_open(Opened *opened, uint64_t ino, uint64_t edition, StoreBody *body) {
  OpenMessage *message = g_hash_table_lookup(opened->messages, &ino);
  bool is_beside = message != NULL && message->n_cached > 0 && message->edition != edition;
  if (is_beside && message->size != store_body_size(body)) {
    store_close_body(opened->store, body);
    return NULL;
  }
  if (message == NULL) message = message_new(opened, ino);
  OpenFile *file = g_new0(OpenFile, 1);
  *file = (OpenFile){.body = body, .message = message, .link.data = file, .is_beside = is_beside};
  g_queue_push_tail_link(&opened->files, &file->link);
  message->n_files++;
  if (is_beside) return file;
  message->n_cached++;
  message->edition = edition;
  message->size = store_body_size(body);
  return file;
}

void opened_close(Opened *opened, OpenFile *file) {
  OpenMessage *message = file->message;
  store_close_body(opened->store, file->body);
  g_queue_unlink(&opened->files, &file->link);
  if (!file->is_beside) message->n_cached--;
  if (--message->n_files == 0) g_hash_table_remove(opened->messages, &message->ino);
  g_free(file);
}

uint64_t opened_size(const Opened *opened, uint64_t ino, uint64_t size) {
  const OpenMessage *message = g_hash_table_lookup(opened->messages, &ino);
  return message != NULL && message->n_cached > 0 ? message->size : size;
}
