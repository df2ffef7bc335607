// The Reader answers READ from files of bodies and letters. What the page cache holds is answered
// at once by the main loop; what would wait for the disk goes to one of two threads, so that a cold
// disk stalls nobody else. The kernel releases a file only after its reads were answered, so a
// descriptor outlives them.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <fuse_lowlevel.h>
#include <glib.h>

typedef struct Reader Reader;

Reader *reader_new(void);
// Answers what was asked for, ends the threads.
void reader_free(Reader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reader, reader_free)
// Main loop's thread. Replies with `size` bytes of `fd`, never fewer: EIO if it does not hold them,
// else what the disk says.
void reader_read(Reader *reader, fuse_req_t req, int fd, size_t size, off_t offset);
// The same with fewer where the file ends.
void reader_read_to_end(Reader *reader, fuse_req_t req, int fd, size_t size, off_t offset);
