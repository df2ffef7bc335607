#include "net/imap_tree.h"

#include <string.h>

struct ImapTree {
  char *memory;
  size_t used, max_bytes, max_string;
  size_t string_start;
  bool string_too_long;
  ImapValue root;
  ImapValue **open, **last;  // per open list: the list, its newest value
  unsigned depth, max_depth;
};

int64_t imap_value_number(const ImapValue *value) {
  const char *text = imap_value_text(value);
  if (!text || !*text) return -1;
  int64_t number = 0;
  for (; *text; text++) {
    if (!g_ascii_isdigit(*text)) return -1;
    int digit = *text - '0';
    if (number > (INT64_MAX - digit) / 10) return -1;
    number = number * 10 + digit;
  }
  return number;
}

const char *imap_value_text(const ImapValue *value) {
  return value ? value->text : NULL;
}

bool imap_value_is_atom(const ImapValue *value, const char *text) {
  return value && value->kind == IMAP_ATOM && g_ascii_strcasecmp(value->text, text) == 0;
}

const ImapValue *imap_value_item(const ImapValue *first, const char *name) {
  for (const ImapValue *item = first; item && item->next; item = item->next->next)
    if (imap_value_is_atom(item, name)) return item->next;
  return NULL;
}

const ImapValue *imap_value_nth(const ImapValue *first, unsigned index) {
  while (first && index-- > 0)
    first = first->next;
  return first;
}

ImapTree *imap_tree_new(size_t max_bytes, size_t max_string, unsigned max_depth) {
  ImapTree *tree = g_new0(ImapTree, 1);
  tree->memory = g_malloc(max_bytes);
  tree->max_bytes = max_bytes;
  tree->max_string = max_string;
  tree->max_depth = max_depth;
  tree->open = g_new0(ImapValue *, max_depth + 1);
  tree->last = g_new0(ImapValue *, max_depth + 1);
  imap_tree_clear(tree);
  return tree;
}

void imap_tree_free(ImapTree *tree) {
  if (!tree) return;
  g_free(tree->memory);
  g_free(tree->open);
  g_free(tree->last);
  g_free(tree);
}

void imap_tree_clear(ImapTree *tree) {
  tree->used = 0;
  tree->depth = 0;
  tree->root = (ImapValue){.kind = IMAP_LIST};
  tree->open[0] = &tree->root;
  tree->last[0] = NULL;
}

const ImapValue *imap_tree_root(const ImapTree *tree) {
  return tree->root.first;
}

unsigned imap_tree_depth(const ImapTree *tree) {
  return tree->depth;
}

const ImapValue *imap_tree_last(const ImapTree *tree) {
  return tree->last[tree->depth];
}

static bool link_value(ImapTree *tree, ImapKind kind, const char *text) {
  size_t start = (tree->used + _Alignof(ImapValue) - 1) / _Alignof(ImapValue) * _Alignof(ImapValue);
  if (start > tree->max_bytes || tree->max_bytes - start < sizeof(ImapValue)) return false;
  ImapValue *value = (ImapValue *)(void *)(tree->memory + start);
  tree->used = start + sizeof *value;
  *value = (ImapValue){.kind = kind, .text = text};

  ImapValue *last = tree->last[tree->depth];
  if (last)
    last->next = value;
  else
    tree->open[tree->depth]->first = value;
  tree->last[tree->depth] = value;
  return true;
}

bool imap_tree_add(ImapTree *tree, ImapKind kind) {
  return link_value(tree, kind, NULL);
}

bool imap_tree_add_atom(ImapTree *tree, const char *bytes, size_t size) {
  size_t before = tree->used;
  const char *text = imap_tree_keep(tree, bytes, size);
  if (text && link_value(tree, IMAP_ATOM, text)) return true;
  tree->used = before;
  return false;
}

bool imap_tree_open(ImapTree *tree) {
  if (tree->depth == tree->max_depth || !link_value(tree, IMAP_LIST, NULL)) return false;
  ImapValue *list = tree->last[tree->depth++];
  tree->open[tree->depth] = list;
  tree->last[tree->depth] = NULL;
  return true;
}

bool imap_tree_close(ImapTree *tree) {
  if (tree->depth == 0) return false;
  tree->depth--;
  return true;
}

static char *copy_without_nul(char *to, const char *bytes, size_t size) {
  memcpy(to, bytes, size);
  for (char *nul = to; (nul = memchr(nul, '\0', size - (size_t)(nul - to))) != NULL;)
    *nul = ' ';
  return to;
}

void imap_tree_string_begin(ImapTree *tree) {
  tree->string_start = tree->used;
  tree->string_too_long = false;
}

void imap_tree_string_append(ImapTree *tree, const char *bytes, size_t size) {
  if (tree->string_too_long || size == 0) return;
  size_t length = tree->used - tree->string_start;
  // One byte is left for the end of the string.
  if (size > tree->max_string - length || size >= tree->max_bytes - tree->used) {
    tree->string_too_long = true;
    tree->used = tree->string_start;
    return;
  }
  copy_without_nul(tree->memory + tree->used, bytes, size);
  tree->used += size;
}

bool imap_tree_string_end(ImapTree *tree) {
  char *end = tree->memory + tree->used;
  if (!tree->string_too_long && tree->used < tree->max_bytes) {
    *end = '\0';
    tree->used++;
    if (link_value(tree, IMAP_STRING, tree->memory + tree->string_start)) return true;
    tree->used = tree->string_start;
  }
  return link_value(tree, IMAP_TOO_LONG, NULL);
}

char *imap_tree_keep(ImapTree *tree, const char *bytes, size_t size) {
  if (size >= tree->max_bytes - tree->used) return NULL;
  char *text = tree->memory + tree->used;
  if (size > 0) copy_without_nul(text, bytes, size);
  text[size] = '\0';
  tree->used += size + 1;
  return text;
}
