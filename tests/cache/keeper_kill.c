// Claim: at every change of the disk, one after another, the program may be killed or the power may
// fail: the next start has all mail that was archived, under its name and with its bytes, knows
// each removal that was answered, and none that nobody asked for; with the cache as it was left,
// and with a new one.
#include <stdatomic.h>
#include <string.h>

#include "crash_story.h"
#include "tests/cache/keeper_fixture.h"

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
  Known *known;  // [MESSAGES], shared
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

static void begin(gpointer data, gpointer known, const char *directory) {
  Story *story = data;
  story->known = known;
  keeper_fixture_in(&story->fixture, directory);
}

// A mailbox that was listed, with the bodies of all but the last message.
static void prepare(gpointer data) {
  Story *story = data;
  keeper_list(&story->fixture, ids);
  for (int i = 0; i < LATER; i++)
    keeper_bring_body(&story->fixture, ids[i]);
}

static void tell(gpointer data) {
  Story *story = data;
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

// The second time without the cache, the first time now and then.
static void start_again(gpointer data, const CrashStart *start) {
  Story *story = data;
  bool wipes = start->number == 2 || start->step % 3 == start->number + 1;
  if (wipes) keeper_wipe_cache(&story->fixture);
  keeper_start(&story->fixture);
  g_autofree char *removals = keeper_removals(&story->fixture);
  g_autofree char *shown = keeper_shown(&story->fixture);
  for (int i = 0; i < MESSAGES; i++)
    check_message(story, (StoryMessage)i, removals, shown);
  keeper_stop(&story->fixture);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  Story story = {0};
  const CrashStory crash = {
      .steps_min = 100,
      .starts = 2,
      .known_size = MESSAGES * sizeof(Known),
      .data = &story,
      .begin = begin,
      .prepare = prepare,
      .tell = tell,
      .start_again = start_again,
  };
  crash_story_add("/keeper/kill", &crash);
  return g_test_run();
}
