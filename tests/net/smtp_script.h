// The letter of an SMTP test: its envelope, its text given in pieces of every size, and how often
// it was told that its end goes out.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "net/sender.h"

typedef struct Script Script;

struct Script {
  SenderLetter letter;
  GPtrArray *recipients;
  const char *text;
  size_t at, size;
  char *envid;
  bool fails_read, fails_end;
  int ends;         // how often before_end was called
  bool is_untaken;  // ... and not_taken
  Script *next;     // given when the sender asks for it; NULL: it may not ask
  bool is_given;
};

// Then the caller puts the sender and the recipients into `recipients`, and finishes it. The text
// is lent.
void script_init(Script *script, const char *text, size_t size);
void script_finish(Script *script);
// All of it from one line: `send <from> <to> <to>` and of 8bit, utf8, size=N, lone-break (another
// text), fail-read, fail-before-end, next (the letter of the following line is
// given when it is asked for), notify=WORDS, ret=WORD, envid=ID.
void script_parse(Script *script, const char *line);
// The letter that follows; asked for at most once.
void script_set_next(Script *script, Script *next);
void script_clear(Script *script);
