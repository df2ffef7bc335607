// The spool's part in taking drops: what it does to the files of incoming/. For outbox_spool.c
// only, on its thread.
#pragma once

#include <stdbool.h>

#include "cache/outbox_spool.h"

void spool_take_list(const OutboxSpoolOptions *options, SpoolJob *job);
// The drop's letter is in letters/ too, under row.id; where it has none, its envelope is, refused
// as what it is. False: the job's error is set.
bool spool_take_link(const OutboxSpoolOptions *options, SpoolJob *job);
// After the rows were stored: takes those drops away, durably, whose row was.
void spool_take_finish(const OutboxSpoolOptions *options, SpoolJob *const *jobs, unsigned count);
