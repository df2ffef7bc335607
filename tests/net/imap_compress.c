// When an IMAP session asks for compression, and what it does with the bytes that come with the
// server's agreement.

#include <string.h>
#include <zlib.h>

#include "net/imap_session.h"

// A line so slow that it pays to compress: over it comes what was put there.
typedef struct {
  Wire wire;
  GByteArray *coming;
  GString *sent;
  unsigned delay_us;  // of each receive
} Line;

static ssize_t line_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  Line *line = (Line *)wire;
  g_assert_cmpuint(line->coming->len, >, 0);
  // The line's own time: how slow it is, is measured.
  g_usleep(line->delay_us);
  size = MIN(size, line->coming->len);
  memcpy(buffer, line->coming->data, size);
  g_byte_array_remove_range(line->coming, 0, (guint)size);
  return (ssize_t)size;
}

static bool line_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  g_string_append_len(((Line *)wire)->sent, bytes, (gssize)size);
  return true;
}

static WireWait line_wait(Wire *wire, int timeout_ms, GError **error) {
  return ((Line *)wire)->coming->len > 0 ? WIRE_READY : WIRE_EXPIRED;
}

static void line_free(Wire *wire) {
  Line *line = (Line *)wire;
  g_byte_array_unref(line->coming);
  g_string_free(line->sent, TRUE);
  g_free(line);
}

static Line *line_new(void) {
  static const WireOps ops = {line_recv, line_send, line_wait, line_free, NULL};
  Line *line = g_new0(Line, 1);
  line->wire.ops = &ops;
  line->coming = g_byte_array_new();
  line->sent = g_string_new(NULL);
  return line;
}

static void put(Line *line, const char *text) {
  g_byte_array_append(line->coming, (const guint8 *)text, (guint)strlen(text));
}

// As a server that compresses (RFC 4978) sends it.
static void put_packed(Line *line, const char *text) {
  unsigned char packed[256];
  z_stream stream = {.next_in = (unsigned char *)text,
                     .avail_in = (uInt)strlen(text),
                     .next_out = packed,
                     .avail_out = sizeof packed};
  g_assert_cmpint(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
  g_assert_cmpint(deflate(&stream, Z_SYNC_FLUSH), ==, Z_OK);
  g_byte_array_append(line->coming, packed, (guint)(sizeof packed - stream.avail_out));
  deflateEnd(&stream);
}

static ImapSession *open_session(Line *line) {
  g_autoptr(GError) error = NULL;
  ImapSession *session = imap_session_new(&line->wire, "imap1");
  put(line, "* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\r\na1 OK done\r\n");
  g_assert_true(imap_session_run_words(session, "CAPABILITY", NULL, NULL, &error));
  imap_session_move(session, IMAP_AUTHENTICATED, NULL);
  return session;
}

// 2 MiB in one answer, in 33 pieces.
static void read_much(ImapSession *session, Line *line) {
  g_autoptr(GError) error = NULL;
  g_autofree char *bytes = g_strnfill(2 << 20, 'x');
  g_autofree char *head = g_strdup_printf("* 1 FETCH (UID 1 BODY[] {%u}\r\n", 2u << 20);
  put(line, head);
  put(line, bytes);
  put(line, ")\r\na2 OK done\r\n");
  g_assert_true(imap_session_run_words(session, "UID FETCH 1 BODY.PEEK[]", NULL, NULL, &error));
}

static bool note_words(const ImapEvent *event, gpointer data, GError **error) {
  if (event->response->text) g_string_append_printf(data, "%s;", event->response->text);
  return true;
}

// The server may send its first compressed bytes right behind the line that agrees.
static void test_bytes_behind_agreement(void) {
  Line *line = line_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) words = g_string_new(NULL);
  g_autoptr(ImapSession) session = open_session(line);
  line->delay_us = 20000;
  read_much(session, line);
  line->delay_us = 0;
  g_assert_true(imap_session_would_compress(session));
  put(line, "a3 OK now\r\n");
  put_packed(line, "* OK early\r\na4 OK noop\r\n* BYE\r\na5 OK bye\r\n");
  g_assert_true(imap_session_compress_if_slow(session, &error));
  g_assert_true(g_str_has_suffix(line->sent->str, "a3 COMPRESS DEFLATE\r\n"));
  g_assert_true(imap_session_run_words(session, "NOOP", note_words, words, &error));
  g_assert_cmpstr(words->str, ==, "early;noop;");
  g_assert_null(strstr(line->sent->str, "NOOP"));
  g_assert_false(imap_session_would_compress(session));
}

// A server that refuses is not asked again, and read as before.
static void test_refused(void) {
  Line *line = line_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(ImapSession) session = open_session(line);
  line->delay_us = 20000;
  read_much(session, line);
  line->delay_us = 0;
  put(line, "a3 NO not now\r\na4 OK noop\r\n* BYE\r\na5 OK bye\r\n");
  g_assert_true(imap_session_compress_if_slow(session, &error));
  g_assert_true(imap_session_compress_if_slow(session, &error));
  g_assert_true(imap_session_run_words(session, "NOOP", NULL, NULL, &error));
  g_assert_true(g_str_has_suffix(line->sent->str, "a3 COMPRESS DEFLATE\r\na4 NOOP\r\n"));
}

// On a fast line nobody is asked.
static void test_fast_line(void) {
  Line *line = line_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(ImapSession) session = open_session(line);
  read_much(session, line);
  g_assert_false(imap_session_would_compress(session));
  g_assert_true(imap_session_compress_if_slow(session, &error));
  put(line, "* BYE\r\na3 OK bye\r\n");
}

// Compression is for links that are slower than it is, and only when that is sure.
static void test_rule(void) {
  g_assert_false(imap_session_is_slow(0, 0));
  g_assert_false(imap_session_is_slow(1000, 60 * G_USEC_PER_SEC));
  g_assert_true(imap_session_is_slow(1 << 20, G_USEC_PER_SEC));
  g_assert_false(imap_session_is_slow(1 << 20, G_USEC_PER_SEC / 5));
  g_assert_false(imap_session_is_slow(UINT64_C(100) << 20, 2 * G_USEC_PER_SEC));
  g_assert_true(imap_session_is_slow(UINT64_C(100) << 20, UINT64_C(100) * G_USEC_PER_SEC));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/imap_compress/bytes-behind-agreement", test_bytes_behind_agreement);
  g_test_add_func("/imap_compress/refused", test_refused);
  g_test_add_func("/imap_compress/fast-line", test_fast_line);
  g_test_add_func("/imap_compress/rule", test_rule);
  return g_test_run();
}
