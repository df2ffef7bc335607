#include "cache/mime.h"

#include <gmime/gmime.h>
#include <pthread.h>

void mime_init(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, g_mime_init);
}
