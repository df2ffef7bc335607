#include "fs/thread.h"

#include <signal.h>
#include <string.h>

#include <glib.h>

pthread_t thread_start(const char *name, void *(*run)(void *), void *data) {
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, NULL, run, data);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) g_error("cannot start thread %s: %s", name, g_strerror(error));
  pthread_setname_np(thread, name);
  return thread;
}
