// Whether a process that waits for us was really interrupted. The kernel sends INTERRUPT for any
// signal, also for those whose handlers restart calls and for which no program expects open() to
// fail; what is pending at the caller tells which it was.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

// Reads /proc/TID/status. A caller that cannot be seen counts as interrupted.
bool interrupt_is_real(pid_t tid);
// The same for the text of that file: a signal is pending, not blocked, and none of CHLD, CONT,
// STOP, TSTP, TTIN, TTOU, URG, WINCH, PROF, VTALRM.
bool interrupt_is_real_in(const char *status);
