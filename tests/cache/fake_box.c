#include "tests/cache/fake_box.h"

#include <string.h>

#include "net/error.h"

FakeBox fake_box = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void free_message(gpointer data) {
  FakeMessage *message = data;
  g_free(message->subject);
  g_free(message->body);
  g_free(message->flags);
  g_free(message->email_id);
  g_free(message->uidl);
  g_free(message);
}

static void free_folder(gpointer data) {
  FakeFolder *folder = data;
  g_free(folder->name);
  g_ptr_array_unref(folder->messages);
  g_string_free(folder->appended, TRUE);
  g_free(folder);
}

FakeFolder *fake_find_folder(const char *name) {
  for (unsigned i = 0; i < fake_box.folders->len; i++) {
    FakeFolder *folder = fake_box.folders->pdata[i];
    if (strcmp(folder->name, name) == 0) return folder;
  }
  return NULL;
}

FakeMessage *fake_find_message(FakeFolder *folder, uint32_t uid) {
  for (unsigned i = 0; i < folder->messages->len; i++) {
    FakeMessage *message = folder->messages->pdata[i];
    if (message->uid == uid) return message;
  }
  return NULL;
}

void fake_reset(void) {
  pthread_mutex_lock(&fake_box.lock);
  g_clear_pointer(&fake_box.folders, g_ptr_array_unref);
  fake_box.folders = g_ptr_array_new_with_free_func(free_folder);
  memset(fake_box.calls, 0, sizeof fake_box.calls);
  fake_box.bytes = 0;
  fake_box.watch = MAILBOX_WATCHES_NOTHING;
  fake_box.lists_status = false;
  fake_box.quirks = 0;
  fake_box.keeps_sent = fake_box.loses_answers = false;
  fake_box.most_requests = fake_box.logouts = fake_box.cut_goodbyes = 0;
  fake_box.login_delay_s = 0;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_be(unsigned quirks) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.quirks = quirks;
  pthread_mutex_unlock(&fake_box.lock);
}

// Something changed; locked by the caller.
void fake_note_change(FakeFolder *folder) {
  if (folder != NULL) folder->modseq++;
  fake_box.news++;
  pthread_cond_broadcast(&fake_box.moved);
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
  pthread_mutex_lock(&fake_box.lock);
  g_ptr_array_add(fake_box.folders, folder);
  fake_note_change(NULL);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_remove_folder(const char *name) {
  pthread_mutex_lock(&fake_box.lock);
  g_ptr_array_remove(fake_box.folders, fake_find_folder(name));
  fake_note_change(NULL);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_renumber(const char *name, uint32_t uidvalidity) {
  pthread_mutex_lock(&fake_box.lock);
  fake_find_folder(name)->uidvalidity = uidvalidity;
  fake_note_change(fake_find_folder(name));
  pthread_mutex_unlock(&fake_box.lock);
}

uint32_t fake_add_message(const char *name, const char *subject, const char *body,
                          int64_t size_told) {
  FakeMessage *message = g_new0(FakeMessage, 1);
  pthread_mutex_lock(&fake_box.lock);
  FakeFolder *folder = fake_find_folder(name);
  *message = (FakeMessage){.uid = folder->uidnext++,
                           .subject = g_strdup(subject),
                           .body = g_strdup(body),
                           .flags = g_strdup(""),
                           .size_told = size_told < 0 ? (int64_t)strlen(body) : size_told};
  g_ptr_array_add(folder->messages, message);
  fake_note_change(folder);
  pthread_mutex_unlock(&fake_box.lock);
  return message->uid;
}

void fake_remove_message(const char *name, uint32_t uid) {
  pthread_mutex_lock(&fake_box.lock);
  FakeFolder *folder = fake_find_folder(name);
  g_ptr_array_remove(folder->messages, fake_find_message(folder, uid));
  fake_note_change(folder);
  pthread_mutex_unlock(&fake_box.lock);
}

unsigned fake_messages(const char *name) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned count = fake_find_folder(name)->messages->len;
  pthread_mutex_unlock(&fake_box.lock);
  return count;
}

bool fake_has_message(const char *name, uint32_t uid) {
  pthread_mutex_lock(&fake_box.lock);
  bool has = fake_find_message(fake_find_folder(name), uid) != NULL;
  pthread_mutex_unlock(&fake_box.lock);
  return has;
}

bool fake_has_uidl(const char *name, const char *uidl) {
  bool has = false;
  pthread_mutex_lock(&fake_box.lock);
  const GPtrArray *messages = fake_find_folder(name)->messages;
  for (unsigned i = 0; i < messages->len; i++)
    has = has || g_strcmp0(((FakeMessage *)messages->pdata[i])->uidl, uidl) == 0;
  pthread_mutex_unlock(&fake_box.lock);
  return has;
}

void fake_set_flags(const char *name, uint32_t uid, const char *flags) {
  pthread_mutex_lock(&fake_box.lock);
  FakeMessage *message = fake_find_message(fake_find_folder(name), uid);
  g_free(message->flags);
  message->flags = g_strdup(flags);
  fake_note_change(fake_find_folder(name));
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_set_email_id(const char *name, uint32_t uid, const char *email_id) {
  pthread_mutex_lock(&fake_box.lock);
  fake_find_message(fake_find_folder(name), uid)->email_id = g_strdup(email_id);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_set_uidl(const char *name, uint32_t uid, const char *uidl) {
  pthread_mutex_lock(&fake_box.lock);
  FakeMessage *message = fake_find_message(fake_find_folder(name), uid);
  g_free(message->uidl);
  message->uidl = g_strdup(uidl);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_change_body(const char *name, uint32_t uid, const char *body) {
  pthread_mutex_lock(&fake_box.lock);
  FakeMessage *message = fake_find_message(fake_find_folder(name), uid);
  g_free(message->body);
  message->body = g_strdup(body);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_withhold(const char *name, uint32_t uid) {
  pthread_mutex_lock(&fake_box.lock);
  fake_find_message(fake_find_folder(name), uid)->withheld = true;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_refuse_header(const char *name, uint32_t uid, bool refuses) {
  pthread_mutex_lock(&fake_box.lock);
  fake_find_message(fake_find_folder(name), uid)->refuses_header = refuses;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_leave_out(const char *name, uint32_t uid, unsigned times) {
  pthread_mutex_lock(&fake_box.lock);
  fake_find_message(fake_find_folder(name), uid)->left_out = times;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_fail(FakeCall call, int code, unsigned times) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.calls[call].code = code;
  fake_box.calls[call].times = times;
  pthread_mutex_unlock(&fake_box.lock);
}

static void set_held(FakeCall call, bool held) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.calls[call].held = held;
  pthread_cond_broadcast(&fake_box.moved);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_hold(FakeCall call) {
  set_held(call, true);
}

void fake_release(FakeCall call) {
  set_held(call, false);
}

void fake_await_held(FakeCall call) {
  pthread_mutex_lock(&fake_box.lock);
  while (fake_box.calls[call].waiting == 0)
    pthread_cond_wait(&fake_box.moved, &fake_box.lock);
  pthread_mutex_unlock(&fake_box.lock);
}

unsigned fake_calls(FakeCall call) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned calls = fake_box.calls[call].calls;
  pthread_mutex_unlock(&fake_box.lock);
  return calls;
}

// Every call passes here first; the lock is held when it returns, whatever it returns.
bool fake_enter(FakeCall call, GError **error) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.calls[call].calls++;
  fake_box.calls[call].waiting++;
  pthread_cond_broadcast(&fake_box.moved);
  while (fake_box.calls[call].held)
    pthread_cond_wait(&fake_box.moved, &fake_box.lock);
  fake_box.calls[call].waiting--;
  if (fake_box.calls[call].times == 0) return true;
  fake_box.calls[call].times--;
  g_set_error(error, NET_ERROR, fake_box.calls[call].code, "the fake server fails");
  return false;
}

bool fake_leave(bool result) {
  pthread_mutex_unlock(&fake_box.lock);
  return result;
}

uint64_t fake_bytes(void) {
  pthread_mutex_lock(&fake_box.lock);
  uint64_t bytes = fake_box.bytes;
  pthread_mutex_unlock(&fake_box.lock);
  return bytes;
}

unsigned fake_most_requests(void) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned most = fake_box.most_requests;
  pthread_mutex_unlock(&fake_box.lock);
  return most;
}

unsigned fake_logouts(void) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned logouts = fake_box.logouts;
  pthread_mutex_unlock(&fake_box.lock);
  return logouts;
}

void fake_delay_logins(unsigned seconds) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.login_delay_s = seconds;
  pthread_mutex_unlock(&fake_box.lock);
}

unsigned fake_cut_goodbyes(void) {
  pthread_mutex_lock(&fake_box.lock);
  unsigned cut = fake_box.cut_goodbyes;
  pthread_mutex_unlock(&fake_box.lock);
  return cut;
}

void fake_allow_watch(MailboxWatch watch, bool lists_status) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.watch = watch;
  fake_box.lists_status = lists_status;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_await_watch(void) {
  pthread_mutex_lock(&fake_box.lock);
  while (fake_box.watching == 0)
    pthread_cond_wait(&fake_box.moved, &fake_box.lock);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_break_watches(void) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.breaks++;
  pthread_cond_broadcast(&fake_box.moved);
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_keep_sent(bool keeps) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.keeps_sent = keeps;
  pthread_mutex_unlock(&fake_box.lock);
}

void fake_lose_answers(bool loses) {
  pthread_mutex_lock(&fake_box.lock);
  fake_box.loses_answers = loses;
  pthread_mutex_unlock(&fake_box.lock);
}

char *fake_appended(const char *name) {
  pthread_mutex_lock(&fake_box.lock);
  const FakeFolder *folder = fake_find_folder(name);
  char *appended = g_strdup(folder != NULL ? folder->appended->str : "");
  pthread_mutex_unlock(&fake_box.lock);
  return appended;
}
