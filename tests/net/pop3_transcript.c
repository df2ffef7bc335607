// Whole dialogues with POP3 servers, transcripts/pop3/*.txt, mean what their `E:` lines say,
// however the bytes are cut: see mailbox_player.h.
#include "net/pop3.h"
#include "tests/net/mailbox_player.h"

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  mailbox_player_add("pop3", pop3_mailbox_new);
  return g_test_run();
}
