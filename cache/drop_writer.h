// A DropWriter makes one drop (see drop.h) in an account's state directory. Everything blocks on
// the disk; any program, any thread, no lock. Errors are an OUTBOX_ERROR with an errno.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/envelope.h"

typedef struct DropWriter DropWriter;

// Makes incoming/ if it is missing, and an empty letter in it.
DropWriter *drop_writer_new(const char *account_directory, GError **error);
// What was not committed is removed.
void drop_writer_free(DropWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DropWriter, drop_writer_free)

// For tests: called after each step towards the commit.
void drop_writer_watch(DropWriter *writer, void (*after_step)(gpointer data), gpointer data);
// The letter's file, to be filled; the writer's.
int drop_writer_fd(const DropWriter *writer);
// What the drop is called: unlike any other's, and rising with time.
const char *drop_writer_id(const DropWriter *writer);
// Once: brings letter and envelope to the disk. True: the letter is the outbox's from now on and
// survives power loss. False: nothing was handed over.
bool drop_writer_commit(DropWriter *writer, const char *name, const Envelope *envelope,
                        GError **error);
