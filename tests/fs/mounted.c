#include "tests/fs/mounted.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/queue.h"

#define LONGEST_TEST_S 50

typedef struct Loop {
  GMainContext *context;
  GMainLoop *loop;
  Post *post;
  pthread_t thread;
  sem_t answered;
  int guard;  // the guard ends when this is closed
  pid_t guard_pid;
} Loop;

typedef struct {
  void (*run)(Mounted *mounted, gpointer data);
  gpointer data;
  sem_t done;
} Call;

static void take_call(gpointer item, gpointer data) {
  Call *call = item;
  call->run(data, call->data);
  sem_post(&call->done);
}

static void *run_loop(void *data) {
  g_main_loop_run(((Loop *)data)->loop);
  return NULL;
}

static void on_answers(gpointer data) {
  sem_post(&((Loop *)data)->answered);
}

static void on_ended(gpointer data) {
  sem_post(&((Mounted *)data)->ended);
}

void mounted_unmount(const char *directory) {
  const char *const argv[] = {"fusermount3", "-u", "-z", "-q", directory, NULL};
  g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
               NULL, NULL, NULL, NULL, NULL);
}

// Waits for the end of the test, and a little longer than a test may take. A request that is never
// answered holds even a killed process, and with it the mount: only an abort (umount -f) ends that.
static void guard(int end, const char *directory) {
  struct pollfd state = {.fd = end, .events = POLLIN};
  poll(&state, 1, (LONGEST_TEST_S + 5) * 1000);
  execlp("sh", "sh", "-c", "umount -f \"$0\"; fusermount3 -uzq \"$0\"; rmdir \"$0\"", directory,
         NULL);
  _exit(1);
}

// Before any thread is there.
static void start_guard(Mounted *mounted) {
  int ends[2];
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  mounted->loop->guard = ends[1];
  mounted->loop->guard_pid = fork();
  if (mounted->loop->guard_pid == 0) {
    alarm(0);
    close(ends[1]);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    guard(ends[0], mounted->directory);
  }
  close(ends[0]);
}

Mounted *mounted_new(unsigned timeout_ms) {
  g_autoptr(GError) error = NULL;
  Mounted *mounted = g_new0(Mounted, 1);
  Loop *loop = mounted->loop = g_new0(Loop, 1);
  mounted->directory = g_dir_make_tmp("mailfs-test-XXXXXX", NULL);
  start_guard(mounted);
  alarm(LONGEST_TEST_S);
  sem_init(&mounted->ended, 0, 0);
  sem_init(&loop->answered, 0, 0);
  loop->context = g_main_context_new();
  loop->loop = g_main_loop_new(loop->context, FALSE);
  loop->post = post_new(loop->context, take_call, mounted, NULL);
  mounted->store = fake_store_new(loop->context);
  mounted->outbox = fake_outbox_new();
  mounted->inbox = fake_add_folder(mounted->store, INODE_ROOT, "INBOX");
  FilesystemOptions options = {
      .source = "imaps://alice,bob@mail.example.org",
      .mountpoint = mounted->directory,
      .outbox_name = "outbox",
      .uid = getuid(),
      .gid = getgid(),
      .umask = 077,
      .timeout_ms = timeout_ms,
  };
  mounted->filesystem = filesystem_new(&options, mounted->store, mounted->outbox, loop->context,
                                       on_ended, mounted, &error);
  g_assert_no_error(error);
  filesystem_mount(mounted->filesystem, on_answers, loop, &error);
  g_assert_no_error(error);
  pthread_create(&loop->thread, NULL, run_loop, loop);
  sem_wait(&loop->answered);
  return mounted;
}

static void quit(Mounted *mounted, gpointer data) {
  g_main_loop_quit(mounted->loop->loop);
}

void mounted_end(Mounted *mounted) {
  if (mounted->filesystem == NULL) return;
  mounted_call(mounted, quit, NULL);
  pthread_join(mounted->loop->thread, NULL);
  g_clear_pointer(&mounted->filesystem, filesystem_free);
}

void mounted_free(Mounted *mounted) {
  if (mounted == NULL) return;
  Loop *loop = mounted->loop;
  mounted_end(mounted);
  fake_store_free(mounted->store);
  fake_outbox_free(mounted->outbox);
  post_free(loop->post);
  g_main_loop_unref(loop->loop);
  g_main_context_unref(loop->context);
  close(loop->guard);
  waitpid(loop->guard_pid, NULL, 0);
  alarm(0);
  g_free(mounted->directory);
  g_free(loop);
  g_free(mounted);
}

void mounted_call(Mounted *mounted, void (*run)(Mounted *mounted, gpointer data), gpointer data) {
  Call call = {.run = run, .data = data};
  sem_init(&call.done, 0, 0);
  post_send(mounted->loop->post, &call);
  sem_wait(&call.done);
}

char *mounted_path(const Mounted *mounted, const char *name) {
  return g_build_filename(mounted->directory, name, NULL);
}

void mounted_init(void) {
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
}
