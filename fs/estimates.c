#include "fs/estimates.h"

#include <glib.h>

#define PAGE_SIZES 1024
#define NONE 0
// Told more than one size (the answers may reach the kernel in any order), or one too big to keep.
#define UNSURE UINT32_MAX

typedef struct {
  uint64_t number;  // of its inos, divided by PAGE_SIZES
  unsigned used;    // how many are not NONE
  uint32_t sizes[PAGE_SIZES];
} Page;

struct Estimates {
  GHashTable *pages;  // by number
};

Estimates *estimates_new(void) {
  Estimates *estimates = g_new0(Estimates, 1);
  estimates->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
  return estimates;
}

void estimates_free(Estimates *estimates) {
  if (estimates == NULL) return;
  g_hash_table_unref(estimates->pages);
  g_free(estimates);
}

static Page *find_page(Estimates *estimates, uint64_t ino) {
  uint64_t number = ino / PAGE_SIZES;
  return g_hash_table_lookup(estimates->pages, &number);
}

static Page *make_page(Estimates *estimates, uint64_t ino) {
  Page *page = g_new0(Page, 1);
  page->number = ino / PAGE_SIZES;
  g_hash_table_insert(estimates->pages, &page->number, page);
  return page;
}

static uint32_t as_told(uint64_t size) {
  return size == NONE || size >= UNSURE ? UNSURE : (uint32_t)size;
}

void estimates_told(Estimates *estimates, uint64_t ino, uint64_t size, bool exact) {
  Page *page = find_page(estimates, ino);
  if (page == NULL && exact) return;
  if (page == NULL) page = make_page(estimates, ino);
  uint32_t *told = &page->sizes[ino % PAGE_SIZES];
  if (*told == NONE && exact) return;
  if (*told == NONE) page->used++;
  *told = *told == NONE || *told == as_told(size) ? as_told(size) : UNSURE;
}

bool estimates_settle(Estimates *estimates, uint64_t ino, uint64_t size) {
  Page *page = find_page(estimates, ino);
  if (page == NULL) return false;
  uint32_t *told = &page->sizes[ino % PAGE_SIZES];
  uint32_t before = *told;
  if (before == NONE) return false;
  *told = NONE;
  if (--page->used == 0) g_hash_table_remove(estimates->pages, &page->number);
  return before == UNSURE || before != as_told(size);
}
