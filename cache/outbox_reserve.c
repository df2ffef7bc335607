#include "cache/outbox_reserve.h"

#include <fcntl.h>
#include <unistd.h>

// For some letters with the words of many recipients.
#define RESERVE_BYTES (256 << 10)

struct OutboxReserve {
  char *path;
  bool is_kept;
};

OutboxReserve *outbox_reserve_new(const char *path) {
  OutboxReserve *reserve = g_new0(OutboxReserve, 1);
  reserve->path = g_strdup(path);
  return reserve;
}

void outbox_reserve_free(OutboxReserve *reserve) {
  if (reserve == NULL) return;
  g_free(reserve->path);
  g_free(reserve);
}

void outbox_reserve_keep(OutboxReserve *reserve) {
  if (reserve->is_kept) return;
  int fd = open(reserve->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  reserve->is_kept = posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
  close(fd);
  if (!reserve->is_kept) unlink(reserve->path);
}

bool outbox_reserve_give_up(OutboxReserve *reserve) {
  if (!reserve->is_kept) return false;
  reserve->is_kept = false;
  return unlink(reserve->path) == 0;
}
