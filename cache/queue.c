#include "cache/queue.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

// The lists are GQueues, touched only under our own mutexes.
struct Queue {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  GQueue items;
  bool closed;
  GDestroyNotify free_item;
};

Queue *queue_new(GDestroyNotify free_item) {
  Queue *queue = g_new0(Queue, 1);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&queue->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&queue->mutex, NULL);
  g_queue_init(&queue->items);
  queue->free_item = free_item;
  return queue;
}

void queue_free(Queue *queue) {
  if (queue == NULL) return;
  g_queue_clear_full(&queue->items, queue->free_item);
  pthread_cond_destroy(&queue->changed);
  pthread_mutex_destroy(&queue->mutex);
  g_free(queue);
}

void queue_push(Queue *queue, gpointer item) {
  g_assert(item != NULL);
  pthread_mutex_lock(&queue->mutex);
  g_queue_push_tail(&queue->items, item);
  pthread_cond_signal(&queue->changed);
  pthread_mutex_unlock(&queue->mutex);
}

static struct timespec deadline_after(int timeout_ms) {
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += timeout_ms / 1000;
  deadline.tv_nsec += timeout_ms % 1000 * 1000000L;
  if (deadline.tv_nsec >= 1000000000L) {
    deadline.tv_sec++;
    deadline.tv_nsec -= 1000000000L;
  }
  return deadline;
}

gpointer queue_pop(Queue *queue, int timeout_ms) {
  const struct timespec deadline = deadline_after(MAX(timeout_ms, 0));
  int waited = 0;
  pthread_mutex_lock(&queue->mutex);
  while (g_queue_is_empty(&queue->items) && !queue->closed && waited != ETIMEDOUT) {
    if (timeout_ms < 0)
      pthread_cond_wait(&queue->changed, &queue->mutex);
    else
      waited = pthread_cond_timedwait(&queue->changed, &queue->mutex, &deadline);
  }
  gpointer item = g_queue_pop_head(&queue->items);
  pthread_mutex_unlock(&queue->mutex);
  return item;
}

void queue_close(Queue *queue) {
  pthread_mutex_lock(&queue->mutex);
  queue->closed = true;
  pthread_cond_broadcast(&queue->changed);
  pthread_mutex_unlock(&queue->mutex);
}

bool queue_has_items(Queue *queue) {
  pthread_mutex_lock(&queue->mutex);
  bool has_items = !g_queue_is_empty(&queue->items);
  pthread_mutex_unlock(&queue->mutex);
  return has_items;
}

// A GSource that is ready for as long as it holds items.
struct Post {
  GSource source;
  pthread_mutex_t mutex;
  GQueue items;
  PostFunc take;
  gpointer data;
  GDestroyNotify free_item;
};

static unsigned post_count(Post *post) {
  pthread_mutex_lock(&post->mutex);
  unsigned count = g_queue_get_length(&post->items);
  pthread_mutex_unlock(&post->mutex);
  return count;
}

static gpointer post_next(Post *post) {
  pthread_mutex_lock(&post->mutex);
  gpointer item = g_queue_pop_head(&post->items);
  pthread_mutex_unlock(&post->mutex);
  return item;
}

static gboolean post_prepare(GSource *source, int *timeout_ms) {
  *timeout_ms = -1;
  return post_count((Post *)source) > 0;
}

static gboolean post_check(GSource *source) {
  return post_count((Post *)source) > 0;
}

// Only what is there at the start is taken in one go, so that a fast sender does not keep the
// context from its other sources. `take` may free the post: then the rest is left to finalize.
static gboolean post_dispatch(GSource *source, GSourceFunc unused, gpointer unused_data) {
  Post *post = (Post *)source;
  for (unsigned left = post_count(post); left > 0 && !g_source_is_destroyed(source); left--)
    post->take(post_next(post), post->data);
  return G_SOURCE_CONTINUE;
}

static void post_finalize(GSource *source) {
  Post *post = (Post *)source;
  g_queue_clear_full(&post->items, post->free_item);
  pthread_mutex_destroy(&post->mutex);
}

Post *post_new(GMainContext *context, PostFunc take, gpointer data, GDestroyNotify free_item) {
  static GSourceFuncs functions = {
      .prepare = post_prepare,
      .check = post_check,
      .dispatch = post_dispatch,
      .finalize = post_finalize,
  };
  Post *post = (Post *)g_source_new(&functions, sizeof(Post));
  pthread_mutex_init(&post->mutex, NULL);
  g_queue_init(&post->items);
  post->take = take;
  post->data = data;
  post->free_item = free_item;
  g_source_attach(&post->source, context);
  return post;
}

void post_send(Post *post, gpointer item) {
  g_assert(item != NULL);
  pthread_mutex_lock(&post->mutex);
  g_queue_push_tail(&post->items, item);
  // Under the mutex: once it is free, the item may be taken and the post be gone.
  g_main_context_wakeup(g_source_get_context(&post->source));
  pthread_mutex_unlock(&post->mutex);
}

void post_free(Post *post) {
  if (post == NULL) return;
  g_source_destroy(&post->source);
  g_source_unref(&post->source);
}
