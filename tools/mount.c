#include "tools/mount.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <glib-unix.h>

#include "cache/index.h"
#include "cache/lock.h"
#include "cache/outbox.h"
#include "cache/store.h"
#include "fs/filesystem.h"
#include "net/error.h"
#include "tools/control.h"
#include "tools/exit_code.h"
#include "tools/log.h"

// How long a new mount waits for one that is just ending.
#define LOCK_WAIT_MS 10000

typedef struct {
  const Settings *settings;
  Daemon *daemon;  // NULL: in the foreground
  GMainContext *context;
  GMainLoop *loop;
  int signal_fd;
  GSource *signals;
  GSource *parent;  // NULL: nobody waits for us
  DirectoryLock *cache_lock;
  DirectoryLock *state_lock;
  Store *store;
  Outbox *outbox;    // NULL: nothing can be sent
  Control *control;  // NULL: not before the mount answers
  Filesystem *filesystem;
  int exit_code;
} Mount;

// -- What ends the main loop.

static void fail(Mount *mount, const GError *error) {
  mount->exit_code = exit_report(error);
  g_main_loop_quit(mount->loop);
}

static gboolean on_signal(gint fd, GIOCondition condition, gpointer data) {
  Mount *mount = data;
  struct signalfd_siginfo info;
  if (read(fd, &info, sizeof info) != sizeof info) return G_SOURCE_CONTINUE;
  g_info("ended by signal %u", info.ssi_signo);
  g_main_loop_quit(mount->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean on_parent_gone(gint fd, GIOCondition condition, gpointer data) {
  Mount *mount = data;
  mount->parent = NULL;
  g_main_loop_quit(mount->loop);
  return G_SOURCE_REMOVE;
}

static void on_ended(gpointer data) {
  Mount *mount = data;
  g_main_loop_quit(mount->loop);
}

// -- From the first login to a mount that answers.

// Mail goes without it.
static void start_control(Mount *mount) {
  g_autoptr(GError) error = NULL;
  mount->control =
      control_new(mount->settings->state_directory, mount->outbox, mount->context, &error);
  if (mount->control == NULL) g_warning("mailfsctl will not work: %s", error->message);
}

static void on_answers(gpointer data) {
  Mount *mount = data;
  mount->exit_code = EXIT_SUCCESS;
  g_clear_pointer(&mount->parent, g_source_destroy);
  if (mount->daemon != NULL) {
    log_to_syslog();
    daemon_ready(mount->daemon);
  }
  if (mount->outbox != NULL) outbox_start(mount->outbox);
  start_control(mount);
}

static void start_filesystem(Mount *mount) {
  const Settings *settings = mount->settings;
  const Options *options = settings->options;
  const FilesystemOptions wanted = {
      .source = settings->source,
      .cache_dir = settings->cache_directory,
      .mountpoint = settings->mountpoint,
      .outbox_name = settings->outbox_name,
      .read_only = options->ro,
      .allow_other = options->allow_other,
      .uid = (uid_t)options->uid,
      .gid = (gid_t)options->gid,
      .umask = (mode_t)options->umask,
      .timeout_ms = (unsigned)options->timeout * 1000,
      .fuse_options = settings->fuse_options,
      .debug = settings->debug,
  };
  g_autoptr(GError) error = NULL;
  mount->filesystem =
      filesystem_new(&wanted, mount->store, mount->outbox, mount->context, on_ended, mount, &error);
  if (mount->filesystem == NULL || !filesystem_mount(mount->filesystem, on_answers, mount, &error))
    fail(mount, error);
}

// Errors that a cache helps out of: of the network, and of a cache that has no room for news.
static bool is_helped_by_cache(const GError *error) {
  return error->domain == INDEX_ERROR || g_error_matches(error, NET_ERROR, NET_ERROR_HOST) ||
         g_error_matches(error, NET_ERROR, NET_ERROR_OFFLINE) ||
         g_error_matches(error, NET_ERROR, NET_ERROR_TIMEOUT) ||
         g_error_matches(error, NET_ERROR, NET_ERROR_BUSY);
}

static void on_store_ready(const GError *error, gpointer data) {
  Mount *mount = data;
  if (error != NULL) {
    if (!is_helped_by_cache(error) || !store_has_tree(mount->store)) {
      fail(mount, error);
      return;
    }
    g_autofree char *server = account_server(mount->settings->mailbox);
    const char *problem = error->domain == INDEX_ERROR ? "not brought up to date" : "not reachable";
    g_message("%s: %s (%s); showing the mail of the cache", server, problem, error->message);
  }
  start_filesystem(mount);
}

// -- What is needed before.

static bool lock_directories(Mount *mount, GError **error) {
  const Settings *settings = mount->settings;
  mount->cache_lock = directory_lock_new(settings->cache_directory, LOCK_WAIT_MS, error);
  if (mount->cache_lock == NULL) return false;
  mount->state_lock = directory_lock_new(settings->state_directory, LOCK_WAIT_MS, error);
  return mount->state_lock != NULL;
}

// The cache below its own mount point could only be reached through itself.
static bool check_apart(const char *mountpoint, const char *directory, GError **error) {
  g_autofree char *resolved = realpath(directory, NULL);
  size_t length = strlen(mountpoint);
  bool is_below = resolved != NULL && strncmp(resolved, mountpoint, length) == 0 &&
                  (resolved[length] == '/' || resolved[length] == '\0');
  if (!is_below) return true;
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "%s lies below the mount point %s", directory,
              mountpoint);
  return false;
}

// Takes over the signals that end us, but for those that our caller has us ignore (nohup).
static void take_signals(Mount *mount) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
    struct sigaction action;
    if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
      sigaddset(&set, numbers[i]);
  }
  // Every thread to come inherits this.
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  mount->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (mount->signal_fd < 0) g_error("signalfd: %s", g_strerror(errno));
}

static GSource *watch(Mount *mount, int fd, GIOCondition condition, GUnixFDSourceFunc call) {
  GSource *source = g_unix_fd_source_new(fd, condition);
  g_source_set_callback(source, G_SOURCE_FUNC(call), mount, NULL);
  g_source_attach(source, mount->context);
  g_source_unref(source);  // the context's from now on
  return source;
}

static StoreRemoval removal(const Options *options) {
  if (options->ro) return STORE_REMOVES_NOTHING;
  bool expunges = g_strcmp0(options->delete, "expunge") == 0;
  return expunges ? STORE_EXPUNGES : STORE_REFUSES_REMOVAL;
}

static bool open_store(Mount *mount, GError **error) {
  const Settings *settings = mount->settings;
  const Options *options = settings->options;
  const MailboxTraits *traits = mailbox_traits(settings->mailbox);
  const StoreOptions wanted = {
      .account = settings->mailbox,
      .directory = settings->cache_directory,
      .folders = (const char *const *)options->folders,
      .reserved = settings->outbox_name,
      .uid_names = strcmp(options->names, "uid") == 0,
      .refresh_s = (unsigned)options->refresh,
      .connections = (unsigned)options->connections,
      .prefetch_bytes = options->prefetch,
      .cache_bytes = options->cache_size,
      .state_directory = traits->has_uids ? NULL : settings->state_directory,
      .keeps_forever = strcmp(options->keep, "forever") == 0,
      .removal = traits->has_uids ? STORE_REMOVES_NOTHING : removal(options),
  };
  mount->store = store_open(&wanted, mount->context, error);
  return mount->store != NULL;
}

static void save_copy(Copy *copy, CopyDone done, gpointer data, gpointer store) {
  store_copy(store, copy, done, data);
}

static bool open_outbox(Mount *mount, GError **error) {
  const Settings *settings = mount->settings;
  if (settings->smtp == NULL) return true;
  const OutboxOptions wanted = {
      .smtp = settings->smtp,
      .directory = settings->state_directory,
      .from = settings->from,
      .send_delay_ms = (unsigned)settings->options->send_delay * 1000,
      .send_lifetime_s = settings->options->send_lifetime,
      .save_copy = settings->keeps_sent ? save_copy : NULL,
      .saver = mount->store,
      .copy_folder = settings->sent_folder,
  };
  mount->outbox = outbox_open(&wanted, mount->context, error);
  return mount->outbox != NULL;
}

static bool prepare(Mount *mount, GError **error) {
  const Settings *settings = mount->settings;
  if (!lock_directories(mount, error) ||
      !check_apart(settings->mountpoint, settings->cache_directory, error) ||
      !check_apart(settings->mountpoint, settings->state_directory, error))
    return false;
  take_signals(mount);
  mount->signals = watch(mount, mount->signal_fd, G_IO_IN, on_signal);
  if (mount->daemon != NULL)
    mount->parent = watch(mount, daemon_parent_fd(mount->daemon), G_IO_ERR, on_parent_gone);
  return open_store(mount, error) && open_outbox(mount, error);
}

// -- What the user should know at the start.

static void tell_plain_text(const Account *account) {
  if (account == NULL || !account->tls_off) return;
  g_autofree char *server = account_server(account);
  g_message("%s: tls=off: password and mail travel in plain text", server);
}

static void tell_letters_elsewhere(const Settings *settings) {
  unsigned n_letters = outbox_count_elsewhere(settings->state_root, settings->state_directory);
  if (n_letters > 0)
    g_message("%u letter%s of other accounts wait%s below %s until their account is mounted",
              n_letters, n_letters == 1 ? "" : "s", n_letters == 1 ? "s" : "",
              settings->state_root);
}

// -- And at the end.

static void tell_letters_left(const Mount *mount) {
  unsigned n_letters = mount->outbox != NULL ? outbox_waiting(mount->outbox) : 0;
  if (n_letters > 0)
    g_message("%u letter%s wait%s in the outbox until the account is mounted again", n_letters,
              n_letters == 1 ? "" : "s", n_letters == 1 ? "s" : "");
}

// The reverse of the building.
static void clear(Mount *mount) {
  filesystem_free(mount->filesystem);
  tell_letters_left(mount);
  control_free(mount->control);
  outbox_free(mount->outbox);
  store_free(mount->store);
  g_clear_pointer(&mount->parent, g_source_destroy);
  g_clear_pointer(&mount->signals, g_source_destroy);
  if (mount->signal_fd >= 0) close(mount->signal_fd);
  directory_lock_free(mount->state_lock);
  directory_lock_free(mount->cache_lock);
  g_main_loop_unref(mount->loop);
  g_main_context_unref(mount->context);
}

int mount_run(const Settings *settings, Daemon *daemon) {
  Mount mount = {.settings = settings, .daemon = daemon, .signal_fd = -1};
  // Until the mount answers: what an end without an error of its own (a signal) is to its caller.
  mount.exit_code = EX_TEMPFAIL;
  mount.context = g_main_context_new();
  mount.loop = g_main_loop_new(mount.context, FALSE);
  g_autoptr(GError) error = NULL;
  if (prepare(&mount, &error)) {
    tell_plain_text(settings->mailbox);
    tell_plain_text(settings->smtp);
    tell_letters_elsewhere(settings);
    store_start(mount.store, on_store_ready, &mount);
    g_main_loop_run(mount.loop);
  } else {
    mount.exit_code = exit_report(error);
  }
  clear(&mount);
  return mount.exit_code;
}
