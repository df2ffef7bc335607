// Replays the transcripts of a folder (see wire_script.h): a mailbox is told what their `do` lines
// say, over a scripted wire that checks each command and hands out the answers whole, byte by byte
// and cut at random; what it tells in return must match the `E:` lines, which are globs.
//
//   do list                        E: folder NAME delimiter=/ attributes=noselect,sent
//                                  E: of NAME uidvalidity=1 uidnext=2 exists=3 highestmodseq=4
//   do update NAME UIDVALIDITY LAST COUNT MODSEQ
//                                  E: message uid=1 flags=.. date=.. size=.. name=.. address=..
//                                             subject=.. sent=.. id=.. [email=..]
//                                  E: message uid=1 size=.. id=.. header=.. [put-off]  without UIDs
//                                  E: vanished 3-5, E: present 1-2 4-4
//                                  E: status uidvalidity=1 uidnext=2 exists=3 highestmodseq=4
//                                  E: body ..                  where read whole for the header
//   do known ID UID [SIZE SUBJECT]  is what the next updates are told of an id, and by what it is
//                                  recognised: E: compared 3 same, E: compared 3 other
//   do login-delay                 E: login delay 30 s
//   do expunge NAME UIDVALIDITY 3,5:9
//   do request NAME UIDVALIDITY 3,5:9       whole messages; do anew: look again before
//   do parts NAME UIDVALIDITY UID 0.100 300.50
//   do receive                     E: body uid=7 offset=0 BYTES, E: withheld 7
//   do watch MS                    E: folder-news NAME [status], E: tree-news, E: watching all
//   do append FOLDER FLAGS DATE SIZE TEXT   E: uncertain. FLAGS - is none, DATE -1 the server's
//   do find FOLDER FIELD VALUE      E: found, E: not found
//   do quota                       E: quota 10 of 20
//   do reset waker                 after S? cancel; no E:
//   do refuse                      the callbacks of the next `do` fail
//
// Each `do` but known ends in `E: ok` or `E: CODE message`; so does the login, if it fails. Bytes
// other than printable ASCII are written \ooo, NULL is ~.
#pragma once

#include <glib.h>

#include "net/mailbox.h"
#include "net/wire.h"

// Makes the mailbox, as imap_mailbox_new does.
typedef Mailbox *MailboxNew(Wire *wire, const char *name, GError **error);

// Adds three tests for each file of transcripts/FOLDER.
void mailbox_player_add(const char *folder, MailboxNew *open);
