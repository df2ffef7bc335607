// Claim: granules say that a range is ready exactly if each piece that it touches was whole within
// something that came, and find what is neither here nor on its way; also at the end of a body,
// where the last piece is a short one.
#include "cache/granules.h"

#include <glib.h>

#define PIECES 5

static const uint64_t sizes[] = {1,
                                 GRANULE_BYTES - 1,
                                 GRANULE_BYTES,
                                 GRANULE_BYTES + 1,
                                 PIECES *GRANULE_BYTES - 7,
                                 PIECES *GRANULE_BYTES};

// What granules are to know, piece by piece.
typedef struct {
  uint64_t size;
  unsigned n;
  bool ready[PIECES];
} Model;

static uint64_t begin_of(unsigned piece) {
  return piece * GRANULE_BYTES;
}

static uint64_t end_of(const Model *model, unsigned piece) {
  return MIN(begin_of(piece + 1), model->size);
}

static void note(Model *model, uint64_t offset, uint64_t end) {
  for (unsigned i = 0; i < model->n; i++)
    if (offset <= begin_of(i) && end_of(model, i) <= end) model->ready[i] = true;
}

static bool is_ready(const Model *model, uint64_t offset, uint64_t end) {
  for (unsigned i = 0; i < model->n; i++) {
    bool touches = begin_of(i) < end && offset < end_of(model, i);
    if (touches && !model->ready[i]) return false;
  }
  return true;
}

static void assert_same(const Granules *granules, const Model *model, GRand *random) {
  bool is_whole = true;
  for (unsigned i = 0; i < model->n; i++)
    is_whole &= model->ready[i];
  g_assert_true(granules_is_whole(granules) == is_whole);
  for (unsigned i = 0; i < 20; i++) {
    uint64_t offset = (uint64_t)g_rand_int_range(random, 0, (gint32)model->size + 10);
    uint64_t size = (uint64_t)g_rand_int_range(random, 0, 3 * (gint32)GRANULE_BYTES);
    bool expected = size == 0 || is_ready(model, offset, MIN(offset + size, model->size));
    g_assert_true(granules_is_ready(granules, offset, size) == expected);
  }
}

static void test_ready(void) {
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  for (unsigned round = 0; round < 500; round++) {
    Model model = {.size = sizes[round % G_N_ELEMENTS(sizes)]};
    Granules granules;
    granules_init(&granules, model.size);
    model.n = (unsigned)granules.n;
    g_assert_cmpuint(end_of(&model, model.n - 1), ==, model.size);
    for (unsigned i = 0; i < 6; i++) {
      uint64_t offset = (uint64_t)g_rand_int_range(random, 0, (gint32)model.size);
      uint64_t most = g_rand_boolean(random) ? model.size : 2 * GRANULE_BYTES;
      MailboxRange range = {
          g_rand_boolean(random) ? begin_of((unsigned)(offset / GRANULE_BYTES)) : offset, 0};
      range.size = MIN(most, model.size - range.offset);
      granules_note_ready(&granules, &range);
      note(&model, range.offset, range.offset + range.size);
      assert_same(&granules, &model, random);
    }
    granules_clear(&granules);
  }
}

// What is under way is not asked for again, unless it failed; what is ready stays so.
static void test_missing(void) {
  Granules granules;
  granules_init(&granules, PIECES * GRANULE_BYTES);
  g_assert_cmpuint(granules_count_missing(&granules, 0, PIECES), ==, PIECES);
  granules_set(&granules, 1, 3, GRANULE_UNDER_WAY);
  g_assert_cmpuint(granules_count_missing(&granules, 0, PIECES), ==, 1);
  g_assert_cmpuint(granules_next_missing(&granules, 1, PIECES), ==, 3);
  g_assert_cmpuint(granules_next_missing(&granules, 1, 3), ==, 3);
  g_assert_false(granules_is_ready(&granules, GRANULE_BYTES, 1));
  granules_set(&granules, 2, 3, GRANULE_READY);
  granules_set(&granules, 1, 3, GRANULE_MISSING);
  g_assert_cmpuint(granules_next_missing(&granules, 1, PIECES), ==, 1);
  g_assert_cmpuint(granules_count_missing(&granules, 1, PIECES), ==, 1);
  g_assert_true(granules_is_ready(&granules, 2 * GRANULE_BYTES, GRANULE_BYTES));
  g_assert_cmpuint(granules.n_ready, ==, 1);
  granules_clear(&granules);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/granules/ready", test_ready);
  g_test_add_func("/granules/missing", test_missing);
  return g_test_run();
}
