// What the kernel says of the process that wrote a letter. Reads /proc: never blocks.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// A process as long as it is remembered: numbers are used again, see proc(5) for `started`.
typedef struct {
  pid_t id;          // 0: not known
  uint64_t started;  // in ticks since the machine started
} OutboxProcess;

// That of a thread which is in a call to us: in exec(2) it would not answer.
OutboxProcess outbox_process_find(pid_t thread);
// False for one that is not known.
bool outbox_process_is(OutboxProcess process, OutboxProcess other);

// The process (thread group) that a thread belongs to. 0: not known, equal to no other.
pid_t outbox_process_of(pid_t thread);
// Likewise, of a thread that closes a file. *was_killed: by a signal, and it closes its files while
// it dies: PF_SIGNALED, see proc(5).
pid_t outbox_process_of_closing(pid_t thread, bool *was_killed);
