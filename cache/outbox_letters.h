// The directory letters/ of an outbox: a file a letter, named by its number. `letters_fd` is the
// directory. Any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

// The name of a letter's file in letters/.
void outbox_file_name(uint64_t id, char name[24]);
// A letter's file, opened anew: -1 with errno set.
int outbox_file_open(int letters_fd, uint64_t id, int flags);
// How many of the bytes were written at `offset`; where not all, errno tells why.
size_t outbox_file_write(int fd, const char *bytes, size_t size, off_t offset);
// For a letter that is gone although the journal has no room to say so: its file is removed, and
// another, empty one tells the next start; where there is no room for that either, its own gets
// that name. Durable; false with errno set. A letter without a file is buried too.
bool outbox_file_bury(int letters_fd, uint64_t id);
bool outbox_file_is_buried(int letters_fd, uint64_t id);
// Removes what was buried, once the journal says it.
void outbox_files_remove_buried(int letters_fd);
