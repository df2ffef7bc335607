#include "fake_sender.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "net/error.h"

typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t stalled;
  bool is_stalled, goes_on, goes_on_once;
  GArray *steps;       // of FakeStep
  FakeStep set;        // afterwards
  GPtrArray *letters;  // of char *
  unsigned connections, tries;
  unsigned open, most, allowed;  // connections that are, were at once, may be
  uint64_t max_size;
  const char *hated;  // NULL: nobody
  FakeAhead ahead;
  unsigned begun;
  FakeWatch watch;
  gpointer watch_data;
} FakeServer;

typedef struct {
  Sender sender;
  Waker *waker;
  const SenderLetter *next;  // must be sent next, if that is known
  GString *next_text;        // all of it, if it was ended
} FakeSender;

static FakeServer *server;

void fake_server_begin(void) {
  server = g_new0(FakeServer, 1);
  pthread_mutex_init(&server->mutex, NULL);
  pthread_cond_init(&server->stalled, NULL);
  server->steps = g_array_new(false, false, sizeof(FakeStep));
  server->letters = g_ptr_array_new_with_free_func(g_free);
}

void fake_server_end(void) {
  pthread_cond_destroy(&server->stalled);
  pthread_mutex_destroy(&server->mutex);
  g_array_unref(server->steps);
  g_ptr_array_unref(server->letters);
  g_clear_pointer(&server, g_free);
}

void fake_server_expect(FakeStep step) {
  pthread_mutex_lock(&server->mutex);
  g_array_append_val(server->steps, step);
  pthread_mutex_unlock(&server->mutex);
}

void fake_server_set(FakeStep step) {
  pthread_mutex_lock(&server->mutex);
  server->set = step;
  pthread_mutex_unlock(&server->mutex);
}

unsigned fake_server_left(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned left = server->steps->len;
  pthread_mutex_unlock(&server->mutex);
  return left;
}

static FakeStep first_step(void) {
  pthread_mutex_lock(&server->mutex);
  FakeStep step = server->steps->len > 0 ? g_array_index(server->steps, FakeStep, 0) : server->set;
  pthread_mutex_unlock(&server->mutex);
  return step;
}

static FakeStep take_step(void) {
  FakeStep step = first_step();
  pthread_mutex_lock(&server->mutex);
  if (server->steps->len > 0) g_array_remove_index(server->steps, 0);
  pthread_mutex_unlock(&server->mutex);
  return step;
}

void fake_server_hate(const char *from) {
  pthread_mutex_lock(&server->mutex);
  server->hated = from;
  pthread_mutex_unlock(&server->mutex);
}

static bool is_hated(const SenderLetter *letter) {
  pthread_mutex_lock(&server->mutex);
  bool hated = server->hated != NULL && g_str_equal(server->hated, letter->from);
  pthread_mutex_unlock(&server->mutex);
  return hated;
}

unsigned fake_server_count(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned count = server->letters->len;
  pthread_mutex_unlock(&server->mutex);
  return count;
}

unsigned fake_server_connections(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned count = server->connections;
  pthread_mutex_unlock(&server->mutex);
  return count;
}

unsigned fake_server_tries(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned tries = server->tries;
  pthread_mutex_unlock(&server->mutex);
  return tries;
}

// Before any sender is open.
void fake_server_watch(FakeWatch watch, gpointer data) {
  server->watch = watch;
  server->watch_data = data;
}

static void tell(FakeMoment moment, const GString *text) {
  if (server->watch != NULL)
    server->watch(moment, text != NULL ? text->str : NULL, server->watch_data);
}

void fake_server_limit(uint64_t max_size) {
  pthread_mutex_lock(&server->mutex);
  server->max_size = max_size;
  pthread_mutex_unlock(&server->mutex);
}

char *fake_server_letter(unsigned i) {
  pthread_mutex_lock(&server->mutex);
  g_assert_cmpuint(i, <, server->letters->len);
  char *letter = g_strdup(g_ptr_array_index(server->letters, i));
  pthread_mutex_unlock(&server->mutex);
  return letter;
}

static bool fail(Sender *sender, GError **error) {
  sender->is_over = true;
  g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection broke");
  return false;
}

static bool confuse(Sender *sender, GError **error) {
  sender->is_over = true;
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "nobody asked for that");
  return false;
}

void fake_server_wait_stalled(void) {
  pthread_mutex_lock(&server->mutex);
  while (!server->is_stalled)
    pthread_cond_wait(&server->stalled, &server->mutex);
  pthread_mutex_unlock(&server->mutex);
}

void fake_server_go_on(void) {
  pthread_mutex_lock(&server->mutex);
  server->goes_on = true;
  pthread_mutex_unlock(&server->mutex);
}

void fake_server_go_on_once(void) {
  pthread_mutex_lock(&server->mutex);
  server->goes_on_once = true;
  pthread_mutex_unlock(&server->mutex);
}

static bool goes_on(void) {
  pthread_mutex_lock(&server->mutex);
  bool goes = server->goes_on || server->goes_on_once;
  server->goes_on_once = false;
  pthread_mutex_unlock(&server->mutex);
  return goes;
}

void fake_server_allow(unsigned connections) {
  pthread_mutex_lock(&server->mutex);
  server->allowed = connections;
  pthread_mutex_unlock(&server->mutex);
}

unsigned fake_server_most(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned most = server->most;
  pthread_mutex_unlock(&server->mutex);
  return most;
}

void fake_server_pipeline(FakeAhead ahead) {
  pthread_mutex_lock(&server->mutex);
  server->ahead = ahead;
  pthread_mutex_unlock(&server->mutex);
}

unsigned fake_server_begun(void) {
  pthread_mutex_lock(&server->mutex);
  unsigned begun = server->begun;
  pthread_mutex_unlock(&server->mutex);
  return begun;
}

static bool stall(FakeSender *fake, GError **error) {
  pthread_mutex_lock(&server->mutex);
  server->is_stalled = true;
  pthread_cond_signal(&server->stalled);
  pthread_mutex_unlock(&server->mutex);
  struct pollfd poll_fd = {.fd = waker_fd(fake->waker), .events = POLLIN};
  while (!waker_is_cancelled(fake->waker)) {
    if (poll(&poll_fd, 1, 1) == 0 && goes_on()) return true;
  }
  fake->sender.is_over = true;
  g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "cancelled");
  return false;
}

static bool read_all(GString *text, const SenderLetter *letter, GError **error) {
  char buffer[1000];
  ssize_t got;
  uint64_t size = 0;
  while ((got = letter->read(buffer, sizeof buffer, letter->data, error)) > 0) {
    g_string_append_len(text, buffer, got);
    size += (uint64_t)got;
  }
  g_assert_cmpuint(size, ==, letter->size_bytes);
  return got == 0;
}

static void keep(GString *text) {
  pthread_mutex_lock(&server->mutex);
  g_ptr_array_add(server->letters, g_strdup(text->str));
  pthread_mutex_unlock(&server->mutex);
}

static void count_begun(void) {
  pthread_mutex_lock(&server->mutex);
  server->begun++;
  pthread_mutex_unlock(&server->mutex);
}

// What a server would hear of the next letter, before it answers to this one.
static void begin_next(FakeSender *fake, const SenderLetter *letter) {
  pthread_mutex_lock(&server->mutex);
  FakeAhead ahead = server->ahead;
  pthread_mutex_unlock(&server->mutex);
  if (ahead == FAKE_AHEAD_NONE) return;
  fake->next = letter->next(letter->data);
  if (fake->next == NULL) return;
  count_begun();
  if (ahead != FAKE_AHEAD_WHOLE) return;
  g_autoptr(GString) text = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  bool has_ended =
      read_all(text, fake->next, &error) && fake->next->before_end(fake->next->data, &error);
  if (has_ended) fake->next_text = g_steal_pointer(&text);
}

static void forget_begun(FakeSender *fake) {
  fake->next = NULL;
  if (fake->next_text != NULL) g_string_free(g_steal_pointer(&fake->next_text), TRUE);
}

// What was begun behind it was not taken.
static bool leave(FakeSender *fake, const SenderLetter *letter, SenderOutcome *outcomes) {
  forget_begun(fake);
  begin_next(fake, letter);
  if (fake->next_text != NULL) fake->next->not_taken(fake->next->data);
  for (unsigned i = 0; letter->recipients[i] != NULL; i++) {
    outcomes[i].verdict = SENDER_TEMPORARY;
    outcomes[i].reply = g_strdup("421 4.7.0 too many connections");
  }
  fake->sender.is_over = true;
  return true;
}

// The letter's bytes, and its end: what of both was begun is not done again.
static bool take_text(FakeSender *fake, const SenderLetter *letter, GString *text, GError **error) {
  g_assert_true(fake->next == NULL || fake->next == letter);
  fake->next = NULL;
  if (fake->next_text == NULL) return read_all(text, letter, error);
  g_string_append(text, fake->next_text->str);
  return true;
}

static bool take_end(FakeSender *fake, const SenderLetter *letter, GError **error) {
  if (fake->next_text == NULL) return letter->before_end(letter->data, error);
  g_string_free(g_steal_pointer(&fake->next_text), TRUE);
  return true;
}

static void set_outcome(SenderOutcome *outcome, SenderVerdict verdict) {
  static const char *const replies[] = {
      [SENDER_ACCEPTED] = "250 2.0.0 taken",
      [SENDER_TEMPORARY] = "451 4.3.0 later",
      [SENDER_PERMANENT] = "550 5.1.1 unknown",
  };
  outcome->verdict = verdict;
  outcome->reply = g_strdup(replies[verdict]);
}

static SenderVerdict verdict_of(FakeStep step, unsigned recipient) {
  switch (step) {
    case FAKE_REFUSE:
      return SENDER_PERMANENT;
    case FAKE_LATER:
      return SENDER_TEMPORARY;
    case FAKE_REFUSE_SECOND:
      return recipient == 1 ? SENDER_PERMANENT : SENDER_ACCEPTED;
    case FAKE_LATER_SECOND:
      return recipient == 1 ? SENDER_TEMPORARY : SENDER_ACCEPTED;
    case FAKE_ONE_ONLY:
      return recipient > 0 ? SENDER_TEMPORARY : SENDER_ACCEPTED;
    case FAKE_ACCEPT:
    case FAKE_HANG_UP:
    case FAKE_TAKE_HANG_UP:
    case FAKE_OFFLINE:
    case FAKE_UNREACHABLE:
    case FAKE_DENIED:
    case FAKE_STALL:
    case FAKE_LEAVE:
    case FAKE_TURN_AWAY:
    case FAKE_DROP:
    case FAKE_CONFUSE:
    case FAKE_TAKE_LEAVE:
    case FAKE_TAKE_STALL:
      return SENDER_ACCEPTED;
  }
  g_assert_not_reached();
}

static bool fake_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                      GError **error) {
  FakeSender *fake = (FakeSender *)sender;
  FakeStep step = is_hated(letter) ? FAKE_TURN_AWAY : take_step();
  sender->turned_away = step == FAKE_TURN_AWAY || step == FAKE_DROP;
  if (step == FAKE_DROP) return fail(sender, error);
  if (step == FAKE_LEAVE || step == FAKE_TURN_AWAY) return leave(fake, letter, outcomes);
  g_autoptr(GString) text = g_string_new(letter->from);
  g_string_append(text, " ->");
  bool taken = false;
  for (unsigned i = 0; letter->recipients[i] != NULL; i++) {
    set_outcome(&outcomes[i], verdict_of(step, i));
    if (step == FAKE_ONE_ONLY && i > 0) {
      g_free(outcomes[i].reply);
      outcomes[i].reply = g_strdup("452 4.5.3 too many recipients");
    }
    if (outcomes[i].verdict != SENDER_ACCEPTED) continue;
    g_string_append_printf(text, " %s", letter->recipients[i]);
    taken = true;
  }
  g_string_append(text, "\n");
  if (!take_text(fake, letter, text, error)) return false;
  if (step == FAKE_HANG_UP) return fail(sender, error);
  if (step == FAKE_STALL && !stall(fake, error)) return false;
  if (taken) tell(FAKE_BEFORE_END, text);
  if (taken && !take_end(fake, letter, error)) return false;
  if (taken) tell(FAKE_AFTER_END, text);
  if (taken) keep(text);
  if (taken) tell(FAKE_TAKEN, text);
  if (taken) begin_next(fake, letter);
  if (step == FAKE_TAKE_STALL && !stall(fake, error)) return false;
  sender->is_over = step == FAKE_TAKE_LEAVE;
  if (step == FAKE_CONFUSE) return confuse(sender, error);
  return step == FAKE_TAKE_HANG_UP ? fail(sender, error) : true;
}

static uint64_t fake_max_size(const Sender *sender) {
  pthread_mutex_lock(&server->mutex);
  uint64_t max_size = server->max_size;
  pthread_mutex_unlock(&server->mutex);
  return max_size;
}

static void fake_free(Sender *sender) {
  pthread_mutex_lock(&server->mutex);
  server->open--;
  pthread_mutex_unlock(&server->mutex);
  forget_begun((FakeSender *)sender);
  g_free(sender);
}

// Counts a try to connect: false if there are as many connections as may be.
static bool count_try(bool refused) {
  pthread_mutex_lock(&server->mutex);
  server->tries++;
  bool full = server->allowed > 0 && server->open >= server->allowed;
  if (!full && !refused) {
    server->connections++;
    server->open++;
    server->most = MAX(server->most, server->open);
  }
  pthread_mutex_unlock(&server->mutex);
  return !full;
}

Sender *fake_sender_open(const Account *account, Waker *waker, const char *name, GError **error) {
  static const SenderOps ops = {fake_send, fake_max_size, fake_free};
  tell(FAKE_CONNECTING, NULL);
  FakeStep step = first_step();
  bool is_away = step == FAKE_OFFLINE || step == FAKE_UNREACHABLE;
  bool refused = is_away || step == FAKE_DENIED;
  if (refused) take_step();
  while (step == FAKE_UNREACHABLE && !goes_on())
    g_usleep(1000);
  if (is_away) g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "cannot reach the server");
  if (step == FAKE_DENIED) g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "wrong password");
  bool has_room = count_try(refused);
  if (!has_room && !refused)
    g_set_error(error, NET_ERROR, NET_ERROR_BUSY, "421 too many connections");
  if (refused || !has_room) return NULL;
  FakeSender *fake = g_new0(FakeSender, 1);
  fake->sender.ops = &ops;
  fake->waker = waker;
  return &fake->sender;
}
