#include "tools/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "tools/control_command.h"
#include "tools/control_socket.h"

// Beyond this, clients wait in the kernel's queue until one leaves.
#define CALLS_MAX 32
#define REST_S 1

struct Control {
  char *account_directory, *link;
  Outbox *outbox;
  GMainContext *context;
  int fd;
  GSource *source;    // NULL: there are enough clients
  GSource *rest;      // NULL: there is no reason not to listen
  GHashTable *calls;  // set of ControlCall *
};

static void watch(Control *control);

static void on_gone(ControlCall *call, gpointer data) {
  Control *control = data;
  g_hash_table_remove(control->calls, call);
  control_call_free(call);
  watch(control);
}

static bool is_trusted(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == geteuid() || peer.uid == 0);
}

static void drop_source(GSource **source) {
  if (*source == NULL) return;
  g_source_destroy(*source);
  g_clear_pointer(source, g_source_unref);
}

static gboolean on_rested(gpointer data) {
  Control *control = data;
  drop_source(&control->rest);
  watch(control);
  return G_SOURCE_REMOVE;
}

// Without descriptors, the client stays in the queue: it is not to be asked for again and again.
static void rest(Control *control) {
  control->rest = g_timeout_source_new_seconds(REST_S);
  g_source_set_callback(control->rest, on_rested, control, NULL);
  g_source_attach(control->rest, control->context);
  watch(control);
}

static gboolean on_client(gint listening_fd, GIOCondition condition, gpointer data) {
  Control *control = data;
  int fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) rest(control);
    return G_SOURCE_CONTINUE;
  }
  if (!is_trusted(fd)) {
    close(fd);
    return G_SOURCE_CONTINUE;
  }
  g_hash_table_add(control->calls,
                   control_call_new(fd, control->context, control->outbox, on_gone, control));
  watch(control);
  return G_SOURCE_CONTINUE;
}

static void watch(Control *control) {
  bool listens = control->rest == NULL && g_hash_table_size(control->calls) < CALLS_MAX;
  if (listens == (control->source != NULL)) return;
  if (!listens) {
    drop_source(&control->source);
    return;
  }
  control->source = g_unix_fd_source_new(control->fd, G_IO_IN);
  g_source_set_callback(control->source, G_SOURCE_FUNC(on_client), control, NULL);
  g_source_attach(control->source, control->context);
}

Control *control_new(const char *account_directory, Outbox *outbox, GMainContext *context,
                     GError **error) {
  char *link = NULL;
  int fd = control_socket_listen(account_directory, &link, error);
  if (fd < 0) return NULL;
  Control *control = g_new0(Control, 1);
  control->account_directory = g_strdup(account_directory);
  control->link = link;
  control->outbox = outbox;
  control->context = g_main_context_ref(context);
  control->fd = fd;
  control->calls = g_hash_table_new(NULL, NULL);
  watch(control);
  return control;
}

void control_free(Control *control) {
  if (control == NULL) return;
  GHashTableIter iter;
  gpointer call;
  g_hash_table_iter_init(&iter, control->calls);
  while (g_hash_table_iter_next(&iter, &call, NULL))
    control_call_free(call);
  g_hash_table_unref(control->calls);
  drop_source(&control->source);
  drop_source(&control->rest);
  control_socket_remove(control->account_directory, control->link);
  close(control->fd);
  g_main_context_unref(control->context);
  g_free(control->account_directory);
  g_free(control->link);
  g_free(control);
}
