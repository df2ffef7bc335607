// Starts a thread of ours: all signals blocked, so that they reach the main thread.
#pragma once

#include <pthread.h>

// `name` is at most 15 bytes. To be joined by the caller.
pthread_t thread_start(const char *name, void *(*run)(void *), void *data);
