#include "tests/net/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct Loopback {
  char **dialogues;
  bool is_tls;
  int listener;
  uint16_t port;
  char *certificate;
  SSL_CTX *tls;
  GThread *thread;
  pthread_mutex_t mutex;  // not GLib's, which the race detector does not understand
  pthread_cond_t changed;
  bool is_accepted, may_continue;
  unsigned unplayed;
};

// One connection; `ssl` is NULL as long as it is plain.
typedef struct {
  int fd;
  SSL *ssl;
} Peer;

static ssize_t peer_read(Peer *peer, void *buffer, size_t size) {
  return peer->ssl != NULL ? SSL_read(peer->ssl, buffer, (int)size) : read(peer->fd, buffer, size);
}

static bool peer_write(Peer *peer, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = peer->ssl != NULL ? SSL_write(peer->ssl, bytes, (int)size)
                                     : send(peer->fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= (size_t)sent;
  }
  return true;
}

static bool peer_start_tls(Peer *peer, Loopback *loopback) {
  peer->ssl = SSL_new(loopback->tls);
  SSL_set_fd(peer->ssl, peer->fd);
  return SSL_accept(peer->ssl) == 1;
}

static bool expect_line(Peer *peer, const char *glob) {
  g_autoptr(GString) line = g_string_new(NULL);
  char byte;
  while (line->len < 10000 && !g_str_has_suffix(line->str, "\r\n")) {
    if (peer_read(peer, &byte, 1) != 1) return false;
    g_string_append_c(line, byte);
  }
  g_string_truncate(line, line->len - 2);
  return g_pattern_match_simple(glob, line->str);
}

static bool flood(Peer *peer, size_t size) {
  g_autofree char *bytes = g_strnfill(size, 'x');
  return peer_write(peer, bytes, size);
}

static bool hold(Peer *peer) {
  char buffer[4096];
  while (peer_read(peer, buffer, sizeof buffer) > 0)
    continue;
  return true;
}

static bool wait_for_continue(Loopback *loopback) {
  pthread_mutex_lock(&loopback->mutex);
  while (!loopback->may_continue)
    pthread_cond_wait(&loopback->changed, &loopback->mutex);
  loopback->may_continue = false;
  pthread_mutex_unlock(&loopback->mutex);
  return true;
}

static bool play_step(Loopback *loopback, Peer *peer, const char *step) {
  if (g_str_has_prefix(step, "C: ")) return expect_line(peer, step + 3);
  if (g_str_has_prefix(step, "flood ")) return flood(peer, strtoul(step + 6, NULL, 10));
  if (strcmp(step, "starttls") == 0) return peer_start_tls(peer, loopback);
  if (strcmp(step, "wait") == 0) return wait_for_continue(loopback);
  if (strcmp(step, "hold") == 0) return hold(peer);
  g_assert_true(g_str_has_prefix(step, "S: "));
  g_autofree char *line = g_strconcat(step + 3, "\r\n", NULL);
  return peer_write(peer, line, strlen(line));
}

static unsigned play(Loopback *loopback, Peer *peer, const char *dialogue) {
  g_auto(GStrv) steps = g_strsplit(dialogue, "\n", -1);
  bool is_running = !loopback->is_tls || peer_start_tls(peer, loopback);
  unsigned unplayed = 0;
  for (char **step = steps; *step != NULL; step++) {
    if (**step == '\0') continue;
    is_running = is_running && play_step(loopback, peer, *step);
    if (!is_running) unplayed++;
  }
  return unplayed;
}

static gpointer serve(gpointer data) {
  Loopback *loopback = data;
  // OpenSSL writes into connections that the client has left. Blocked in this thread alone: the
  // client under test must do without.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
  for (char **dialogue = loopback->dialogues; *dialogue != NULL; dialogue++) {
    Peer peer = {.fd = accept(loopback->listener, NULL, NULL)};
    if (peer.fd < 0) break;
    pthread_mutex_lock(&loopback->mutex);
    loopback->is_accepted = true;
    pthread_cond_broadcast(&loopback->changed);
    pthread_mutex_unlock(&loopback->mutex);
    loopback->unplayed += play(loopback, &peer, *dialogue);
    if (peer.ssl != NULL) SSL_shutdown(peer.ssl);
    SSL_free(peer.ssl);
    close(peer.fd);
  }
  return NULL;
}

static X509 *make_certificate(EVP_PKEY *key) {
  X509 *certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME *name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                             0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  g_assert_cmpint(X509_sign(certificate, key, EVP_sha256()), >, 0);
  return certificate;
}

static void make_tls(Loopback *loopback) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = make_certificate(key);
  loopback->tls = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_PrivateKey(loopback->tls, key);
  SSL_CTX_use_certificate(loopback->tls, certificate);
  int fd = g_file_open_tmp("certificate-XXXXXX", &loopback->certificate, NULL);
  FILE *file = fdopen(fd, "w");
  g_assert_nonnull(file);
  PEM_write_X509(file, certificate);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

Loopback *loopback_new(const char *const *dialogues, bool is_tls) {
  Loopback *loopback = g_new0(Loopback, 1);
  loopback->dialogues = g_strdupv((char **)dialogues);
  loopback->is_tls = is_tls;
  pthread_mutex_init(&loopback->mutex, NULL);
  pthread_cond_init(&loopback->changed, NULL);
  make_tls(loopback);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  loopback->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint(bind(loopback->listener, (struct sockaddr *)&address, size), ==, 0);
  g_assert_cmpint(listen(loopback->listener, 5), ==, 0);
  g_assert_cmpint(getsockname(loopback->listener, (struct sockaddr *)&address, &size), ==, 0);
  loopback->port = ntohs(address.sin_port);
  loopback->thread = g_thread_new("loopback", serve, loopback);
  return loopback;
}

unsigned loopback_free(Loopback *loopback) {
  // Ends an accept that still waits.
  shutdown(loopback->listener, SHUT_RDWR);
  loopback_continue(loopback);
  g_thread_join(loopback->thread);
  unsigned unplayed = loopback->unplayed;
  close(loopback->listener);
  SSL_CTX_free(loopback->tls);
  g_unlink(loopback->certificate);
  g_free(loopback->certificate);
  g_strfreev(loopback->dialogues);
  pthread_mutex_destroy(&loopback->mutex);
  pthread_cond_destroy(&loopback->changed);
  g_free(loopback);
  return unplayed;
}

uint16_t loopback_port(const Loopback *loopback) {
  return loopback->port;
}

const char *loopback_certificate(const Loopback *loopback) {
  return loopback->certificate;
}

void loopback_await(Loopback *loopback) {
  pthread_mutex_lock(&loopback->mutex);
  while (!loopback->is_accepted)
    pthread_cond_wait(&loopback->changed, &loopback->mutex);
  pthread_mutex_unlock(&loopback->mutex);
}

void loopback_continue(Loopback *loopback) {
  pthread_mutex_lock(&loopback->mutex);
  loopback->may_continue = true;
  pthread_cond_broadcast(&loopback->changed);
  pthread_mutex_unlock(&loopback->mutex);
}
