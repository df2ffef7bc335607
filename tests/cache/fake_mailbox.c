#include "tests/cache/fake_mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "net/error.h"

typedef struct {
  uint32_t uid;
  char *subject, *body, *flags, *email_id;
  int64_t size_told;
  bool withheld;
  unsigned left_out;  // in so many answers
} FakeMessage;

typedef struct {
  char *name;
  char delimiter;
  unsigned attributes;
  uint32_t uidvalidity, uidnext;
  uint64_t modseq;
  GPtrArray *messages;
  GString *appended;
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
  uint64_t bytes;
  MailboxWatch watch;
  bool lists_status;
  unsigned watching, news;  // how many watch; counts what changed
  unsigned breaks;
  unsigned quirks;
  bool keeps_sent, loses_answers;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

#define REQUESTS_MAX 4

// A request whose answer was not read yet.
typedef struct {
  UidSet *uids;  // NULL: parts
  uint32_t uid;
  MailboxRange ranges[2];
  unsigned n_ranges;
  bool is_sent;    // answered before its turn
  bool has_moved;  // the folder is gone, or renumbered
} FakeRequest;

typedef struct {
  Mailbox base;
  Waker *waker;
  char *open;
  uint32_t uidvalidity;  // of the open folder
  FakeRequest requests[REQUESTS_MAX];
  unsigned n_requests;
  unsigned news_seen, breaks_seen;
} FakeMailbox;

static void free_message(gpointer data) {
  FakeMessage *message = data;
  g_free(message->subject);
  g_free(message->body);
  g_free(message->flags);
  g_free(message->email_id);
  g_free(message);
}

static void free_folder(gpointer data) {
  FakeFolder *folder = data;
  g_free(folder->name);
  g_ptr_array_unref(folder->messages);
  g_string_free(folder->appended, TRUE);
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
  server.bytes = 0;
  server.watch = MAILBOX_WATCHES_NOTHING;
  server.lists_status = false;
  server.quirks = 0;
  server.keeps_sent = server.loses_answers = false;
  pthread_mutex_unlock(&server.lock);
}

void fake_be(unsigned quirks) {
  pthread_mutex_lock(&server.lock);
  server.quirks = quirks;
  pthread_mutex_unlock(&server.lock);
}

// Something changed; locked by the caller.
static void note_change(FakeFolder *folder) {
  if (folder != NULL) folder->modseq++;
  server.news++;
  pthread_cond_broadcast(&server.moved);
}

void fake_add_folder(const char *name, char delimiter, unsigned attributes, uint32_t uidvalidity) {
  FakeFolder *folder = g_new0(FakeFolder, 1);
  *folder = (FakeFolder){.name = g_strdup(name),
                         .delimiter = delimiter,
                         .attributes = attributes,
                         .uidvalidity = uidvalidity,
                         .uidnext = 1,
                         .modseq = 1,
                         .messages = g_ptr_array_new_with_free_func(free_message),
                         .appended = g_string_new(NULL)};
  pthread_mutex_lock(&server.lock);
  g_ptr_array_add(server.folders, folder);
  note_change(NULL);
  pthread_mutex_unlock(&server.lock);
}

void fake_remove_folder(const char *name) {
  pthread_mutex_lock(&server.lock);
  g_ptr_array_remove(server.folders, find_folder(name));
  note_change(NULL);
  pthread_mutex_unlock(&server.lock);
}

void fake_renumber(const char *name, uint32_t uidvalidity) {
  pthread_mutex_lock(&server.lock);
  find_folder(name)->uidvalidity = uidvalidity;
  note_change(find_folder(name));
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
  note_change(folder);
  pthread_mutex_unlock(&server.lock);
  return message->uid;
}

void fake_remove_message(const char *name, uint32_t uid) {
  pthread_mutex_lock(&server.lock);
  FakeFolder *folder = find_folder(name);
  g_ptr_array_remove(folder->messages, find_message(folder, uid));
  note_change(folder);
  pthread_mutex_unlock(&server.lock);
}

void fake_set_flags(const char *name, uint32_t uid, const char *flags) {
  pthread_mutex_lock(&server.lock);
  FakeMessage *message = find_message(find_folder(name), uid);
  g_free(message->flags);
  message->flags = g_strdup(flags);
  note_change(find_folder(name));
  pthread_mutex_unlock(&server.lock);
}

void fake_set_email_id(const char *name, uint32_t uid, const char *email_id) {
  pthread_mutex_lock(&server.lock);
  find_message(find_folder(name), uid)->email_id = g_strdup(email_id);
  pthread_mutex_unlock(&server.lock);
}

void fake_change_body(const char *name, uint32_t uid, const char *body) {
  pthread_mutex_lock(&server.lock);
  FakeMessage *message = find_message(find_folder(name), uid);
  g_free(message->body);
  message->body = g_strdup(body);
  pthread_mutex_unlock(&server.lock);
}

void fake_withhold(const char *name, uint32_t uid) {
  pthread_mutex_lock(&server.lock);
  find_message(find_folder(name), uid)->withheld = true;
  pthread_mutex_unlock(&server.lock);
}

void fake_leave_out(const char *name, uint32_t uid, unsigned times) {
  pthread_mutex_lock(&server.lock);
  find_message(find_folder(name), uid)->left_out = times;
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

uint64_t fake_bytes(void) {
  pthread_mutex_lock(&server.lock);
  uint64_t bytes = server.bytes;
  pthread_mutex_unlock(&server.lock);
  return bytes;
}

void fake_allow_watch(MailboxWatch watch, bool lists_status) {
  pthread_mutex_lock(&server.lock);
  server.watch = watch;
  server.lists_status = lists_status;
  pthread_mutex_unlock(&server.lock);
}

void fake_await_watch(void) {
  pthread_mutex_lock(&server.lock);
  while (server.watching == 0)
    pthread_cond_wait(&server.moved, &server.lock);
  pthread_mutex_unlock(&server.lock);
}

void fake_break_watches(void) {
  pthread_mutex_lock(&server.lock);
  server.breaks++;
  pthread_cond_broadcast(&server.moved);
  pthread_mutex_unlock(&server.lock);
}

static MailboxStatus status_of(const FakeFolder *folder) {
  return (MailboxStatus){.uidvalidity = folder->uidvalidity,
                         .uidnext = folder->uidnext,
                         .exists = folder->messages->len,
                         .highestmodseq = server.lists_status ? folder->modseq : 0};
}

static bool fake_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status,
                      gpointer data, GError **error) {
  bool good = enter(FAKE_LIST, error);
  for (unsigned i = 0; good && i < server.folders->len; i++) {
    const FakeFolder *folder = server.folders->pdata[i];
    MailboxFolder told = {
        .name = folder->name, .delimiter = folder->delimiter, .attributes = folder->attributes};
    const MailboxStatus state = status_of(folder);
    good = each(&told, data, error) &&
           (!server.lists_status || status == NULL || status(folder->name, &state, data, error));
  }
  return leave(good);
}

// NULL: gone, error set.
static FakeFolder *open_folder(FakeMailbox *fake, const char *name, GError **error) {
  FakeFolder *folder = find_folder(name);
  g_clear_pointer(&fake->open, g_free);
  if (folder == NULL) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "no folder %s", name);
    return NULL;
  }
  fake->open = g_strdup(name);
  fake->uidvalidity = folder->uidvalidity;
  return folder;
}

static bool tell_message(const FakeMessage *message, bool is_new, const MailboxUpdateFuncs *funcs,
                         GError **error) {
  MailboxMessage told = {
      .uid = message->uid, .flags = message->flags, .internaldate = -1, .size = -1};
  if (is_new) {
    told.internaldate = 1700000000 + message->uid;
    told.size = message->size_told;
    told.subject = message->subject;
    told.message_id = message->subject;
    told.from_address = "alice@example.org";
    told.email_id = message->email_id;
  }
  return funcs->message(&told, funcs->data, error);
}

static bool fake_update(Mailbox *mailbox, const MailboxKnown *known,
                        const MailboxUpdateFuncs *funcs, MailboxUpdate *update, GError **error) {
  if (!enter(FAKE_UPDATE, error)) return leave(false);
  FakeFolder *folder = open_folder((FakeMailbox *)mailbox, known->folder, error);
  if (folder == NULL) return leave(false);
  update->status = status_of(folder);
  update->is_present_told = true;
  if (known->uidvalidity != 0 && known->uidvalidity != folder->uidvalidity) return leave(true);
  bool good = true;
  for (unsigned i = 0; good && i < folder->messages->len; i++) {
    const FakeMessage *message = folder->messages->pdata[i];
    bool is_new = message->uid > known->last_uid;
    if (!is_new) uid_set_add(update->present, message->uid);
    good = tell_message(message, is_new, funcs, error);
  }
  return leave(good);
}

static bool fake_request(Mailbox *mailbox, const MailboxRequest *request, GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  pthread_mutex_lock(&server.lock);
  g_assert_cmpuint(fake->n_requests, <, REQUESTS_MAX);
  FakeRequest *asked = &fake->requests[fake->n_requests++];
  *asked = (FakeRequest){.uid = request->uid, .n_ranges = request->n_ranges};
  memcpy(asked->ranges, request->ranges, sizeof asked->ranges);
  if (request->uids != NULL) {
    g_autoptr(UidSet) none = uid_set_new();
    asked->uids = uid_set_subtract(request->uids, none);
  }
  bool is_open = !request->anew && g_strcmp0(fake->open, request->folder) == 0;
  bool is_there = is_open || open_folder(fake, request->folder, NULL) != NULL;
  asked->has_moved = !is_there || fake->uidvalidity != request->uidvalidity;
  return leave(true);
}

// What this server takes a range for.
static MailboxRange range_sent(MailboxRange range, uint64_t length) {
  if (server.quirks & FAKE_NO_PARTS) return (MailboxRange){0, length};
  if (server.quirks & FAKE_SENDS_MORE) range.size = range.offset == 0 ? length : 1;
  return range;
}

static bool send_body(FakeFolder *folder, uint32_t uid, MailboxRange range,
                      const MailboxBodyFuncs *funcs, GError **error) {
  const FakeMessage *message = find_message(folder, uid);
  if (message == NULL || message->left_out > 0) return true;
  if (message->withheld) {
    funcs->withheld(uid, funcs->data);
    return true;
  }
  uint64_t length = strlen(message->body);
  range = range_sent(range, length);
  uint64_t from = MIN(range.offset, length), size = MIN(range.size, length - from);
  server.bytes += size;
  return funcs->begin(server.quirks & FAKE_UID_LAST ? 0 : uid, range.offset, funcs->data, error) &&
         (size == 0 || funcs->bytes(message->body + from, size, funcs->data, error)) &&
         funcs->end(uid, range.offset, funcs->data, error);
}

static bool is_asked_for(const FakeRequest *request, uint32_t uid) {
  return request->uids != NULL ? uid_set_contains(request->uids, uid) : request->uid == uid;
}

static void note_left_out(FakeFolder *folder, const FakeRequest *request) {
  for (unsigned i = 0; i < folder->messages->len; i++) {
    FakeMessage *message = folder->messages->pdata[i];
    if (message->left_out > 0 && is_asked_for(request, message->uid)) message->left_out--;
  }
}

static bool send_bodies(FakeFolder *folder, FakeRequest *request, const MailboxBodyFuncs *funcs,
                        GError **error) {
  bool good = true;
  if (request->is_sent) return true;
  request->is_sent = true;
  for (unsigned i = 0; good && i < request->n_ranges; i++)
    good = send_body(folder, request->uid, request->ranges[i], funcs, error);
  for (unsigned i = 0; good && request->uids != NULL && i < folder->messages->len; i++) {
    uint32_t uid = ((FakeMessage *)folder->messages->pdata[i])->uid;
    if (uid_set_contains(request->uids, uid))
      good = send_body(folder, uid, (MailboxRange){0, UINT64_MAX}, funcs, error);
  }
  note_left_out(folder, request);
  return good;
}

static bool fake_wants_pause(Mailbox *mailbox) {
  return false;
}

static bool fake_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  bool good = enter(FAKE_FETCH, error);
  FakeRequest request = fake->requests[0];
  fake->n_requests--;
  memmove(&fake->requests[0], &fake->requests[1], fake->n_requests * sizeof request);
  FakeFolder *folder = good && fake->open != NULL ? find_folder(fake->open) : NULL;
  bool is_other = folder == NULL || folder->uidvalidity != fake->uidvalidity;
  if (good && (request.has_moved || is_other)) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "the folder is not what it was");
    good = false;
  }
  if (good && server.quirks & FAKE_SWAPS && fake->n_requests > 0)
    good = send_bodies(folder, &fake->requests[0], funcs, error);
  good = good && send_bodies(folder, &request, funcs, error);
  g_clear_pointer(&request.uids, uid_set_free);
  return leave(good);
}

void fake_keep_sent(bool keeps) {
  pthread_mutex_lock(&server.lock);
  server.keeps_sent = keeps;
  pthread_mutex_unlock(&server.lock);
}

void fake_lose_answers(bool loses) {
  pthread_mutex_lock(&server.lock);
  server.loses_answers = loses;
  pthread_mutex_unlock(&server.lock);
}

char *fake_appended(const char *name) {
  pthread_mutex_lock(&server.lock);
  const FakeFolder *folder = find_folder(name);
  char *appended = g_strdup(folder != NULL ? folder->appended->str : "");
  pthread_mutex_unlock(&server.lock);
  return appended;
}

static bool fake_keeps_sent(Mailbox *mailbox) {
  pthread_mutex_lock(&server.lock);
  bool keeps = server.keeps_sent;
  pthread_mutex_unlock(&server.lock);
  return keeps;
}

static bool read_all(const MailboxAppend *message, GString *bytes, GError **error) {
  char buffer[100];
  ssize_t size;
  while ((size = message->read(buffer, sizeof buffer, message->data, error)) > 0)
    g_string_append_len(bytes, buffer, size);
  if (size == 0) g_assert_cmpuint(bytes->len, ==, message->size);
  return size == 0;
}

static bool fake_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain,
                        GError **error) {
  g_autoptr(GString) bytes = g_string_new(NULL);
  bool good = enter(FAKE_APPEND, error);
  if (!good && !server.loses_answers) return leave(false);
  *uncertain = !good;
  FakeFolder *folder = find_folder(message->folder);
  if (folder == NULL) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "no folder %s", message->folder);
    return leave(false);
  }
  if (!read_all(message, bytes, good ? error : NULL)) return leave(false);
  g_string_append_printf(folder->appended, "%s %" G_GINT64_FORMAT " %s;", message->flags,
                         message->internaldate, bytes->str);
  note_change(folder);
  return leave(good);
}

static bool fake_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
                      bool *found, GError **error) {
  if (!enter(FAKE_FIND, error)) return leave(false);
  const FakeFolder *opened = open_folder((FakeMailbox *)mailbox, folder, error);
  if (opened != NULL) *found = strstr(opened->appended->str, value) != NULL;
  return leave(opened != NULL);
}

static MailboxWatch fake_can_watch(Mailbox *mailbox) {
  pthread_mutex_lock(&server.lock);
  MailboxWatch watch = server.watch;
  pthread_mutex_unlock(&server.lock);
  return watch;
}

static void tell_folders(const FakeMailbox *fake, const MailboxNewsFuncs *funcs) {
  for (unsigned i = 0; i < server.folders->len; i++) {
    const FakeFolder *folder = server.folders->pdata[i];
    const MailboxStatus status = status_of(folder);
    if (server.watch == MAILBOX_WATCHES_ALL)
      funcs->folder(folder->name, server.lists_status ? &status : NULL, funcs->data);
    else if (g_strcmp0(folder->name, fake->open) == 0)
      funcs->folder(folder->name, NULL, funcs->data);
  }
  if (server.watch == MAILBOX_WATCHES_ALL) funcs->tree(funcs->data);
}

static bool fake_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs,
                       GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  bool good = enter(FAKE_WATCH, error);
  if (good) funcs->watching(server.watch, funcs->data);
  server.watching++;
  while (good) {
    if (fake->news_seen != server.news) tell_folders(fake, funcs);
    fake->news_seen = server.news;
    pthread_cond_broadcast(&server.moved);
    pthread_mutex_unlock(&server.lock);
    // A real server would speak on the wire, which is waited for beside the waker.
    struct pollfd woken = {.fd = waker_fd(fake->waker), .events = POLLIN};
    bool is_woken = poll(&woken, 1, 1) > 0;
    pthread_mutex_lock(&server.lock);
    if (is_woken) break;
    good = fake->breaks_seen == server.breaks;
  }
  server.watching--;
  if (!good && error != NULL && *error == NULL)
    g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the fake server hung up");
  if (good && waker_is_cancelled(fake->waker)) {
    g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "cancelled");
    good = false;
  }
  return leave(good);
}

static bool fake_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  *quota = (MailboxQuota){.used_bytes = 1 << 20, .limit_bytes = 1 << 30};
  return true;
}

static void fake_free(Mailbox *mailbox) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  for (unsigned i = 0; i < fake->n_requests; i++)
    uid_set_free(fake->requests[i].uids);
  g_free(fake->open);
  g_free(fake);
}

Mailbox *fake_mailbox_open(const Account *account, Waker *waker, const char *name, GError **error) {
  static const MailboxOps ops = {
      .list = fake_list,
      .update = fake_update,
      .request = fake_request,
      .wants_pause = fake_wants_pause,
      .receive = fake_receive,
      .watch = fake_watch,
      .can_watch = fake_can_watch,
      .append = fake_append,
      .find = fake_find,
      .keeps_sent = fake_keeps_sent,
      .quota = fake_quota,
      .free = fake_free,
  };
  if (!leave(enter(FAKE_OPEN, error))) return NULL;
  FakeMailbox *fake = g_new0(FakeMailbox, 1);
  fake->base.ops = &ops;
  fake->waker = waker;
  pthread_mutex_lock(&server.lock);
  fake->news_seen = server.news;
  fake->breaks_seen = server.breaks;
  pthread_mutex_unlock(&server.lock);
  return &fake->base;
}
