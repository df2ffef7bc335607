// Whole dialogues with IMAP servers, transcripts/imap/*.txt, mean what their `E:` lines say,
// however the bytes are cut: see mailbox_player.h.
#include "net/imap.h"
#include "tests/net/mailbox_player.h"

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  mailbox_player_add("imap", imap_mailbox_new);
  return g_test_run();
}
