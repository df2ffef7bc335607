// The folder tree, brought up to date.

#include "cache/sync.h"

#include "cache/name.h"
#include "net/error.h"

#include "cache/sync_private.h"

typedef struct {
  const SyncOptions *options;
  GPtrArray *folders;  // of MailboxFolder, with names of their own
  unsigned listed;     // by the server, wanted or not
  GArray *statuses;    // of FolderStatus
} Tree;

typedef struct {
  char *folder;
  MailboxStatus status;
} FolderStatus;

static void free_folder(gpointer folder) {
  g_free((char *)((MailboxFolder *)folder)->name);
  g_free(folder);
}

// The folder's name as the globs see it: decoded, with "/" between levels.
static bool is_wanted(const MailboxFolder *folder, const char *const *globs) {
  if (globs == NULL || globs[0] == NULL) return true;
  g_auto(GStrv) levels = name_folder_levels(folder->name, folder->delimiter);
  for (char **level = levels; *level != NULL; level++) {
    char *decoded = name_folder_display(*level);
    g_free(*level);
    *level = decoded;
  }
  g_autofree char *path = g_strjoinv("/", levels);
  return name_folder_wanted(path, globs);
}

static bool collect_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  Tree *tree = data;
  tree->listed++;
  if (!is_wanted(folder, tree->options->folders)) return true;
  MailboxFolder *copy = g_memdup2(folder, sizeof *folder);
  copy->name = g_strdup(folder->name);
  g_ptr_array_add(tree->folders, copy);
  return true;
}

static void clear_status(gpointer data) {
  g_free(((FolderStatus *)data)->folder);
}

static bool collect_status(const char *folder, const MailboxStatus *status, gpointer data,
                           GError **error) {
  Tree *tree = data;
  FolderStatus told = {.folder = g_strdup(folder), .status = *status};
  g_array_append_val(tree->statuses, told);
  return true;
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return g_strcmp0((*(const MailboxFolder *const *)a)->name,
                   (*(const MailboxFolder *const *)b)->name);
}

// Folders whose state is the one of their listing are up to date without being looked into.
static bool compare_statuses(Index *index, const GArray *statuses, Changes *changes,
                             GError **error) {
  for (unsigned i = 0; i < statuses->len; i++) {
    const FolderStatus *told = &g_array_index(statuses, FolderStatus, i);
    uint64_t folder;
    bool current;
    if (!index_note_status(index, told->folder, &told->status, sync_now_ns(), &folder, &current,
                           error))
      return false;
    if (folder != 0 && !current) changes_add_stale(changes, folder);
  }
  return true;
}

static bool write_tree(Index *index, Tree *tree, Changes *changes, GError **error) {
  const IndexListener listener = sync_listener(changes);
  if (!index_begin(index, error) || !index_begin_tree(index, error)) return false;
  for (unsigned i = 0; i < tree->folders->len; i++) {
    if (!index_put_folder(index, tree->folders->pdata[i], tree->options->reserved, error))
      return false;
  }
  return index_end_tree(index, sync_now_ns(), &listener, error) &&
         compare_statuses(index, tree->statuses, changes, error) && index_commit(index, error);
}

// A quota is good to know, no more: the tree does not fail with it.
static void sync_quota(Index *index, Mailbox *mailbox) {
  MailboxQuota quota;
  g_autoptr(GError) error = NULL;
  if (!mailbox_quota(mailbox, &quota, &error) || !index_begin(index, &error) ||
      !index_set_quota(index, &quota, &error) || !index_commit(index, &error)) {
    g_info("no quota: %s", error->message);
  }
  index_rollback(index);
}

bool sync_tree(Index *index, Mailbox *mailbox, const SyncOptions *options, Changes *changes,
               GError **error) {
  Tree tree = {.options = options};
  g_autoptr(GPtrArray) folders = tree.folders = g_ptr_array_new_with_free_func(free_folder);
  g_autoptr(GArray) statuses = tree.statuses = g_array_new(FALSE, FALSE, sizeof(FolderStatus));
  g_array_set_clear_func(statuses, clear_status);
  if (!mailbox_list(mailbox, collect_folder, collect_status, &tree, error)) return false;
  if (folders->len == 0) {
    const char *words = tree.listed > 0 ? "folders= wants none of the server's folders"
                                        : "the server lists no folder";
    g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, words);
    return false;
  }
  // Sorted, so that where two names clash the same one is told apart on every machine.
  g_ptr_array_sort(folders, compare_names);
  bool done = write_tree(index, &tree, changes, error);
  index_rollback(index);
  if (done) sync_quota(index, mailbox);
  return done;
}
