// Claim: a letter that was found among those sent, and so is not sent again, is not sent again
// after a power failure either, though what was found has been removed meanwhile.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"
#include "scratch.h"

static Fixture *snapped;  // NULL: no picture is taken
static bool is_in_sent;

static char *picture_of(const Fixture *fixture) {
  return g_strconcat(fixture->directory, "-picture", NULL);
}

// Stands in front of the C library's: with each sync of the journal a picture of what is on the
// disk by then, which is all that a power failure leaves for certain.
int fdatasync(int fd);

int fdatasync(int fd) {
  int result = (int)syscall(SYS_fdatasync, fd);
  if (snapped == NULL) return result;
  g_autofree char *picture = picture_of(snapped);
  scratch_remove(picture);
  scratch_copy(snapped->directory, picture);
  return result;
}

// A server that keeps sent mail by itself.
static void look(Copy *copy, CopyDone done, gpointer data, gpointer saver) {
  bool is_found = copy->only_looks && is_in_sent;
  copy->outcome = is_found ? COPY_FOUND : copy->only_looks ? COPY_ABSENT : COPY_UNWANTED;
  done(copy, NULL, data);
  copy_free(copy);
}

static void restore_picture(const char *directory, gpointer data) {
  g_autofree char *picture = picture_of(data);
  scratch_remove(directory);
  scratch_copy(picture, directory);
  scratch_remove(picture);
  snapped = NULL;
}

static void test_found(Fixture *fixture, gconstpointer unused) {
  fixture->options.save_copy = look;
  is_in_sent = true;
  fixture_open(fixture);
  snapped = fixture;
  fake_server_expect(FAKE_TAKE_HANG_UP);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  is_in_sent = false;
  fixture_crash_with(fixture, restore_picture, fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/recorded/found", Fixture, NULL, fixture_set_up_closed, test_found,
             fixture_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
