// Messages between threads. A Queue hands pointers from any thread to one receiving thread, which
// waits on it; a Post hands them to the main loop, where a function takes them. Ownership travels
// with the pointer. Own pthread mutex and condition, since the race detector understands those.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct Queue Queue;

// free_item: for what is left when the queue is freed.
Queue *queue_new(GDestroyNotify free_item);
void queue_free(Queue *queue);
// Any thread. What is pushed after the queue was closed can still be popped.
void queue_push(Queue *queue, gpointer item);
// Waits up to timeout_ms (-1: for ever) for an item; NULL when time is over or the queue is closed
// and empty.
gpointer queue_pop(Queue *queue, int timeout_ms);
// No item will come any more: ends waits once the queue is empty. Any thread.
void queue_close(Queue *queue);
// Somebody waits for the thread that pops. Any thread.
bool queue_has_items(Queue *queue);

typedef struct Post Post;
typedef void (*PostFunc)(gpointer item, gpointer data);

// `take` is called on the context's thread for each item, in order, and owns it.
Post *post_new(GMainContext *context, PostFunc take, gpointer data, GDestroyNotify free_item);
void post_send(Post *post, gpointer item);  // any thread
// The context's thread, also from within `take`; no sender may be left. What was not taken is
// freed.
void post_free(Post *post);
