#include <poll.h>
#include <string.h>

#include "net/error.h"
#include "tests/cache/fake_box.h"

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

static MailboxStatus status_of(const FakeFolder *folder) {
  return (MailboxStatus){.uidvalidity = folder->uidvalidity,
                         .uidnext = folder->uidnext,
                         .exists = folder->messages->len,
                         .highestmodseq = fake_box.lists_status ? folder->modseq : 0};
}

static bool fake_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status,
                      gpointer data, GError **error) {
  bool good = fake_enter(FAKE_LIST, error);
  for (unsigned i = 0; good && i < fake_box.folders->len; i++) {
    const FakeFolder *folder = fake_box.folders->pdata[i];
    MailboxFolder told = {
        .name = folder->name, .delimiter = folder->delimiter, .attributes = folder->attributes};
    const MailboxStatus state = status_of(folder);
    good = each(&told, data, error) &&
           (!fake_box.lists_status || status == NULL || status(folder->name, &state, data, error));
  }
  return fake_leave(good);
}

// NULL: gone, error set.
static FakeFolder *open_folder(FakeMailbox *fake, const char *name, GError **error) {
  FakeFolder *folder = fake_find_folder(name);
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
  if (!fake_enter(FAKE_UPDATE, error)) return fake_leave(false);
  FakeFolder *folder = open_folder((FakeMailbox *)mailbox, known->folder, error);
  if (folder == NULL) return fake_leave(false);
  update->status = status_of(folder);
  update->is_present_told = true;
  if (known->uidvalidity != 0 && known->uidvalidity != folder->uidvalidity) return fake_leave(true);
  bool good = true;
  for (unsigned i = 0; good && i < folder->messages->len; i++) {
    const FakeMessage *message = folder->messages->pdata[i];
    bool is_new = message->uid > known->last_uid;
    if (!is_new) uid_set_add(update->present, message->uid);
    good = tell_message(message, is_new, funcs, error);
  }
  return fake_leave(good);
}

static bool fake_request(Mailbox *mailbox, const MailboxRequest *request, GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  pthread_mutex_lock(&fake_box.lock);
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
  return fake_leave(true);
}

// What this server takes a range for.
static MailboxRange range_sent(MailboxRange range, uint64_t length) {
  if (fake_box.quirks & FAKE_NO_PARTS) return (MailboxRange){0, length};
  if (fake_box.quirks & FAKE_SENDS_MORE) range.size = range.offset == 0 ? length : 1;
  return range;
}

static bool send_body(FakeFolder *folder, uint32_t uid, MailboxRange range,
                      const MailboxBodyFuncs *funcs, GError **error) {
  const FakeMessage *message = fake_find_message(folder, uid);
  if (message == NULL || message->left_out > 0) return true;
  if (message->withheld) {
    funcs->withheld(uid, funcs->data);
    return true;
  }
  uint64_t length = strlen(message->body);
  range = range_sent(range, length);
  uint64_t from = MIN(range.offset, length), size = MIN(range.size, length - from);
  fake_box.bytes += size;
  return funcs->begin(fake_box.quirks & FAKE_UID_LAST ? 0 : uid, range.offset, funcs->data,
                      error) &&
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
  bool good = fake_enter(FAKE_FETCH, error);
  FakeRequest request = fake->requests[0];
  fake->n_requests--;
  memmove(&fake->requests[0], &fake->requests[1], fake->n_requests * sizeof request);
  FakeFolder *folder = good && fake->open != NULL ? fake_find_folder(fake->open) : NULL;
  bool is_other = folder == NULL || folder->uidvalidity != fake->uidvalidity;
  if (good && (request.has_moved || is_other)) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "the folder is not what it was");
    good = false;
  }
  if (good && fake_box.quirks & FAKE_SWAPS && fake->n_requests > 0)
    good = send_bodies(folder, &fake->requests[0], funcs, error);
  good = good && send_bodies(folder, &request, funcs, error);
  g_clear_pointer(&request.uids, uid_set_free);
  return fake_leave(good);
}

static bool fake_keeps_sent(Mailbox *mailbox) {
  pthread_mutex_lock(&fake_box.lock);
  bool keeps = fake_box.keeps_sent;
  pthread_mutex_unlock(&fake_box.lock);
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
  bool good = fake_enter(FAKE_APPEND, error);
  if (!good && !fake_box.loses_answers) return fake_leave(false);
  *uncertain = !good;
  FakeFolder *folder = fake_find_folder(message->folder);
  if (folder == NULL) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "no folder %s", message->folder);
    return fake_leave(false);
  }
  if (!read_all(message, bytes, good ? error : NULL)) return fake_leave(false);
  g_string_append_printf(folder->appended, "%s %" G_GINT64_FORMAT " %s;", message->flags,
                         message->internaldate, bytes->str);
  fake_note_change(folder);
  return fake_leave(good);
}

static bool fake_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
                      bool *found, GError **error) {
  if (!fake_enter(FAKE_FIND, error)) return fake_leave(false);
  const FakeFolder *opened = open_folder((FakeMailbox *)mailbox, folder, error);
  if (opened != NULL) *found = strstr(opened->appended->str, value) != NULL;
  return fake_leave(opened != NULL);
}

static MailboxWatch fake_can_watch(Mailbox *mailbox) {
  pthread_mutex_lock(&fake_box.lock);
  MailboxWatch watch = fake_box.watch;
  pthread_mutex_unlock(&fake_box.lock);
  return watch;
}

static void tell_folders(const FakeMailbox *fake, const MailboxNewsFuncs *funcs) {
  for (unsigned i = 0; i < fake_box.folders->len; i++) {
    const FakeFolder *folder = fake_box.folders->pdata[i];
    const MailboxStatus status = status_of(folder);
    if (fake_box.watch == MAILBOX_WATCHES_ALL)
      funcs->folder(folder->name, fake_box.lists_status ? &status : NULL, funcs->data);
    else if (g_strcmp0(folder->name, fake->open) == 0)
      funcs->folder(folder->name, NULL, funcs->data);
  }
  if (fake_box.watch == MAILBOX_WATCHES_ALL) funcs->tree(funcs->data);
}

static bool fake_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs,
                       GError **error) {
  FakeMailbox *fake = (FakeMailbox *)mailbox;
  bool good = fake_enter(FAKE_WATCH, error);
  if (good) funcs->watching(fake_box.watch, funcs->data);
  fake_box.watching++;
  while (good) {
    if (fake->news_seen != fake_box.news) tell_folders(fake, funcs);
    fake->news_seen = fake_box.news;
    pthread_cond_broadcast(&fake_box.moved);
    pthread_mutex_unlock(&fake_box.lock);
    // A real server would speak on the wire, which is waited for beside the waker.
    struct pollfd woken = {.fd = waker_fd(fake->waker), .events = POLLIN};
    bool is_woken = poll(&woken, 1, 1) > 0;
    pthread_mutex_lock(&fake_box.lock);
    if (is_woken) break;
    good = fake->breaks_seen == fake_box.breaks;
  }
  fake_box.watching--;
  if (!good && error != NULL && *error == NULL)
    g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the fake server hung up");
  if (good && waker_is_cancelled(fake->waker)) {
    g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "cancelled");
    good = false;
  }
  return fake_leave(good);
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
  if (!fake_leave(fake_enter(FAKE_OPEN, error))) return NULL;
  FakeMailbox *fake = g_new0(FakeMailbox, 1);
  fake->base.ops = &ops;
  fake->waker = waker;
  pthread_mutex_lock(&fake_box.lock);
  fake->news_seen = fake_box.news;
  fake->breaks_seen = fake_box.breaks;
  pthread_mutex_unlock(&fake_box.lock);
  return &fake->base;
}
