#include "crash_story.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

// A process that neither ends nor comes to its step is a hang.
#define PROCESS_S 60
// A start that is ended too comes this far at most.
#define START_STEPS 40

typedef struct {
  const CrashStory *story;
  Crash crash;
  gpointer known;
  char *base;
} Telling;

// What a process does, and the step at which it ends; for a power failure, what it leaves is in
// `left` then.
typedef struct {
  void (*work)(gpointer data);  // NULL: it starts again
  CrashStart start;
  const char *directory;
  Crash crash;
  unsigned at_step;
  const char *left;
} Run;

static void work(const Telling *telling, const Run *run) {
  const CrashStory *story = telling->story;
  alarm(PROCESS_S);
  crash_disk_watch(run->directory, run->crash, run->at_step, run->left);
  story->begin(story->data, telling->known, run->directory);
  if (run->work != NULL)
    run->work(story->data);
  else
    story->start_again(story->data, &run->start);
}

// True: it came to its end.
static bool do_run(const Telling *telling, Run run) {
  fflush(NULL);
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    work(telling, &run);
    _exit(0);
  }
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  if (!WIFEXITED(status))
    g_error("the process at step %u ended by signal %d", run.at_step, WTERMSIG(status));
  g_assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CRASH_EXIT_CODE);
  return WEXITSTATUS(status) == 0;
}

static char *fresh(const Telling *telling, const char *name) {
  char *path = g_build_filename(telling->base, name, NULL);
  scratch_remove(path);
  return path;
}

// Every other time, a start is ended too, somewhere in its first steps. NULL: it came to its end,
// and so has seen all; else where those that are not ended find what is left.
static const char *start_twice(const Telling *telling, unsigned step, const char *found,
                               const char *left_again) {
  if (step % 2 == 0) return found;
  Run run = {.start = {.step = step},
             .directory = found,
             .crash = telling->crash,
             .at_step = step / 2 % START_STEPS,
             .left = left_again};
  if (do_run(telling, run)) return NULL;
  return telling->crash == CRASH_KILL ? found : left_again;
}

static void look_at(const Telling *telling, unsigned step, const char *found) {
  for (unsigned i = 1; i <= telling->story->starts; i++) {
    bool is_exact = telling->crash == CRASH_KILL && step % 2 == 0 && i == 1;
    Run run = {.start = {step, i, is_exact}, .directory = found, .at_step = G_MAXUINT};
    g_assert_true(do_run(telling, run));
  }
}

// False: the story came to its end before that step.
static bool crash_at(const Telling *telling, unsigned step) {
  const CrashStory *story = telling->story;
  memset(telling->known, 0, story->known_size);
  g_autofree char *account = fresh(telling, "account");
  g_autofree char *left = fresh(telling, "left");
  g_autofree char *left_again = fresh(telling, "left-again");
  g_assert_cmpint(mkdir(account, 0700), ==, 0);
  if (story->prepare != NULL)
    g_assert_true(
        do_run(telling, (Run){story->prepare, .directory = account, .at_step = G_MAXUINT}));
  if (do_run(telling, (Run){story->tell, .directory = account, .crash = telling->crash,
                            .at_step = step, .left = left}))
    return false;
  const char *found = telling->crash == CRASH_KILL ? account : left;
  found = start_twice(telling, step, found, left_again);
  if (found != NULL) look_at(telling, step, found);
  return true;
}

static void tell(const CrashStory *story, Crash crash) {
  g_autoptr(GError) error = NULL;
  Telling telling = {story, crash, NULL, g_dir_make_tmp("mailfs-crash-XXXXXX", &error)};
  g_assert_no_error(error);
  telling.known =
      mmap(NULL, story->known_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true(telling.known != MAP_FAILED);
  unsigned step = 0;
  while (crash_at(&telling, step))
    step++;
  g_test_message("%u steps", step);
  g_assert_cmpuint(step, >, story->steps_min);
  munmap(telling.known, story->known_size);
  scratch_remove(telling.base);
  g_free(telling.base);
}

static void test_kill(gconstpointer story) {
  tell(story, CRASH_KILL);
}

static void test_power_none(gconstpointer story) {
  tell(story, CRASH_POWER_NONE);
}

static void test_power_some(gconstpointer story) {
  tell(story, CRASH_POWER_SOME);
}

void crash_story_add(const char *path, const CrashStory *story) {
  static const struct {
    const char *name;
    GTestDataFunc test;
  } tests[] = {
      {"kill -9", test_kill},
      {"power, nothing unsynced", test_power_none},
      {"power, some unsynced", test_power_some},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_autofree char *name = g_strconcat(path, "/", tests[i].name, NULL);
    g_test_add_data_func(name, story, tests[i].test);
  }
}
