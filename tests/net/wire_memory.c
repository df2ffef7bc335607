#include "net/wire_memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/wire.h"
#include "tests/net/loopback.h"

// Not searched: what sanitizers map, which is far more than there is memory.
#define MAX_REGION_BYTES (UINT64_C(1) << 30)
#define SECRET_BYTES 24

// What is looked for, each byte changed, so that it is not found here.
static unsigned char veiled[SECRET_BYTES];

// A server of its own process: nothing of what it heard is in our memory.
static pid_t start_server(uint16_t *port, int *end) {
  int ports[2], ends[2];
  g_assert_cmpint(pipe2(ports, O_CLOEXEC), ==, 0);
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  pid_t server = fork();
  if (server == 0) {
    static const char *const dialogues[] = {
        "S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN\nS: A001 OK\n"
        "C: A002 AUTHENTICATE PLAIN\nS: + \nC: *\nS: A002 OK\nhold",
        NULL};
    Loopback *loopback = loopback_new(dialogues, false);
    uint16_t own = loopback_port(loopback);
    char byte;
    close(ends[1]);
    bool is_told = write(ports[1], &own, sizeof own) == (ssize_t)sizeof own;
    bool is_over = read(ends[0], &byte, 1) == 0;
    _exit(loopback_free(loopback) == 0 && is_told && is_over ? 0 : 1);
  }
  close(ends[0]);
  close(ports[1]);
  g_assert_cmpint(read(ports[0], port, sizeof *port), ==, sizeof *port);
  close(ports[0]);
  *end = ends[1];
  return server;
}

static void make_secret(char *secret) {
  for (int i = 0; i < SECRET_BYTES; i++) {
    secret[i] = (char)g_random_int_range('a', 'z' + 1);
    veiled[i] = (unsigned char)~secret[i];
  }
  secret[SECRET_BYTES] = '\0';
}

static unsigned count_in(const char *bytes, size_t size) {
  unsigned count = 0;
  for (size_t i = 0; i + SECRET_BYTES <= size; i++) {
    size_t same = 0;
    while (same < SECRET_BYTES && (unsigned char)~bytes[i + same] == veiled[same])
      same++;
    if (same == SECRET_BYTES) count++;
  }
  return count;
}

// How often the secret is found in all memory that we can write.
static unsigned count_in_memory(void) {
  FILE *maps = fopen("/proc/self/maps", "re");
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  char line[512];
  unsigned count = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    uint64_t start, end;
    char mode[5];
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, mode) != 3) continue;
    if (mode[1] != 'w' || end - start > MAX_REGION_BYTES) continue;
    char *bytes = g_malloc(end - start);
    ssize_t size = pread(memory, bytes, end - start, (off_t)start);
    if (size > 0) count += count_in(bytes, (size_t)size);
    wire_memory_free(bytes);
  }
  fclose(maps);
  close(memory);
  return count;
}

// After a connection has ended, nothing in memory tells the password that it logged in with.
static void test_password(void) {
  uint16_t port;
  int end, status;
  char secret[SECRET_BYTES + 1];
  pid_t server = start_server(&port, &end);
  g_autofree char *url = g_strdup_printf("imap://alice@localhost:%u", port);
  g_autoptr(Account) account = account_new_from_url(url, NULL);
  account->tls_off = true;
  account->timeout_ms = 30000;
  make_secret(secret);
  account->secret = secret_new_from_value(SECRET_PASSWORD, secret);
  g_assert_cmpuint(count_in_memory(), >, 0);
  memset(secret, 0, sizeof secret);
  g_autoptr(Waker) waker = waker_new();
  g_autoptr(GError) error = NULL;
  Wire *wire = wire_open(account, waker, "test1", &error);
  g_assert_no_error(error);
  wire_free(wire);
  g_clear_pointer(&account->secret, secret_unref);
  g_assert_cmpuint(count_in_memory(), ==, 0);
  close(end);
  g_assert_cmpint(waitpid(server, &status, 0), ==, server);
  g_assert_cmpint(status, ==, 0);
}

// What is moved keeps its bytes, when it grows and when it shrinks.
static void test_realloc(void) {
  static const size_t sizes[] = {1, 100, 100000, 99999, 10, 1000000};
  char *memory = wire_memory_realloc(NULL, 1);
  memory[0] = 'a';
  for (size_t i = 0, kept = 1; i < G_N_ELEMENTS(sizes); i++) {
    memory = wire_memory_realloc(memory, sizes[i]);
    for (size_t at = 0; at < MIN(kept, sizes[i]); at++)
      g_assert_cmpint(memory[at], ==, 'a');
    memset(memory, 'a', sizes[i]);
    kept = sizes[i];
  }
  wire_memory_free(memory);
  wire_memory_free(NULL);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/wire-memory/password", test_password);
  g_test_add_func("/wire-memory/realloc", test_realloc);
  return g_test_run();
}
