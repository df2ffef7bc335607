#include "net/wire.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "net/error.h"
#include "net/wire_connect.h"
#include "net/wire_dialogue.h"
#include "net/wire_memory.h"
#include "net/wire_socket.h"

// What one TLS record can hold.
#define AHEAD_BYTES 16384
// Told to SMTP servers in libcurl's EHLO: the machine's own name is nobody's business.
#define EHLO_NAME "localhost"
// How long an SMTP server may take for its greeting (RFC 5321 4.5.3.2.1), and for the login.
#define SMTP_GREETING_S 300

ssize_t wire_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  return wire->ops->recv(wire, buffer, size, error);
}

bool wire_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  return wire->ops->send(wire, bytes, size, error);
}

WireWait wire_wait(Wire *wire, int timeout_ms, GError **error) {
  return wire->ops->wait(wire, timeout_ms, error);
}

Wire *wire_wrap(Wire *wire, WireDecorator *decorate, const void *early, size_t size) {
  bool looks_on = wire->ops->wrap != NULL;
  return looks_on ? wire->ops->wrap(wire, decorate, early, size) : decorate(wire, early, size);
}

void wire_be_patient(Wire *wire, unsigned timeout_ms) {
  if (wire->ops->be_patient != NULL) wire->ops->be_patient(wire, timeout_ms);
}

void wire_free(Wire *wire) {
  if (wire != NULL) wire->ops->free(wire);
}

typedef struct {
  Wire wire;
  CURLM *multi;  // connects; holds the easy handle for as long as the connection lives
  CURL *easy;
  WireSocket socket;
  bool is_smtp;
  WireDialogue *dialogue;  // until logged in
  char reason[CURL_ERROR_SIZE];
  // What wire_wait received in order to know that there is something.
  char ahead[AHEAD_BYTES];
  size_t ahead_at, ahead_end;
  bool ended;
} CurlWire;

static void curl_wire_free(Wire *wire) {
  CurlWire *self = (CurlWire *)wire;
  if (self->multi != NULL && self->easy != NULL) curl_multi_remove_handle(self->multi, self->easy);
  curl_easy_cleanup(self->easy);
  curl_multi_cleanup(self->multi);
  wire_dialogue_free(self->dialogue);
  wire_socket_clear(&self->socket);
  g_free(self);
}

static void set_broken(const CurlWire *self, CURLcode code, GError **error) {
  const char *reason = *self->reason != '\0' ? self->reason : curl_easy_strerror(code);
  g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection to %s broke: %s",
              self->socket.server, reason);
}

// One try to receive, without waiting: CURLE_AGAIN if there is nothing. Only after that may the
// socket be polled, TLS may hold bytes that the socket no longer has.
static CURLcode receive_now(CurlWire *self, void *buffer, size_t size, size_t *got) {
  *self->reason = '\0';
  CURLcode code = curl_easy_recv(self->easy, buffer, size, got);
  self->ended = code == CURLE_OK && *got == 0;
  return code;
}

static ssize_t curl_wire_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  CurlWire *self = (CurlWire *)wire;
  if (!wire_socket_check(&self->socket, error)) return -1;
  if (self->ahead_at < self->ahead_end) {
    size = MIN(size, self->ahead_end - self->ahead_at);
    memcpy(buffer, self->ahead + self->ahead_at, size);
    self->ahead_at += size;
    return (ssize_t)size;
  }
  while (!self->ended) {
    size_t got = 0;
    CURLcode code = receive_now(self, buffer, size, &got);
    if (code == CURLE_OK) return (ssize_t)got;
    if (code != CURLE_AGAIN) {
      set_broken(self, code, error);
      return -1;
    }
    if (!wire_socket_await(&self->socket, POLLIN, error)) return -1;
  }
  return 0;
}

static bool curl_wire_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  CurlWire *self = (CurlWire *)wire;
  if (!wire_socket_check(&self->socket, error)) return false;
  const char *next = bytes;
  while (size > 0) {
    size_t sent = 0;
    *self->reason = '\0';
    CURLcode code = curl_easy_send(self->easy, next, size, &sent);
    if (code == CURLE_OK) {
      next += sent;
      size -= sent;
      continue;
    }
    if (code != CURLE_AGAIN) {
      set_broken(self, code, error);
      return false;
    }
    if (!wire_socket_await(&self->socket, POLLOUT, error)) return false;
  }
  return true;
}

// A part of a TLS record ends a wait for the socket, but is nothing to receive yet.
static WireWait curl_wire_wait(Wire *wire, int timeout_ms, GError **error) {
  CurlWire *self = (CurlWire *)wire;
  int64_t end_us = g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  if (!wire_socket_check(&self->socket, error)) return WIRE_BROKEN;
  // Before all bytes: a server that never stops to send shall not hold up new work.
  if (wire_socket_is_woken(&self->socket)) return WIRE_WOKEN;
  while (self->ahead_at == self->ahead_end && !self->ended) {
    size_t got = 0;
    CURLcode code = receive_now(self, self->ahead, sizeof self->ahead, &got);
    if (code == CURLE_OK) {
      self->ahead_at = 0;
      self->ahead_end = got;
      break;
    }
    if (code != CURLE_AGAIN) {
      set_broken(self, code, error);
      return WIRE_BROKEN;
    }
    int64_t left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
    WireWait waited =
        wire_socket_wait(&self->socket, timeout_ms < 0 ? -1 : (int)MAX(left_ms, 0), error);
    if (waited != WIRE_READY) return waited;
  }
  return WIRE_READY;
}

static void curl_wire_be_patient(Wire *wire, unsigned timeout_ms) {
  CurlWire *self = (CurlWire *)wire;
  self->socket.timeout_ms = MAX(self->socket.timeout_ms, timeout_ms);
}

static const WireOps curl_wire_ops = {.recv = curl_wire_recv,
                                      .send = curl_wire_send,
                                      .wait = curl_wire_wait,
                                      .free = curl_wire_free,
                                      .be_patient = curl_wire_be_patient};

// The library may start threads and open files: not before the first connection, so that a program
// can fork first.
static void initialize_curl(void) {
  static size_t done = 0;
  if (!g_once_init_enter(&done)) return;
  CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wire_memory_free,
                                       wire_memory_realloc, strdup, calloc);
  if (code != CURLE_OK) g_error("libcurl cannot be initialized");
  g_once_init_leave(&done, 1);
}

static int hear(CURL *easy, curl_infotype type, char *bytes, size_t size, void *data) {
  WireDialogue *dialogue = data;
  if (type == CURLINFO_HEADER_OUT) wire_dialogue_sent(dialogue, bytes, size);
  if (type == CURLINFO_HEADER_IN) wire_dialogue_received(dialogue, bytes, size);
  return 0;
}

static void set_transport(CURL *easy, const Account *account) {
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  // A cancel does not wait for a resolver thread.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)account->timeout_ms);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 120L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 30L);
  if (account->proxy != NULL) curl_easy_setopt(easy, CURLOPT_PROXY, account->proxy);
}

static void set_tls(CURL *easy, const Account *account) {
  long use = account->tls_off ? CURLUSESSL_NONE : CURLUSESSL_ALL;
  curl_easy_setopt(easy, CURLOPT_USE_SSL, use);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
  if (account->ca_file != NULL) {
    // These authorities and no other.
    curl_easy_setopt(easy, CURLOPT_CAINFO, account->ca_file);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
  }
  if (account->tls_pin != NULL) curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, account->tls_pin);
  if (account->client_cert != NULL) curl_easy_setopt(easy, CURLOPT_SSLCERT, account->client_cert);
  if (account->client_key != NULL) curl_easy_setopt(easy, CURLOPT_SSLKEY, account->client_key);
}

// `AUTH=A;AUTH=B`, libcurl's way to name the mechanisms that it may choose from.
static void set_login(CURL *easy, const Account *account, const WireLogin *login) {
  bool is_token = secret_kind(account->secret) == SECRET_TOKEN;
  curl_easy_setopt(easy, CURLOPT_USERNAME, account->user);
  curl_easy_setopt(easy, is_token ? CURLOPT_XOAUTH2_BEARER : CURLOPT_PASSWORD, login->secret);
  if (login->mechanisms == NULL) return;
  g_autofree char *names = g_strjoinv(";AUTH=", (char **)login->mechanisms);
  g_autofree char *options = g_strconcat("AUTH=", names, NULL);
  curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, options);
}

static void forget_login(CURL *easy) {
  curl_easy_setopt(easy, CURLOPT_PASSWORD, NULL);
  curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, NULL);
}

// Takes over the dialogue.
static CurlWire *curl_wire_new(const Account *account, Waker *waker, WireDialogue *dialogue) {
  initialize_curl();
  CurlWire *self = g_new0(CurlWire, 1);
  self->wire.ops = &curl_wire_ops;
  wire_socket_init(&self->socket, account, waker);
  self->dialogue = dialogue;
  self->is_smtp = account->protocol == ACCOUNT_SMTP;
  self->multi = curl_multi_init();
  self->easy = curl_easy_init();
  if (self->multi == NULL || self->easy == NULL) g_error("libcurl: out of memory");
  g_autofree char *url = g_strconcat(self->socket.server, "/", NULL);
  if (self->is_smtp) {
    g_free(url);
    url = g_strconcat(self->socket.server, "/" EHLO_NAME, NULL);
  }
  curl_easy_setopt(self->easy, CURLOPT_URL, url);
  curl_easy_setopt(self->easy, CURLOPT_PROTOCOLS_STR, "imap,imaps,pop3,pop3s,smtp,smtps");
  curl_easy_setopt(self->easy, CURLOPT_ERRORBUFFER, self->reason);
  curl_easy_setopt(self->easy, CURLOPT_DEBUGFUNCTION, hear);
  curl_easy_setopt(self->easy, CURLOPT_DEBUGDATA, self->dialogue);
  curl_easy_setopt(self->easy, CURLOPT_VERBOSE, 1L);
  set_transport(self->easy, account);
  if (self->is_smtp)
    curl_easy_setopt(self->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)SMTP_GREETING_S);
  set_tls(self->easy, account);
  return self;
}

// How long all of it may last, by what was reached: libcurl is told likewise.
static int64_t patience_us(const CurlWire *self) {
  curl_off_t connected_us = 0;
  if (self->is_smtp) curl_easy_getinfo(self->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
  unsigned greeting_ms = connected_us > 0 ? SMTP_GREETING_S * 1000 : 0;
  unsigned most_ms = MAX(self->socket.timeout_ms, greeting_ms);
  if (greeting_ms > 0) curl_easy_setopt(self->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)most_ms);
  return most_ms * INT64_C(1000);
}

// Connects and logs in, or stops at a cancel (the code is then CURLE_ABORTED_BY_CALLBACK) or when
// the time for it is over.
static CURLcode perform(CurlWire *self) {
  struct curl_waitfd cancel = {.fd = waker_cancel_fd(self->socket.waker),
                               .events = CURL_WAIT_POLLIN};
  int64_t begun_us = g_get_monotonic_time();
  curl_multi_add_handle(self->multi, self->easy);
  for (;;) {
    int running = 0, messages = 0;
    if (waker_is_cancelled(self->socket.waker)) return CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_perform(self->multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    CURLMsg *message = curl_multi_info_read(self->multi, &messages);
    if (message != NULL) return message->data.result;
    int64_t left_ms = (begun_us + patience_us(self) - g_get_monotonic_time()) / 1000;
    if (left_ms <= 0) return CURLE_OPERATION_TIMEDOUT;
    curl_multi_poll(self->multi, &cancel, 1, (int)left_ms, NULL);
  }
}

// What a failed attempt means to the caller; the refusal that was heard goes before the number that
// libcurl gives, which says less.
static NetError classify(const CurlWire *self, CURLcode code) {
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return NET_ERROR_CANCELLED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return NET_ERROR_HOST;
    case CURLE_OPERATION_TIMEDOUT:
      return NET_ERROR_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return NET_ERROR_UNTRUSTED;
    case CURLE_USE_SSL_FAILED:
      return wire_dialogue_is_busy(self->dialogue) ? NET_ERROR_BUSY : NET_ERROR_UNTRUSTED;
    case CURLE_URL_MALFORMAT:  // of the login options
    case CURLE_LOGIN_DENIED:
    case CURLE_AUTH_ERROR:
      if (wire_dialogue_is_of_system(self->dialogue)) return NET_ERROR_REFUSED;
      return wire_dialogue_is_busy(self->dialogue) ? NET_ERROR_BUSY : NET_ERROR_DENIED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_REMOTE_ACCESS_DENIED:
      if (wire_dialogue_is_busy(self->dialogue)) return NET_ERROR_BUSY;
      return wire_dialogue_refusal(self->dialogue) != NULL ? NET_ERROR_REFUSED : NET_ERROR_PROTOCOL;
    default:
      return wire_dialogue_is_busy(self->dialogue) ? NET_ERROR_BUSY : NET_ERROR_OFFLINE;
  }
}

// The reason in words: for a refused connection the system's, libcurl's would name host and port
// again.
static const char *reason_of(const CurlWire *self, const Account *account, CURLcode code) {
  long number = 0;
  if (code == CURLE_COULDNT_CONNECT) curl_easy_getinfo(self->easy, CURLINFO_OS_ERRNO, &number);
  if (number != 0) return g_strerror((int)number);
  if (code == CURLE_COULDNT_RESOLVE_PROXY) return "the proxy's name does not resolve";
  if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING)
    return "the connection broke before the login was done";
  // libcurl would name the proxy whole, its password too.
  if (account->proxy != NULL && strstr(self->reason, account->proxy) != NULL)
    return "the proxy's URL cannot be used";
  return *self->reason != '\0' ? self->reason : curl_easy_strerror(code);
}

// libcurl goes on without a login where an SMTP or POP3 server offers none.
static bool lacks_login(const CurlWire *self, const Account *account) {
  return account->user != NULL && account->protocol != ACCOUNT_IMAP &&
         !wire_dialogue_has_login(self->dialogue);
}

Wire *wire_connect(const Account *account, Waker *waker, const char *name, const WireLogin *login,
                   bool *no_mechanism, GError **error) {
  WireDialogue *dialogue =
      wire_dialogue_new(account->protocol, name, login != NULL ? login->secret : NULL);
  CurlWire *self = curl_wire_new(account, waker, dialogue);
  g_autoptr(Wire) owned = &self->wire;
  if (login != NULL) set_login(self->easy, account, login);
  CURLcode code = perform(self);
  if (code == CURLE_OK && lacks_login(self, account)) code = CURLE_LOGIN_DENIED;
  if (code == CURLE_OK)
    code = curl_easy_getinfo(self->easy, CURLINFO_ACTIVESOCKET, &self->socket.fd);
  *no_mechanism = code == CURLE_LOGIN_DENIED && !wire_dialogue_has_login(self->dialogue) &&
                  wire_dialogue_refusal(self->dialogue) == NULL;
  if (code != CURLE_OK) {
    wire_failure_set(error, classify(self, code), account, wire_dialogue_refusal(self->dialogue),
                     reason_of(self, account, code));
    return NULL;
  }
  forget_login(self->easy);
  curl_easy_setopt(self->easy, CURLOPT_VERBOSE, 0L);
  g_clear_pointer(&self->dialogue, wire_dialogue_free);
  return g_steal_pointer(&owned);
}
