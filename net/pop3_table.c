#include "net/pop3_table.h"

#include <inttypes.h>

#include "net/error.h"

struct Pop3Table {
  GArray *messages;  // Pop3Message, that of number 1 first
  GArray *order;     // their indices, as uint32_t: while they are named by key, then by UID
  uint32_t count;
};

Pop3Table *pop3_table_new(void) {
  Pop3Table *table = g_new0(Pop3Table, 1);
  table->messages = g_array_new(FALSE, TRUE, sizeof(Pop3Message));
  table->order = g_array_new(FALSE, FALSE, sizeof(uint32_t));
  return table;
}

void pop3_table_free(Pop3Table *table) {
  if (table == NULL) return;
  g_array_unref(table->messages);
  g_array_unref(table->order);
  g_free(table);
}

static Pop3Message *message_at(const Pop3Table *table, uint32_t index) {
  return &g_array_index(table->messages, Pop3Message, index);
}

// The message at a place of the order.
static Pop3Message *ordered(const Pop3Table *table, guint place) {
  return message_at(table, g_array_index(table->order, uint32_t, place));
}

Pop3Message *pop3_table_add(Pop3Table *table, uint32_t number, GError **error) {
  g_assert(number > 0);
  if (number > POP3_MESSAGES_MAX) {
    g_set_error(error, NET_ERROR, NET_ERROR_LIMIT,
                "the server lists a message number %" PRIu32 ", more than %d are not read", number,
                POP3_MESSAGES_MAX);
    return NULL;
  }
  if (number > table->messages->len) g_array_set_size(table->messages, number);
  Pop3Message *message = message_at(table, number - 1);
  if (message->is_there) return message;
  *message = (Pop3Message){.size = -1, .is_there = true};
  table->count++;
  return message;
}

Pop3Message *pop3_table_get(Pop3Table *table, uint32_t number) {
  if (number == 0 || number > table->messages->len) return NULL;
  Pop3Message *message = message_at(table, number - 1);
  return message->is_there ? message : NULL;
}

uint32_t pop3_table_last_number(const Pop3Table *table) {
  return table->messages->len;
}

uint32_t pop3_table_count(const Pop3Table *table) {
  return table->count;
}

// ---- Names.

typedef struct {
  Pop3NumberFunc number;
  gpointer data;
} Known;

static int compare_keys(const void *a, const void *b, gpointer table) {
  uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
  uint64_t x = message_at(table, first)->key, y = message_at(table, second)->key;
  return x != y ? (x > y) - (x < y) : (first > second) - (first < second);
}

static int compare_uids(const void *a, const void *b, gpointer table) {
  uint32_t x = message_at(table, *(const uint32_t *)a)->uid;
  uint32_t y = message_at(table, *(const uint32_t *)b)->uid;
  return (x > y) - (x < y);
}

static void order_all(Pop3Table *table) {
  g_array_set_size(table->order, 0);
  for (uint32_t i = 0; i < table->messages->len; i++)
    if (message_at(table, i)->is_there) g_array_append_val(table->order, i);
  g_array_sort_with_data(table->order, compare_keys, table);
}

// Asks for the UID of one twin; of a message of that size.
static bool ask(const Known *known, uint64_t key, uint32_t twin, int64_t size, uint32_t *uid,
                bool *is_certain, GError **error) {
  *uid = 0;
  *is_certain = true;
  if (known->number == NULL) return true;
  g_autofree char *id = pop3_id(key, twin);
  return known->number(id, size, uid, is_certain, known->data, error);
}

// Where the messages from a place of the order on that have one key end.
static guint twins_end(const Pop3Table *table, guint start) {
  guint end = start + 1;
  while (end < table->order->len && ordered(table, end)->key == ordered(table, start)->key)
    end++;
  return end;
}

static void forget_twins(Pop3Table *table, guint start, guint end) {
  for (guint place = start; place < end; place++) {
    ordered(table, place)->uid = 0;
    ordered(table, place)->is_doubtful = false;
  }
}

// All twins from a place of the order on: each is known, and no further one is, or they are new.
static bool recognise_twins(Pop3Table *table, guint start, guint end, const Known *known,
                            GError **error) {
  uint64_t key = ordered(table, start)->key;
  bool are_known = true, is_certain;
  uint32_t uid = 0;
  for (guint place = start; place < end; place++) {
    Pop3Message *message = ordered(table, place);
    message->twin = place - start + 1;
    message->has_twins = message->is_keyed_by_uidl && end > start + 1;
    if (!are_known) continue;
    if (!ask(known, key, message->twin, message->size, &message->uid, &is_certain, error))
      return false;
    message->is_doubtful = message->has_twins || (message->is_keyed_by_uidl && !is_certain);
    are_known = message->uid != 0;
  }
  if (are_known && !ask(known, key, end - start + 1, -1, &uid, &is_certain, error)) return false;
  if (!are_known || uid != 0) forget_twins(table, start, end);
  return true;
}

bool pop3_table_recognise(Pop3Table *table, Pop3NumberFunc number, gpointer data, GError **error) {
  const Known known = {.number = number, .data = data};
  guint end;
  order_all(table);
  for (guint start = 0; start < table->order->len; start = end) {
    end = twins_end(table, start);
    if (ordered(table, start)->is_told) continue;
    if (!recognise_twins(table, start, end, &known, error)) return false;
  }
  return true;
}

static void forget_half_known(Pop3Table *table) {
  guint end;
  for (guint start = 0; start < table->order->len; start = end) {
    bool are_known = true;
    end = twins_end(table, start);
    for (guint place = start; place < end; place++)
      are_known &= ordered(table, place)->uid != 0;
    if (!are_known) forget_twins(table, start, end);
  }
}

static bool name_new(Pop3Table *table, uint32_t last_uid, GError **error) {
  for (uint32_t i = 0; i < table->messages->len; i++) {
    Pop3Message *message = message_at(table, i);
    if (!message->is_there || message->uid != 0) continue;
    if (last_uid == UINT32_MAX) {
      g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "there are no UIDs left");
      return false;
    }
    message->uid = ++last_uid;
  }
  return true;
}

bool pop3_table_name(Pop3Table *table, uint32_t last_uid, GError **error) {
  forget_half_known(table);
  if (!name_new(table, last_uid, error)) return false;
  g_array_sort_with_data(table->order, compare_uids, table);
  return true;
}

uint32_t pop3_table_find(const Pop3Table *table, UidRange uids) {
  guint low = 0, high = table->order->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    if (ordered(table, middle)->uid < uids.first)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == table->order->len || ordered(table, low)->uid > uids.last) return 0;
  return g_array_index(table->order, uint32_t, low) + 1;
}

uint32_t pop3_table_next(const Pop3Table *table, Pop3Walk *walk) {
  while (walk->range < uid_set_n_ranges(walk->uids)) {
    UidRange range = uid_set_range(walk->uids, walk->range);
    bool is_passed = walk->last_uid >= range.last;
    range.first = MAX(range.first, walk->last_uid + 1);
    uint32_t number = is_passed ? 0 : pop3_table_find(table, range);
    if (number != 0 && !message_at(table, number - 1)->is_unsure) return number;
    if (number != 0)
      walk->last_uid = message_at(table, number - 1)->uid;
    else
      walk->range++;
  }
  return 0;
}
