// The room for the write-ahead log: a commit that has to lengthen its file takes a file system
// several times as long as one that does not, so the file is lengthened for many at once. SQLite
// begins the log anew at each checkpoint without making the file shorter, and reads it up to the
// first frame that is not of its time: zeros behind its end are no frames. No lock is held by that
// file which closing it here could lose.
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/outbox_journal_private.h"
#include "cache/outbox_schema.h"

#define FRAME_HEADER_BYTES 24
// As wal_autocheckpoint has it.
#define FRAMES_MAX 1000
// Most commits write less.
#define COMMIT_BYTES (64 << 10)
#define PIECE_BYTES (512 << 10)

// Called by SQLite after each commit, in the place of its own that makes the checkpoints.
static int note_frames(void *data, sqlite3 *database, const char *name, int frames) {
  OutboxJournal *journal = data;
  journal->log_bytes = frames * journal->frame_bytes;
  if (frames >= FRAMES_MAX) sqlite3_wal_checkpoint(database, name);
  return SQLITE_OK;
}

bool outbox_journal_watch_log(OutboxJournal *journal, GError **error) {
  if (!outbox_sql_number(journal->database, "PRAGMA page_size", &journal->frame_bytes, error))
    return false;
  journal->frame_bytes += FRAME_HEADER_BYTES;
  sqlite3_wal_hook(journal->database, note_frames, journal);
  return true;
}

// Room that was never written is not enough: the first write to it is noted like a new block.
static bool lengthen(int fd, off_t size) {
  g_autofree char *zeros = g_malloc0(PIECE_BYTES);
  if (posix_fallocate(fd, size, PIECE_BYTES) == 0 &&
      pwrite(fd, zeros, PIECE_BYTES, size) == PIECE_BYTES)
    return true;
  (void)!ftruncate(fd, size);
  return false;
}

// The commit's sync is that of the new room, too. Without any, commits do the same by themselves.
void outbox_journal_make_room(OutboxJournal *journal) {
  if (journal->log_bytes + COMMIT_BYTES <= journal->log_room) return;
  const char *path = sqlite3_filename_wal(sqlite3_db_filename(journal->database, "main"));
  int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  struct stat status;
  if (fstat(fd, &status) == 0) {
    journal->log_room = status.st_size;
    bool is_short = journal->log_bytes + COMMIT_BYTES > status.st_size;
    if (is_short && lengthen(fd, status.st_size)) journal->log_room += PIECE_BYTES;
  }
  close(fd);
}
