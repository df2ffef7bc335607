#include <string.h>

#include "net/error.h"
#include "tests/cache/fake_box.h"

#define CHUNK_BYTES 1024

// A message of the maildrop as it was at the login.
typedef struct {
  uint32_t there;  // its number in the fake server's folder
  uint32_t uid;    // of the caller's; 0: not listed on this connection
} FakeDrop;

typedef struct {
  Mailbox base;
  Waker *waker;
  GArray *drops;    // of FakeDrop
  GQueue requests;  // of UidSet
  bool is_listed;
} FakePop3;

static bool pop3_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status,
                      gpointer data, GError **error) {
  static const MailboxFolder inbox = {.name = "INBOX"};
  bool good = fake_enter(FAKE_LIST, error) && each(&inbox, data, error);
  return fake_leave(good);
}

// Newly allocated; a UIDL that several messages have is told apart.
static char *id_of(const FakeFolder *folder, const FakeMessage *message) {
  unsigned n = 1;
  if (message->uidl == NULL) return g_strdup_printf("%016x", message->uid);
  for (unsigned i = 0; folder->messages->pdata[i] != message; i++)
    if (g_strcmp0(((FakeMessage *)folder->messages->pdata[i])->uidl, message->uidl) == 0) n++;
  return n > 1 ? g_strdup_printf("%s-%u", message->uidl, n) : g_strdup(message->uidl);
}

static bool send_message(const FakeMessage *message, uint32_t uid, const MailboxBodyFuncs *funcs,
                         GError **error) {
  size_t length = strlen(message->body);
  bool good = funcs->begin(uid, 0, funcs->data, error);
  for (size_t at = 0; good && at < length; at += CHUNK_BYTES)
    good = funcs->bytes(message->body + at, MIN(CHUNK_BYTES, length - at), funcs->data, error);
  fake_box.bytes += length;
  return good && funcs->end(uid, 0, funcs->data, error);
}

static bool tell_new(const FakeMessage *message, const char *id, uint32_t uid,
                     const MailboxUpdateFuncs *funcs, GError **error) {
  const char *end = strstr(message->body, "\r\n\r\n");
  if (message->refuses_header) {
    const MailboxMessage bare = {
        .uid = uid, .internaldate = -1, .size = message->size_told, .id = id};
    return funcs->message(&bare, funcs->data, error);
  }
  const MailboxMessage told = {
      .uid = uid,
      .internaldate = -1,
      .size = message->size_told,
      .id = id,
      .header = message->body,
      .header_bytes = end != NULL ? (size_t)(end - message->body) + 4 : strlen(message->body),
  };
  bool is_whole = fake_box.quirks & FAKE_NO_TOP && funcs->bodies != NULL;
  return (!is_whole || send_message(message, uid, funcs->bodies, error)) &&
         funcs->message(&told, funcs->data, error);
}

static bool recognise(const FakeMessage *message, const char *id, uint32_t *uid,
                      const MailboxUpdateFuncs *funcs, GError **error) {
  bool is_certain = true, is_same = false;
  const char *end = strstr(message->body, "\r\n\r\n");
  if (!funcs->number(id, message->size_told, uid, &is_certain, funcs->data, error)) return false;
  if (*uid == 0 || is_certain) return true;
  MailboxMessage told = {
      .uid = *uid,
      .internaldate = -1,
      .size = message->size_told,
      .header = message->body,
      .header_bytes = end != NULL ? (size_t)(end - message->body) + 4 : strlen(message->body),
  };
  if (message->refuses_header) told.header = NULL;
  if (!funcs->is_same(&told, &is_same, funcs->data, error)) return false;
  if (!is_same) *uid = 0;
  return true;
}

static bool tell(FakePop3 *pop3, FakeDrop *drop, uint32_t *last_uid,
                 const MailboxUpdateFuncs *funcs, MailboxUpdate *update, GError **error) {
  FakeFolder *folder = fake_find_folder("INBOX");
  const FakeMessage *message = fake_find_message(folder, drop->there);
  if (message == NULL) return true;
  g_autofree char *id = id_of(folder, message);
  if (!recognise(message, id, &drop->uid, funcs, error)) return false;
  if (drop->uid != 0) {
    uid_set_add(update->present, drop->uid);
    return true;
  }
  drop->uid = ++*last_uid;
  return tell_new(message, id, drop->uid, funcs, error);
}

static bool pop3_update(Mailbox *mailbox, const MailboxKnown *known,
                        const MailboxUpdateFuncs *funcs, MailboxUpdate *update, GError **error) {
  FakePop3 *pop3 = (FakePop3 *)mailbox;
  uint32_t last_uid = known->last_uid;
  bool good = fake_enter(FAKE_UPDATE, error);
  g_assert_true(g_queue_is_empty(&pop3->requests));
  // Its own count may well go backwards.
  update->status = (MailboxStatus){
      .uidvalidity = 1, .uidnext = pop3->drops->len + 1, .exists = pop3->drops->len};
  update->is_present_told = (fake_box.quirks & FAKE_LOSES_NAME) == 0;
  for (unsigned i = update->is_present_told ? 0 : 1; good && i < pop3->drops->len; i++)
    good = tell(pop3, &g_array_index(pop3->drops, FakeDrop, i), &last_uid, funcs, update, error);
  if (good && fake_box.quirks & FAKE_BREAKS_OFF) {
    fake_box.quirks &= ~(unsigned)FAKE_BREAKS_OFF;
    g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, "the listing breaks off");
    good = false;
  }
  pop3->is_listed = pop3->is_listed || good;
  return fake_leave(good);
}

static bool pop3_request(Mailbox *mailbox, const MailboxRequest *request, GError **error) {
  FakePop3 *pop3 = (FakePop3 *)mailbox;
  g_autoptr(UidSet) none = uid_set_new();
  pthread_mutex_lock(&fake_box.lock);
  g_assert_nonnull(request->uids);
  g_assert_false(request->anew);
  g_queue_push_tail(&pop3->requests, uid_set_subtract(request->uids, none));
  g_assert_cmpuint(pop3->requests.length, <=, MAILBOX_PIPELINE_MAX);
  fake_box.most_requests = MAX(fake_box.most_requests, pop3->requests.length);
  return fake_leave(true);
}

static bool pop3_wants_pause(Mailbox *mailbox) {
  return false;
}

static bool send_all(FakePop3 *pop3, const UidSet *uids, const MailboxBodyFuncs *funcs,
                     GError **error) {
  FakeFolder *folder = fake_find_folder("INBOX");
  bool good = true;
  for (unsigned i = 0; good && i < pop3->drops->len; i++) {
    const FakeDrop *drop = &g_array_index(pop3->drops, FakeDrop, i);
    if (drop->uid == 0 || !uid_set_contains(uids, drop->uid)) continue;
    const FakeMessage *message = fake_find_message(folder, drop->there);
    if (message != NULL && message->withheld)
      funcs->withheld(drop->uid, funcs->data);
    else if (message != NULL)
      good = send_message(message, drop->uid, funcs, error);
  }
  return good;
}

static bool pop3_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error) {
  FakePop3 *pop3 = (FakePop3 *)mailbox;
  bool good = fake_enter(FAKE_FETCH, error);
  g_autoptr(UidSet) uids = g_queue_pop_head(&pop3->requests);
  if (good && !pop3->is_listed) {
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "nothing was listed on this connection");
    good = false;
  }
  return fake_leave(good && send_all(pop3, uids, funcs, error));
}

static MailboxWatch pop3_can_watch(Mailbox *mailbox) {
  return MAILBOX_WATCHES_NOTHING;
}

static bool pop3_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  *quota = (MailboxQuota){0};
  return true;
}

static unsigned pop3_login_delay_s(Mailbox *mailbox) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned seconds = fake_box.login_delay_s;
  pthread_mutex_unlock(&fake_box.lock);
  return seconds;
}

// DELE and QUIT.
static bool pop3_expunge(Mailbox *mailbox, const char *name, uint32_t uidvalidity,
                         const UidSet *uids, GError **error) {
  const FakePop3 *pop3 = (FakePop3 *)mailbox;
  bool good = fake_enter(FAKE_EXPUNGE, error);
  FakeFolder *folder = fake_find_folder("INBOX");
  g_assert_true(pop3->is_listed);
  g_assert_cmpuint(uidvalidity, ==, 1);
  for (unsigned i = 0; (good || fake_box.loses_answers) && i < pop3->drops->len; i++) {
    const FakeDrop *drop = &g_array_index(pop3->drops, FakeDrop, i);
    FakeMessage *message = fake_find_message(folder, drop->there);
    if (message != NULL && drop->uid != 0 && uid_set_contains(uids, drop->uid))
      g_ptr_array_remove(folder->messages, message);
  }
  return fake_leave(good);
}

static void free_set(gpointer set) {
  uid_set_free(set);
}

static void pop3_free(Mailbox *mailbox) {
  FakePop3 *pop3 = (FakePop3 *)mailbox;
  pthread_mutex_lock(&fake_box.lock);
  fake_box.is_locked = false;
  fake_box.logouts++;
  if (waker_is_cancelled(pop3->waker)) fake_box.cut_goodbyes++;
  pthread_mutex_unlock(&fake_box.lock);
  g_array_unref(pop3->drops);
  g_queue_clear_full(&pop3->requests, free_set);
  g_free(pop3);
}

static GArray *take_drops(void) {
  GArray *drops = g_array_new(FALSE, TRUE, sizeof(FakeDrop));
  const FakeFolder *folder = fake_find_folder("INBOX");
  for (unsigned i = 0; i < folder->messages->len; i++) {
    FakeDrop drop = {.there = ((FakeMessage *)folder->messages->pdata[i])->uid};
    g_array_append_val(drops, drop);
  }
  return drops;
}

Mailbox *fake_pop3_open(const Account *account, Waker *waker, const char *name, GError **error) {
  static const MailboxOps ops = {
      .list = pop3_list,
      .update = pop3_update,
      .request = pop3_request,
      .wants_pause = pop3_wants_pause,
      .receive = pop3_receive,
      .can_watch = pop3_can_watch,
      .expunge = pop3_expunge,
      .quota = pop3_quota,
      .login_delay_s = pop3_login_delay_s,
      .free = pop3_free,
  };
  bool good = fake_enter(FAKE_OPEN, error);
  if (good && fake_box.is_locked)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY, "[IN-USE] the mailbox is locked");
  if (!good || fake_box.is_locked) {
    fake_leave(false);
    return NULL;
  }
  FakePop3 *pop3 = g_new0(FakePop3, 1);
  pop3->base.ops = &ops;
  pop3->waker = waker;
  pop3->drops = take_drops();
  g_queue_init(&pop3->requests);
  fake_box.is_locked = true;
  fake_box.most_requests = 0;
  fake_leave(true);
  return &pop3->base;
}
