#include "cache/readahead.h"

#define WINDOW_MIN_BYTES ((uint64_t)256 << 10)
// A reader may leave out so many messages from one to the next.
#define GAP_MAX 4
// Steps in one order that make a stream.
#define STEPS_MIN 2
#define CANDIDATES_MAX 8
#define STREAMS_MAX 8
// So many messages are looked at in one go, however few of them are wanted.
#define LOOK_MAX 2000

// A message that was opened last, perhaps of a stream to be.
typedef struct {
  uint64_t folder, ino;
  unsigned steps[INDEX_N_ORDERS];  // towards it, in each order
  unsigned age;
} Candidate;

typedef struct {
  uint64_t folder, frontier;
  IndexOrder order;
  GQueue items;  // of Item, what is ahead
  uint64_t window_bytes, ahead_bytes;
  bool ended;
  unsigned age;
} Stream;

typedef struct {
  uint64_t ino, size;
  Stream *stream;
} Item;

struct ReadAhead {
  Index *index;
  uint64_t max_bytes, ahead_bytes;
  ReadAheadFuncs funcs;
  GArray *candidates;  // of Candidate
  GPtrArray *streams;
  GHashTable *items;  // ino -> GList link in its stream's items
  unsigned age;       // counts what happens
};

static void free_stream(gpointer data) {
  Stream *stream = data;
  g_queue_clear_full(&stream->items, g_free);
  g_free(stream);
}

ReadAhead *readahead_new(Index *index, uint64_t max_bytes, const ReadAheadFuncs *funcs) {
  ReadAhead *ahead = g_new0(ReadAhead, 1);
  ahead->index = index;
  ahead->max_bytes = max_bytes;
  ahead->funcs = *funcs;
  ahead->candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
  ahead->streams = g_ptr_array_new_with_free_func(free_stream);
  ahead->items = g_hash_table_new(g_int64_hash, g_int64_equal);
  return ahead;
}

void readahead_free(ReadAhead *ahead) {
  if (ahead == NULL) return;
  g_hash_table_unref(ahead->items);
  g_ptr_array_unref(ahead->streams);
  g_array_unref(ahead->candidates);
  g_free(ahead);
}

// ---- A stream.

static void drop_first_item(ReadAhead *ahead, Stream *stream) {
  Item *item = g_queue_pop_head(&stream->items);
  g_hash_table_remove(ahead->items, &item->ino);
  stream->ahead_bytes -= item->size;
  ahead->ahead_bytes -= item->size;
  g_free(item);
}

static void end_stream(ReadAhead *ahead, Stream *stream) {
  while (!g_queue_is_empty(&stream->items))
    drop_first_item(ahead, stream);
  g_ptr_array_remove_fast(ahead->streams, stream);
}

typedef struct {
  ReadAhead *ahead;
  Stream *stream;
  GArray *fetch;  // of IndexStep
  unsigned looked;
} TopUp;

static bool has_room(const TopUp *top_up) {
  return top_up->stream->ahead_bytes < top_up->stream->window_bytes &&
         top_up->ahead->ahead_bytes < top_up->ahead->max_bytes;
}

static bool take_step(const IndexStep *step, gpointer data) {
  TopUp *top_up = data;
  ReadAhead *ahead = top_up->ahead;
  Stream *stream = top_up->stream;
  stream->ended = false;
  stream->frontier = step->ino;
  if (!g_hash_table_contains(ahead->items, &step->ino) &&
      ahead->funcs.is_wanted(step, ahead->funcs.data)) {
    Item *item = g_new(Item, 1);
    *item = (Item){.ino = step->ino, .size = step->size, .stream = stream};
    g_queue_push_tail(&stream->items, item);
    g_hash_table_insert(ahead->items, &item->ino, stream->items.tail);
    stream->ahead_bytes += step->size;
    ahead->ahead_bytes += step->size;
    g_array_append_val(top_up->fetch, *step);
  }
  return ++top_up->looked < LOOK_MAX && has_room(top_up);
}

static void top_up_stream(ReadAhead *ahead, Stream *stream) {
  if (stream->ended || stream->ahead_bytes > stream->window_bytes / 2) return;
  g_autoptr(GArray) fetch = g_array_new(FALSE, FALSE, sizeof(IndexStep));
  TopUp top_up = {.ahead = ahead, .stream = stream, .fetch = fetch};
  if (!has_room(&top_up)) return;
  stream->ended = true;
  if (index_following(ahead->index, stream->folder, stream->order, stream->frontier, take_step,
                      &top_up) != INDEX_FOUND)
    stream->ended = false;
  if (fetch->len > 0)
    ahead->funcs.fetch(stream->folder, (const IndexStep *)(gpointer)fetch->data, fetch->len,
                       stream->window_bytes, ahead->funcs.data);
}

static void start_stream(ReadAhead *ahead, uint64_t folder, uint64_t ino, IndexOrder order) {
  if (ahead->streams->len == STREAMS_MAX) {
    Stream *oldest = ahead->streams->pdata[0];
    for (unsigned i = 1; i < ahead->streams->len; i++) {
      Stream *stream = ahead->streams->pdata[i];
      if (stream->age < oldest->age) oldest = stream;
    }
    end_stream(ahead, oldest);
  }
  Stream *stream = g_new0(Stream, 1);
  *stream = (Stream){.folder = folder,
                     .frontier = ino,
                     .order = order,
                     .window_bytes = MIN(WINDOW_MIN_BYTES, ahead->max_bytes),
                     .age = ahead->age};
  g_ptr_array_add(ahead->streams, stream);
  top_up_stream(ahead, stream);
}

// The reader is at this item: what he passed over is no longer ahead of him.
static void move_on(ReadAhead *ahead, GList *link) {
  Item *item = link->data;
  Stream *stream = item->stream;
  uint64_t ino = item->ino, here;
  stream->age = ahead->age;
  do {
    here = ((Item *)stream->items.head->data)->ino;
    drop_first_item(ahead, stream);
  } while (here != ino);
  if (stream->ahead_bytes <= stream->window_bytes / 2)
    stream->window_bytes = MIN(stream->window_bytes * 2, ahead->max_bytes);
  top_up_stream(ahead, stream);
}

// ---- From single messages to a stream.

typedef struct {
  uint64_t ino;
  unsigned left;
  bool found;
} Search;

static bool compare_step(const IndexStep *step, gpointer data) {
  Search *search = data;
  search->found = step->ino == search->ino;
  return !search->found && --search->left > 0;
}

static bool follows(ReadAhead *ahead, const Candidate *last, uint64_t ino, IndexOrder order) {
  Search search = {.ino = ino, .left = GAP_MAX};
  index_following(ahead->index, last->folder, order, last->ino, compare_step, &search);
  return search.found;
}

static bool advance(ReadAhead *ahead, Candidate *candidate, uint64_t ino) {
  bool any = false;
  for (IndexOrder order = 0; order < INDEX_N_ORDERS; order++) {
    bool goes_on = follows(ahead, candidate, ino, order);
    candidate->steps[order] = goes_on ? candidate->steps[order] + 1 : 0;
    any = any || goes_on;
  }
  if (any) candidate->ino = ino;
  return any;
}

static void add_candidate(ReadAhead *ahead, uint64_t folder, uint64_t ino) {
  Candidate fresh = {.folder = folder, .ino = ino, .age = ahead->age};
  unsigned oldest = 0;
  if (ahead->candidates->len < CANDIDATES_MAX) {
    g_array_append_val(ahead->candidates, fresh);
    return;
  }
  for (unsigned i = 1; i < CANDIDATES_MAX; i++)
    if (g_array_index(ahead->candidates, Candidate, i).age <
        g_array_index(ahead->candidates, Candidate, oldest).age)
      oldest = i;
  g_array_index(ahead->candidates, Candidate, oldest) = fresh;
}

void readahead_missed(ReadAhead *ahead, uint64_t folder, uint64_t ino) {
  ahead->age++;
  GList *link = g_hash_table_lookup(ahead->items, &ino);
  if (link != NULL) {
    move_on(ahead, link);
    return;
  }
  for (unsigned i = 0; i < ahead->candidates->len; i++) {
    Candidate *candidate = &g_array_index(ahead->candidates, Candidate, i);
    if (candidate->folder != folder || !advance(ahead, candidate, ino)) continue;
    candidate->age = ahead->age;
    for (IndexOrder order = 0; order < INDEX_N_ORDERS; order++) {
      if (candidate->steps[order] < STEPS_MIN) continue;
      g_array_remove_index_fast(ahead->candidates, i);
      start_stream(ahead, folder, ino, order);
      return;
    }
    return;
  }
  add_candidate(ahead, folder, ino);
}

void readahead_found(ReadAhead *ahead, uint64_t ino) {
  GList *link = g_hash_table_lookup(ahead->items, &ino);
  if (link == NULL) return;
  ahead->age++;
  move_on(ahead, link);
}
