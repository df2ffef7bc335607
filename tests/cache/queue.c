// What one thread hands to another arrives once and in order: a Queue ends its waits by an item, by
// time or by closing; a Post's items are taken on the context's thread and nowhere else.
#include "cache/queue.h"

#include <pthread.h>
#include <stdint.h>

#define SENDERS 4
#define EACH 5000

// An item is a sender's number and its running number, as a pointer that is never NULL.
static gpointer item_of(unsigned sender, unsigned number) {
  return GUINT_TO_POINTER(1 + sender * EACH + number);
}

typedef struct {
  unsigned next[SENDERS];
  unsigned taken;
} Ledger;

static void ledger_enter(Ledger *ledger, gpointer item) {
  unsigned value = GPOINTER_TO_UINT(item) - 1;
  unsigned sender = value / EACH;
  g_assert_cmpuint(value % EACH, ==, ledger->next[sender]);
  ledger->next[sender]++;
  ledger->taken++;
}

typedef struct {
  pthread_t thread;
  unsigned sender;
  Queue *queue;
  Post *post;
} Sender;

static void *send_all(void *data) {
  Sender *self = data;
  for (unsigned number = 0; number < EACH; number++) {
    if (self->queue != NULL)
      queue_push(self->queue, item_of(self->sender, number));
    else
      post_send(self->post, item_of(self->sender, number));
  }
  return NULL;
}

static void start_senders(Sender *senders, Queue *queue, Post *post) {
  for (unsigned i = 0; i < SENDERS; i++) {
    senders[i] = (Sender){.sender = i, .queue = queue, .post = post};
    g_assert_cmpint(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), ==, 0);
  }
}

static void join_senders(Sender *senders) {
  for (unsigned i = 0; i < SENDERS; i++)
    g_assert_cmpint(pthread_join(senders[i].thread, NULL), ==, 0);
}

static void queue_keeps_order_of_each_sender(void) {
  Queue *queue = queue_new(NULL);
  Sender senders[SENDERS];
  Ledger ledger = {0};
  start_senders(senders, queue, NULL);
  while (ledger.taken < SENDERS * EACH)
    ledger_enter(&ledger, queue_pop(queue, -1));
  join_senders(senders);
  g_assert_null(queue_pop(queue, 0));
  queue_free(queue);
}

static void queue_pop_ends_with_time(void) {
  Queue *queue = queue_new(NULL);
  g_assert_null(queue_pop(queue, 0));
  gint64 before_us = g_get_monotonic_time();
  g_assert_null(queue_pop(queue, 30));
  g_assert_cmpint(g_get_monotonic_time() - before_us, >=, 30 * 1000);
  queue_free(queue);
}

typedef struct {
  Queue *queue, *ready;
} Waiter;

static void *say_ready_and_wait(void *data) {
  Waiter *waiter = data;
  queue_push(waiter->ready, waiter);
  return queue_pop(waiter->queue, -1);
}

// A thread that is ready is just about to wait; that some do wait is left to the many rounds.
static void queue_close_ends_every_wait(void) {
  for (int round = 0; round < 100; round++) {
    Waiter waiter = {.queue = queue_new(NULL), .ready = queue_new(NULL)};
    pthread_t waiting[3];
    for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++) {
      g_assert_cmpint(pthread_create(&waiting[i], NULL, say_ready_and_wait, &waiter), ==, 0);
      g_assert_true(queue_pop(waiter.ready, -1) == &waiter);
    }
    queue_close(waiter.queue);
    for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++) {
      void *item = &waiter;
      pthread_join(waiting[i], &item);
      g_assert_null(item);
    }
    queue_free(waiter.queue);
    queue_free(waiter.ready);
  }
}

static void queue_gives_what_it_holds_after_close(void) {
  Queue *queue = queue_new(g_free);
  queue_push(queue, g_strdup("first"));
  queue_push(queue, g_strdup("second"));
  queue_push(queue, g_strdup("left to queue_free"));
  queue_close(queue);
  g_autofree char *first = queue_pop(queue, -1);
  g_autofree char *second = queue_pop(queue, 1000);
  g_assert_cmpstr(first, ==, "first");
  g_assert_cmpstr(second, ==, "second");
  queue_free(queue);
}

typedef struct {
  Ledger ledger;
  pthread_t thread;
} Receiver;

static void receive(gpointer item, gpointer data) {
  Receiver *receiver = data;
  g_assert_true(pthread_equal(pthread_self(), receiver->thread));
  ledger_enter(&receiver->ledger, item);
}

static void post_keeps_order_on_the_contexts_thread(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Receiver receiver = {.thread = pthread_self()};
  Post *post = post_new(context, receive, &receiver, NULL);
  Sender senders[SENDERS];
  start_senders(senders, NULL, post);
  while (receiver.ledger.taken < SENDERS * EACH)
    g_main_context_iteration(context, TRUE);
  join_senders(senders);
  g_assert_false(g_main_context_iteration(context, FALSE));
  post_free(post);
}

typedef struct {
  Post *post;
  Queue *answers;
} Asker;

static void *ask_often(void *data) {
  Asker *asker = data;
  for (int i = 0; i < 1000; i++) {
    post_send(asker->post, asker);
    g_assert_true(queue_pop(asker->answers, -1) == asker);
  }
  return NULL;
}

static void answer(gpointer item, gpointer data) {
  queue_push(data, item);
}

// Each item comes when the last was answered, so the loop is asleep: one that did not wake it would
// be waited for until the test's time is over.
static void post_wakes_a_sleeping_context(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Asker asker = {.answers = queue_new(NULL)};
  asker.post = post_new(context, answer, asker.answers, NULL);
  pthread_t thread;
  g_assert_cmpint(pthread_create(&thread, NULL, ask_often, &asker), ==, 0);
  for (int answered = 0; answered < 1000;)
    answered += g_main_context_iteration(context, TRUE);
  pthread_join(thread, NULL);
  post_free(asker.post);
  queue_free(asker.answers);
}

static void free_and_count(gpointer item) {
  ++*(unsigned *)item;
}

static void not_to_be_called(gpointer item, gpointer data) {
  g_assert_not_reached();
}

static void post_frees_what_was_not_taken(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  unsigned freed = 0;
  Post *post = post_new(context, not_to_be_called, NULL, free_and_count);
  post_send(post, &freed);
  post_send(post, &freed);
  post_free(post);
  g_assert_cmpuint(freed, ==, 2);
  g_assert_false(g_main_context_iteration(context, FALSE));
}

typedef struct {
  Post *post;
  unsigned taken;
} Leaver;

static void leave(gpointer item, gpointer data) {
  Leaver *leaver = data;
  leaver->taken++;
  post_free(leaver->post);
}

static void post_may_be_freed_by_its_receiver(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  unsigned freed = 0;
  Leaver leaver = {0};
  leaver.post = post_new(context, leave, &leaver, free_and_count);
  post_send(leaver.post, &freed);
  post_send(leaver.post, &freed);
  g_main_context_iteration(context, FALSE);
  g_assert_cmpuint(leaver.taken, ==, 1);
  g_assert_cmpuint(freed, ==, 1);
}

static const struct {
  const char *path;
  void (*run)(void);
} rows[] = {
    {"/queue/order-of-each-sender", queue_keeps_order_of_each_sender},
    {"/queue/pop-ends-with-time", queue_pop_ends_with_time},
    {"/queue/close-ends-every-wait", queue_close_ends_every_wait},
    {"/queue/items-outlive-close", queue_gives_what_it_holds_after_close},
    {"/post/order-and-thread", post_keeps_order_on_the_contexts_thread},
    {"/post/wakes-the-context", post_wakes_a_sleeping_context},
    {"/post/frees-the-rest", post_frees_what_was_not_taken},
    {"/post/freed-by-its-receiver", post_may_be_freed_by_its_receiver},
};

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add_func(rows[i].path, rows[i].run);
  return g_test_run();
}
