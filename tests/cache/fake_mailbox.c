#include "tests/cache/fake_mailbox.h"

#include <pthread.h>
#include <string.h>

#include "net/error.h"

typedef struct {
  uint32_t uid;
  char *subject, *body, *flags;
  int64_t size_told;
  bool withheld;
} FakeMessage;

typedef struct {
  char *name;
  char delimiter;
  unsigned attributes;
  uint32_t uidvalidity, uidnext;
  GPtrArray *messages;
} FakeFolder;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  GPtrArray *folders;
  struct {
    int code;
    unsigned times, calls, waiting;
    bool held;
  } calls[FAKE_N_CALLS];
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

typedef struct {
  Mailbox base;
  Waker *waker;
  char *open;
} FakeMailbox;

static void free_message(gpointer data) {
  FakeMessage *message = data;
  g_free(message->subject);
  g_free(message->body);
  g_free(message->flags);
  g_free(message);
}

static void free_folder(gpointer data) {
  FakeFolder *folder = data;
  g_free(folder->name);
  g_ptr_array_unref(folder->messages);
  g_free(folder);
}

static FakeFolder *find_folder(const char *name) {
  for (unsigned i = 0; i < server.folders->len; i++) {
    FakeFolder *folder = server.folders->pdata[i];
    if (strcmp(folder->name, name) == 0) return folder;
  }
  return NULL;
}

static FakeMessage *find_message(FakeFolder *folder, uint32_t uid) {
  for (unsigned i = 0; i < folder->messages->len; i++) {
    FakeMessage *message = folder->messages->pdata[i];
    if (message->uid == uid) return message;
  }
  return NULL;
}

void fake_reset(void) {
  pthread_mutex_lock(&server.lock);
  g_clear_pointer(&server.folders, g_ptr_array_unref);
  server.folders = g_ptr_array_new_with_free_func(free_folder);
  memset(server.calls, 0, sizeof server.calls);
  pthread_mutex_unlock(&server.lock);
}

void fake_add_folder(const char *name, char delimiter, unsigned attributes, uint32_t uidvalidity) {
  FakeFolder *folder = g_new0(FakeFolder, 1);
  *folder = (FakeFolder){.name = g_strdup(name),
                         .delimiter = delimiter,
                         .attributes = attributes,
                         .uidvalidity = uidvalidity,
                         .uidnext = 1,
                         .messages = g_ptr_array_new_with_free_func(free_message)};
  pthread_mutex_lock(&server.lock);
  g_ptr_array_add(server.folders, folder);
  pthread_mutex_unlock(&server.lock);
}

void fake_remove_folder(const char *name) {
  pthread_mutex_lock(&server.lock);
  g_ptr_array_remove(server.folders, find_folder(name));
  pthread_mutex_unlock(&server.lock);
}

void fake_renumber(const char *name, uint32_t uidvalidity) {
  pthread_mutex_lock(&server.lock);
  find_folder(name)->uidvalidity = uidvalidity;
  pthread_mutex_unlock(&server.lock);
}

uint32_t fake_add_message(const char *name, const char *subject, const char *body,
                          int64_t size_told) {
  FakeMessage *message = g_new0(FakeMessage, 1);
  pthread_mutex_lock(&server.lock);
  FakeFolder *folder = find_folder(name);
  *message = (FakeMessage){.uid = folder->uidnext++,
                           .subject = g_strdup(subject),
                           .body = g_strdup(body),
                           .flags = g_strdup(""),
                           .size_told = size_told < 0 ? (int64_t)strlen(body) : size_told};
  g_ptr_array_add(folder->messages, message);
  pthread_mutex_unlock(&server.lock);
  return message->uid;
}

void fake_remove_message(const char *name, uint32_t uid) {
  pthread_mutex_lock(&server.lock);
  FakeFolder *folder = find_folder(name);
  g_ptr_array_remove(folder->messages, find_message(folder, uid));
  pthread_mutex_unlock(&server.lock);
}

void fake_set_flags(const char *name, uint32_t uid, const char *flags) {
  pthread_mutex_lock(&server.lock);
  FakeMessage *message = find_message(find_folder(name), uid);
  g_free(message->flags);
  message->flags = g_strdup(flags);
  pthread_mutex_unlock(&server.lock);
}

void fake_withhold(const char *name, uint32_t uid) {
  pthread_mutex_lock(&server.lock);
  find_message(find_folder(name), uid)->withheld = true;
  pthread_mutex_unlock(&server.lock);
}

void fake_fail(FakeCall call, int code, unsigned times) {
  pthread_mutex_lock(&server.lock);
  server.calls[call].code = code;
  server.calls[call].times = times;
  pthread_mutex_unlock(&server.lock);
}

static void set_held(FakeCall call, bool held) {
  pthread_mutex_lock(&server.lock);
  server.calls[call].held = held;
  pthread_cond_broadcast(&server.moved);
  pthread_mutex_unlock(&server.lock);
}

void fake_hold(FakeCall call) {
  set_held(call, true);
}

void fake_release(FakeCall call) {
  set_held(call, false);
}

void fake_await_held(FakeCall call) {
  pthread_mutex_lock(&server.lock);
  while (server.calls[call].waiting == 0)
    pthread_cond_wait(&server.moved, &server.lock);
  pthread_mutex_unlock(&server.lock);
}

unsigned fake_calls(FakeCall call) {
  pthread_mutex_lock(&server.lock);
  unsigned calls = server.calls[call].calls;
  pthread_mutex_unlock(&server.lock);
  return calls;
}

// Every call passes here first; the lock is held when it returns, whatever it returns.
static bool enter(FakeCall call, GError **error) {
  pthread_mutex_lock(&server.lock);
  server.calls[call].calls++;
  server.calls[call].waiting++;
  pthread_cond_broadcast(&server.moved);
  while (server.calls[call].held)
    pthread_cond_wait(&server.moved, &server.lock);
  server.calls[call].waiting--;
  if (server.calls[call].times == 0) return true;
  server.calls[call].times--;
  g_set_error(error, NET_ERROR, server.calls[call].code, "the fake server fails");
  return false;
}

static bool leave(bool result) {
  pthread_mutex_unlock(&server.lock);
  return result;
}

static bool fake_list(Mailbox *mailbox, MailboxFolderFunc each, gpointer data, GError **error) {
  bool good = enter(FAKE_LIST, error);
  for (unsigned i = 0; good && i < server.folders->len; i++) {
    const FakeFolder *folder = server.folders->pdata[i];
    MailboxFolder told = {
        .name = folder->name, .delimiter = folder->delimiter, .attributes = folder->attributes};
    good = each(&told, data, error);
  }
  return leave(good);
}

static bool fake_examine(Mailbox *mailbox, const char *name, MailboxStatus *status,
                         GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  g_clear_pointer(&fake->open, g_free);
  if (!enter(FAKE_EXAMINE, error)) return leave(false);
  const FakeFolder *folder = find_folder(name);
  if (folder == NULL) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "no folder %s", name);
    return leave(false);
  }
  *status = (MailboxStatus){.uidvalidity = folder->uidvalidity,
                            .uidnext = folder->uidnext,
                            .exists = folder->messages->len};
  fake->open = g_strdup(name);
  return leave(true);
}

static bool fake_scan(Mailbox *mailbox, uint32_t first, uint32_t last, MailboxItems items,
                      MailboxMessageFunc each, gpointer data, GError **error) {
  bool good = enter(FAKE_SCAN, error);
  FakeFolder *folder = good ? find_folder(((FakeMailbox *)mailbox)->open) : NULL;
  for (unsigned i = 0; folder != NULL && good && i < folder->messages->len; i++) {
    const FakeMessage *message = folder->messages->pdata[i];
    if (message->uid < first || message->uid > last) continue;
    MailboxMessage told = {
        .uid = message->uid, .flags = message->flags, .internaldate = -1, .size = -1};
    if (items & MAILBOX_SUMMARY) {
      told.internaldate = 1700000000 + message->uid;
      told.size = message->size_told;
      told.subject = message->subject;
      told.from_address = "alice@example.org";
    }
    good = each(&told, data, error);
  }
  return leave(good);
}

static bool fake_fetch(Mailbox *mailbox, uint32_t uid, MailboxSink sink, gpointer data,
                       GError **error) {
  if (!enter(FAKE_FETCH, error)) return leave(false);
  const FakeMessage *message = find_message(find_folder(((FakeMailbox *)mailbox)->open), uid);
  if (message == NULL || message->withheld) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "no message %u", uid);
    return leave(false);
  }
  return leave(sink(message->body, strlen(message->body), data, error));
}

static bool fake_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  *quota = (MailboxQuota){.used_bytes = 1 << 20, .limit_bytes = 1 << 30};
  return true;
}

static void fake_free(Mailbox *mailbox) {
  g_free(((FakeMailbox *)mailbox)->open);
  g_free(mailbox);
}

Mailbox *fake_mailbox_open(const Account *account, Waker *waker, const char *name, GError **error) {
  static const MailboxOps ops = {fake_list,  fake_examine, fake_scan,
                                 fake_fetch, fake_quota,   fake_free};
  if (!leave(enter(FAKE_OPEN, error))) return NULL;
  FakeMailbox *fake = g_new0(FakeMailbox, 1);
  fake->base.ops = &ops;
  fake->waker = waker;
  return &fake->base;
}
