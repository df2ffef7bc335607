// When a session's bytes are compressed (RFC 4978).

#include "net/error.h"
#include "net/imap_session_private.h"
#include "net/wire_deflate.h"

// See imap_session_compress_if_slow.
static const uint64_t enough_bytes = 1 << 20;
static const uint64_t slow_bytes_per_s = 4 << 20;

bool imap_session_is_slow(uint64_t bytes, uint64_t waited_us) {
  return bytes >= enough_bytes && bytes < waited_us * slow_bytes_per_s / G_USEC_PER_SEC;
}

bool imap_session_would_compress(const ImapSession *session) {
  return !session->was_compressed && imap_session_has(session, "COMPRESS=DEFLATE") &&
         imap_session_is_slow(session->flowed_bytes, session->flowed_us);
}

bool imap_session_compress_if_slow(ImapSession *session, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (session->sent.length > 0 || !imap_session_would_compress(session)) return true;
  session->was_compressed = true;
  if (imap_session_run_words(session, "COMPRESS DEFLATE", NULL, NULL, &refusal)) {
    size_t size;
    const char *early = imap_parser_take_rest(session->parser, &size);
    session->wire = wire_wrap(session->wire, wire_deflate_new, early, size);
    g_debug("%s: compressed from here on", session->name);
    return true;
  }
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}
