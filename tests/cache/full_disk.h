// An outbox whose directory is a small disk of its own, which can be filled: a tmpfs of 2 MiB in a
// mount namespace of the test's.
#pragma once

#include "outbox_fixture.h"

// Around all of main(): begins the test program, runs its tests and returns what they came to.
void full_disk_begin(int *argc, char ***argv);
int full_disk_end(void);

// As fixture_set_up and fixture_set_up_holding, but on the disk; and their end.
void full_disk_set_up(Fixture *fixture, gconstpointer unused);
void full_disk_set_up_holding(Fixture *fixture, gconstpointer unused);
void full_disk_tear_down(Fixture *fixture, gconstpointer unused);

// Not a byte is left, but for the reserve and the room in the journal's log.
void full_disk_fill(const Fixture *fixture);
// Nor in that: by bytes of no letter, which the next start drops.
void full_disk_fill_journal(const Fixture *fixture);
// The reserve is gone: to be called before the disk is filled.
void full_disk_give_up_reserve(const Fixture *fixture);
// There is room again.
void full_disk_empty(const Fixture *fixture);
