// delay: a loopback TCP proxy that passes every byte on N ms after it came, in both directions, as
// a long line does. Bandwidth is not limited unless asked for (--rate).
//
//   client ── up ──> [chunk|chunk|chunk] ──> server
//   client <── [chunk|chunk|chunk] <── down ── server
//
// A Flow is one direction of a connection: a queue of chunks, each with the moment it is due. One
// thread, one epoll. A flow whose receiver does not take what is due stops reading, so that a
// client that stops reading stops the server too, as without a proxy. The TCP handshake is not
// delayed.
//
// The first line of output is "port N"; SIGUSR1 and the end (SIGTERM) print "up BYTES down BYTES":
// what was delivered so far, over all connections.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#define READ_BYTES (256 * 1024)
#define READS_PER_TURN 8
#define NS_PER_MS 1000000
#define NS_PER_S 1000000000
#define NEVER INT64_MAX
// How far ahead a limited line may be booked, and how much of it one chunk may take.
#define BOOKED_NS (20 * NS_PER_MS)
#define CHUNK_NS (2 * NS_PER_MS)

typedef struct {
  int64_t due_ns;
  size_t size, sent;  // size 0: the end of the stream
  char bytes[];
} Chunk;

typedef struct {
  int from, to;
  GQueue chunks;
  int64_t line_free_ns;  // with a rate: when the line has carried all that was read
  bool is_read_to_end;   // nothing more comes
  bool is_done;          // and all of it was delivered
  bool is_blocked;       // the receiver takes nothing at the moment
  uint64_t *delivered_bytes;
} Flow;

typedef struct {
  Flow up, down;
  bool is_broken;
  uint32_t watched[2];  // what epoll looks for at up.from and down.from
} Connection;

typedef struct {
  int epoll;
  uint16_t target_port;
  int64_t delay_ns;
  int64_t rate;  // bytes a second; 0: no limit
  GList *connections;
  uint64_t up_bytes, down_bytes;
  char *buffer;
} Proxy;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

// -- One direction.

// When the flow may read again; 0: at once.
static int64_t flow_paused_until(const Flow *flow, int64_t now) {
  if (flow->is_read_to_end || flow->is_blocked) return NEVER;
  return flow->line_free_ns > now + BOOKED_NS ? flow->line_free_ns - BOOKED_NS : 0;
}

// When the flow has something to do that epoll will not tell.
static int64_t flow_next_ns(Flow *flow, int64_t now) {
  Chunk *chunk = g_queue_peek_head(&flow->chunks);
  int64_t due = chunk && !flow->is_blocked ? chunk->due_ns : NEVER;
  int64_t resumed = flow_paused_until(flow, now);
  return resumed == 0 ? due : MIN(due, resumed);
}

static void flow_take(Proxy *proxy, Flow *flow, size_t size) {
  int64_t carried = now_ns();
  if (proxy->rate > 0) {
    carried = MAX(carried, flow->line_free_ns) + (int64_t)size * NS_PER_S / proxy->rate;
    flow->line_free_ns = carried;
  }
  Chunk *chunk = g_malloc(sizeof *chunk + size);
  *chunk = (Chunk){.due_ns = carried + proxy->delay_ns, .size = size};
  memcpy(chunk->bytes, proxy->buffer, size);
  g_queue_push_tail(&flow->chunks, chunk);
  flow->is_read_to_end = size == 0;
}

// Reads what is there. False: the connection is broken.
static bool flow_read(Proxy *proxy, Flow *flow) {
  size_t limit = READ_BYTES;
  if (proxy->rate > 0) limit = CLAMP(proxy->rate * CHUNK_NS / NS_PER_S, 1024, READ_BYTES);
  for (int turn = 0; turn < READS_PER_TURN && flow_paused_until(flow, now_ns()) == 0; turn++) {
    ssize_t size = recv(flow->from, proxy->buffer, limit, MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    flow_take(proxy, flow, (size_t)size);
  }
  return true;
}

static bool flow_send(Flow *flow, Chunk *chunk) {
  while (chunk->sent < chunk->size) {
    ssize_t sent = send(flow->to, chunk->bytes + chunk->sent, chunk->size - chunk->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      flow->is_blocked = errno == EAGAIN;
      return false;
    }
    chunk->sent += sent < 0 ? 0 : (size_t)sent;
    *flow->delivered_bytes += sent < 0 ? 0 : (uint64_t)sent;
  }
  return true;
}

// Passes on what is due. False: the connection is broken.
static bool flow_deliver(Flow *flow) {
  flow->is_blocked = false;
  Chunk *chunk;
  while ((chunk = g_queue_peek_head(&flow->chunks)) && chunk->due_ns <= now_ns()) {
    if (!flow_send(flow, chunk)) return flow->is_blocked;
    if (chunk->size == 0) {
      shutdown(flow->to, SHUT_WR);
      flow->is_done = true;
    }
    g_free(g_queue_pop_head(&flow->chunks));
  }
  return true;
}

// -- A connection.

// A socket that epoll need not look at is taken out: one that hung up would wake it again and
// again.
static void connection_watch(Proxy *proxy, Connection *connection) {
  Flow *flows[] = {&connection->up, &connection->down};
  for (int i = 0; i < 2; i++) {
    uint32_t wanted = (flow_paused_until(flows[i], now_ns()) == 0 ? EPOLLIN : 0) |
                      (flows[1 - i]->is_blocked ? EPOLLOUT : 0);
    uint32_t *watched = &connection->watched[i];
    if (wanted == *watched) continue;
    int change = !*watched ? EPOLL_CTL_ADD : wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    struct epoll_event event = {.events = wanted, .data.ptr = connection};
    if (epoll_ctl(proxy->epoll, change, flows[i]->from, &event) < 0) die("epoll_ctl");
    *watched = wanted;
  }
}

static void connection_run(Proxy *proxy, Connection *connection) {
  connection->is_broken = !flow_read(proxy, &connection->up) ||
                          !flow_read(proxy, &connection->down) || !flow_deliver(&connection->up) ||
                          !flow_deliver(&connection->down);
}

static void connection_free(Connection *connection) {
  g_queue_clear_full(&connection->up.chunks, g_free);
  g_queue_clear_full(&connection->down.chunks, g_free);
  close(connection->up.from);
  close(connection->down.from);
  g_free(connection);
}

// -- The proxy.

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_at(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
      bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 128) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &size) < 0)
    die("listen");
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

static void proxy_accept(Proxy *proxy, int listener) {
  int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
  if (client < 0) return;
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(proxy->target_port);
  if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) < 0) {
    perror("connect to the target");
    close(client);
    if (server >= 0) close(server);
    return;
  }
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  Connection *connection = g_new0(Connection, 1);
  connection->up = (Flow){.from = client, .to = server, .delivered_bytes = &proxy->up_bytes};
  connection->down = (Flow){.from = server, .to = client, .delivered_bytes = &proxy->down_bytes};
  proxy->connections = g_list_prepend(proxy->connections, connection);
}

// Lets every connection do what can be done now; returns when the next thing is due.
static int64_t proxy_run(Proxy *proxy) {
  int64_t next_ns = NEVER;
  for (GList *link = proxy->connections, *following; link; link = following) {
    following = link->next;
    Connection *connection = link->data;
    connection_run(proxy, connection);
    if (connection->is_broken || (connection->up.is_done && connection->down.is_done)) {
      connection_free(connection);
      proxy->connections = g_list_delete_link(proxy->connections, link);
      continue;
    }
    connection_watch(proxy, connection);
    int64_t now = now_ns();
    next_ns =
        MIN(next_ns, MIN(flow_next_ns(&connection->up, now), flow_next_ns(&connection->down, now)));
  }
  return next_ns;
}

static void proxy_wait(Proxy *proxy, int64_t until_ns) {
  int64_t left = until_ns - now_ns();
  left = CLAMP(left, 0, 3600 * (int64_t)NS_PER_S);
  struct timespec timeout = {.tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S};
  struct epoll_event events[16];
  int count = epoll_pwait2(proxy->epoll, events, G_N_ELEMENTS(events), &timeout, NULL);
  if (count < 0 && errno != EINTR) die("epoll_pwait2");
}

// False: a signal to end came.
static bool proxy_answer_signals(Proxy *proxy, int signals) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == sizeof info) {
    printf("up %" G_GUINT64_FORMAT " down %" G_GUINT64_FORMAT "\n", proxy->up_bytes,
           proxy->down_bytes);
    fflush(stdout);
    if (info.ssi_signo != SIGUSR1) return false;
  }
  return true;
}

static int open_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) die("signalfd");
  return fd;
}

static void proxy_watch_fd(Proxy *proxy, int fd) {
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(proxy->epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

int main(int argc, char **argv) {
  int target = 0, port = 0;
  double delay_ms = 0;
  int64_t rate = 0;
  GOptionEntry entries[] = {
      {"target", 't', 0, G_OPTION_ARG_INT, &target, "the server's loopback port", "PORT"},
      {"listen", 'l', 0, G_OPTION_ARG_INT, &port, "the port to listen at (any free one)", "PORT"},
      {"delay", 'd', 0, G_OPTION_ARG_DOUBLE, &delay_ms, "each way, in milliseconds (0)", "MS"},
      {"rate", 'r', 0, G_OPTION_ARG_INT64, &rate, "each way, a connection (no limit)", "BYTES/S"},
      {0}};
  g_autoptr(GOptionContext) context = g_option_context_new("- a long line to a loopback port");
  g_autoptr(GError) error = NULL;
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error)) g_printerr("%s\n", error->message);
  if (error || target <= 0 || target > UINT16_MAX || delay_ms < 0 || rate < 0) return 64;

  prctl(PR_SET_TIMERSLACK, 1000);
  g_autofree char *buffer = g_malloc(READ_BYTES);
  Proxy proxy = {.epoll = epoll_create1(EPOLL_CLOEXEC),
                 .target_port = (uint16_t)target,
                 .delay_ns = (int64_t)(delay_ms * NS_PER_MS),
                 .rate = rate,
                 .buffer = buffer};
  if (proxy.epoll < 0) die("epoll_create1");
  int signals = open_signals(), listener = listen_at(port);
  proxy_watch_fd(&proxy, signals);
  proxy_watch_fd(&proxy, listener);
  while (proxy_answer_signals(&proxy, signals)) {
    proxy_accept(&proxy, listener);
    proxy_wait(&proxy, proxy_run(&proxy));
  }
  g_list_free_full(proxy.connections, (GDestroyNotify)connection_free);
  close(proxy.epoll);
  close(signals);
  close(listener);
  return 0;
}
