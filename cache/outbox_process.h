// What the kernel says of the process that wrote a letter. Reads /proc: never blocks.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

// The process (thread group) that a thread belongs to. 0: not known, equal to no other.
pid_t outbox_process_of(pid_t thread);
// True if a signal killed it: PF_SIGNALED, see proc(5). It closes its files while it dies.
bool outbox_process_was_killed(pid_t thread);
