// Serving the kernel: requests are read from the session's descriptor on the main loop and answered
// there. A process that works through many files asks again some microseconds after each answer,
// and going to sleep and being woken up in between takes longer than the answer (on a virtual
// machine several times as long). So while requests come like that, the loop lingers before it
// sleeps: it looks for the next one, letting others have the CPU, unless one of them keeps it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/ops.h"

// The session is mounted. Serves until the mount is gone, then tells `ended`.
void serve_start(Filesystem *filesystem);
void serve_stop(Filesystem *filesystem);

// How long the loop lingers after an answer.
#define SERVE_LINGER_US 30
// Whether it should at all, when it has just been woken up after `idle_us` without a request, and
// `crowded_us` after it last lent the CPU to somebody who kept it.
bool serve_should_linger(int64_t idle_us, int64_t crowded_us);
