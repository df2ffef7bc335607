// Claim: at every change of the disk, one after another, the program may be killed or the power may
// fail: the next start has all mail that was archived, under its name and with its bytes, knows
// each removal that was answered, and none that nobody asked for; with the cache as it was left,
// and with a new one. Each story runs in a process that ends at one step; another looks at what is
// left, every other time once more ended in between.
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash_disk.h"
#include "tests/cache/keeper_fixture.h"

// A process that neither ends nor comes to its step is a hang.
#define PROCESS_S 60
#define RECOVERY_STEPS 40

typedef enum { KEPT, REMOVED, SETTLED, RETURNED, UNKEPT, LATER, MESSAGES } StoryMessage;
static const char *const ids[MESSAGES + 1] = {"a0", "a1", "a2", "a3", "a4", "a5", NULL};

// What the world outside the process knows of a message; lives in memory shared with it.
typedef struct {
  atomic_bool archived;  // answered
  atomic_bool unwanted;  // its removal was asked for
  atomic_bool removed;   // ... and answered
  atomic_bool ending;    // settling it, or showing it again, was asked for
  atomic_bool ended;     // ... and answered
} Known;

typedef struct {
  char *base, *directory;
  Known *known;  // [MESSAGES], shared
  bool wipes;    // the cache is deleted before the next start
  KeeperFixture fixture;
} Story;

static void remove_message(Story *story, StoryMessage which) {
  atomic_store(&story->known[which].unwanted, true);
  g_assert_cmpint(keeper_remove_one(&story->fixture, ids[which]), ==, 0);
  atomic_store(&story->known[which].removed, true);
}

static void end_message(Story *story, KeeperTask task, StoryMessage which) {
  atomic_store(&story->known[which].ending, true);
  keeper_end_one(&story->fixture, task, ids[which]);
  atomic_store(&story->known[which].ended, true);
}

static void archive_round(Story *story, StoryMessage first, StoryMessage last) {
  g_autoptr(KeeperJob) round = keeper_archive_all(&story->fixture);
  g_assert_no_error(round->error);
  for (int i = first; i <= (int)last; i++)
    atomic_store(&story->known[i].archived, true);
}

static void tell_story(Story *story) {
  keeper_start(&story->fixture);
  archive_round(story, KEPT, UNKEPT);
  remove_message(story, REMOVED);
  remove_message(story, SETTLED);
  remove_message(story, RETURNED);
  end_message(story, KEEPER_SETTLE, SETTLED);
  end_message(story, KEEPER_SHOW, RETURNED);
  keeper_bring_body(&story->fixture, ids[LATER]);
  archive_round(story, LATER, LATER);
  remove_message(story, UNKEPT);
  keeper_stop(&story->fixture);
}

// -- What the next start finds.

static bool is_named(const char *names, const char *id) {
  g_autofree char *padded = g_strdup_printf(" %s", names);
  g_autofree char *name = g_strdup_printf(" %s ", id);
  return strstr(padded, name) != NULL;
}

static void check_message(Story *story, StoryMessage which, const char *removals,
                          const char *shown) {
  const Known *known = &story->known[which];
  bool is_removal = is_named(removals, ids[which]), is_shown = is_named(shown, ids[which]);
  g_test_message("%s: removal %d, shown %d", ids[which], is_removal, is_shown);
  g_assert_false(is_removal && is_shown);
  if (!known->unwanted) g_assert_false(is_removal);
  if (known->removed && !known->ending) g_assert_true(is_removal);
  if (known->ended) g_assert_false(is_removal);
  if (known->archived && !known->unwanted)
    g_assert_true(is_shown && keeper_has(&story->fixture, ids[which]));
  if (known->removed && !known->ended) g_assert_false(keeper_has(&story->fixture, ids[which]));
}

static void look_again(Story *story) {
  if (story->wipes) keeper_wipe_cache(&story->fixture);
  keeper_start(&story->fixture);
  g_autofree char *removals = keeper_removals(&story->fixture);
  g_autofree char *shown = keeper_shown(&story->fixture);
  for (int i = 0; i < MESSAGES; i++)
    check_message(story, (StoryMessage)i, removals, shown);
  keeper_stop(&story->fixture);
}

// -- Processes.

// Runs `work` on a directory in a process of its own, up to a step; true: it came to its end.
static bool run(Story *story, void (*work)(Story *story), const char *directory, Crash crash,
                unsigned at_step, const char *left) {
  fflush(NULL);
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    alarm(PROCESS_S);
    crash_disk_watch(directory, crash, at_step, left);
    keeper_fixture_in(&story->fixture, directory);
    work(story);
    _exit(0);
  }
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  if (!WIFEXITED(status))
    g_error("the process at step %u ended by signal %d", at_step, WTERMSIG(status));
  g_assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CRASH_EXIT_CODE);
  return WEXITSTATUS(status) == 0;
}

static void remove_tree(const char *path) {
  g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
    g_autofree char *inner = g_build_filename(path, name, NULL);
    remove_tree(inner);
  }
  remove(path);
}

static char *fresh(const Story *story, const char *name) {
  char *path = g_build_filename(story->base, name, NULL);
  remove_tree(path);
  return path;
}

// A mailbox that was listed, with the bodies of all but the last message.
static void prepare(Story *story) {
  keeper_list(&story->fixture, ids);
  for (int i = 0; i < LATER; i++)
    keeper_bring_body(&story->fixture, ids[i]);
}

// False: the story came to its end before that step.
static bool crash_at(Story *story, Crash crash, unsigned step) {
  memset(story->known, 0, MESSAGES * sizeof(Known));
  g_autofree char *account = fresh(story, "account");
  g_autofree char *left = fresh(story, "left");
  g_autofree char *left_again = fresh(story, "left-again");
  g_assert_cmpint(mkdir(account, 0700), ==, 0);
  g_assert_true(run(story, prepare, account, CRASH_KILL, G_MAXUINT, NULL));
  if (run(story, tell_story, account, crash, step, left)) return false;
  const char *found = crash == CRASH_KILL ? account : left;
  bool twice = step % 2 == 1;
  story->wipes = step % 3 == 1;
  if (twice && run(story, look_again, found, crash, step / 2 % RECOVERY_STEPS, left_again))
    return true;
  if (twice && crash != CRASH_KILL) found = left_again;
  story->wipes = step % 3 == 2;
  run(story, look_again, found, CRASH_KILL, G_MAXUINT, NULL);
  story->wipes = true;
  run(story, look_again, found, CRASH_KILL, G_MAXUINT, NULL);
  return true;
}

static void test_every_step(gconstpointer data) {
  Crash crash = (Crash)GPOINTER_TO_UINT(data);
  g_autoptr(GError) error = NULL;
  Story story = {.base = g_dir_make_tmp("mailfs-keeper-XXXXXX", &error)};
  g_assert_no_error(error);
  story.known = mmap(NULL, MESSAGES * sizeof(Known), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true(story.known != MAP_FAILED);
  unsigned step = 0;
  while (crash_at(&story, crash, step))
    step++;
  g_test_message("%u steps", step);
  g_assert_cmpuint(step, >, 100);
  munmap(story.known, MESSAGES * sizeof(Known));
  remove_tree(story.base);
  g_free(story.base);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/keeper/kill/kill -9", GUINT_TO_POINTER(CRASH_KILL), test_every_step);
  g_test_add_data_func("/keeper/kill/power, nothing unsynced", GUINT_TO_POINTER(CRASH_POWER_NONE),
                       test_every_step);
  g_test_add_data_func("/keeper/kill/power, some unsynced", GUINT_TO_POINTER(CRASH_POWER_SOME),
                       test_every_step);
  return g_test_run();
}
