// An ImapCommand is one command on its way to an IMAP server (RFC 3501 section 9): its tag, its
// words, and the names that came from outside, quoted or as literals so that nothing in them can
// become a command. Where the server must first agree to a literal, the command has several parts.
// Pure; any one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct ImapCommand ImapCommand;

// Begins the command `tag words`; `words` are ours: printable ASCII. A literal of up to
// `free_literal_bytes` is sent without asking (RFC 7888: SIZE_MAX for LITERAL+, 4096 for LITERAL-,
// 0 for neither).
ImapCommand *imap_command_new(const char *tag, const char *words, size_t free_literal_bytes);
void imap_command_free(ImapCommand *command);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapCommand, imap_command_free)

// Adds a space and `text` as an astring: quoted, or a literal when it holds what a quoted string
// cannot (CR, LF, bytes beyond ASCII) or is long.
void imap_command_add_string(ImapCommand *command, const char *text);
// Adds a space and words of our own: printable ASCII.
void imap_command_add_words(ImapCommand *command, const char *words);
// Announces `size` bytes that are sent from elsewhere, before the last part and once the server
// agreed to them: it may refuse a message before it has come. Only the end may be added after.
void imap_command_add_stream(ImapCommand *command, uint64_t size);
// Adds the line's end; nothing may be added after.
void imap_command_end(ImapCommand *command);

const char *imap_command_tag(const ImapCommand *command);
size_t imap_command_n_parts(const ImapCommand *command);
// The bytes of one part; before each but the first the server has to say `+`.
GBytes *imap_command_part(const ImapCommand *command, size_t index);
