// A CourierDelivery is one letter made ready to be sent: its file is open, its text understood, its
// recipients are those that still wait for it. It belongs to one lane, on its thread.
#pragma once

#include <stdbool.h>

#include "cache/courier.h"
#include "cache/letter.h"

CourierResult *courier_result_new(uint64_t id, CourierVerdict verdict, const char *message);
void courier_result_free(CourierResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CourierResult, courier_result_free)

typedef struct {
  CourierTask *task;  // owned
  // Instead of all that follows: there is nothing to send, owned.
  CourierResult *result;
  int fd;
  Letter *letter;
  LetterStream *stream;
  GPtrArray *recipients;  // of const char *, the letter's, NULL-terminated
  SenderLetter sent;      // before_end, not_taken and next are the lane's
  bool reached_end;       // before_end let the end go out, and the server may have it
  bool is_confused;       // the server did not answer as it should
  bool is_offered;        // the other lane may take the task, which is then not ours
  bool is_ahead;          // it was taken while another was awaited
  char *envid;
  gpointer lane;
} CourierDelivery;

// Takes the task.
CourierDelivery *courier_delivery_new(CourierTask *task, int letters_fd);
void courier_delivery_free(CourierDelivery *delivery);
// To be sent once more, from its first byte on.
void courier_delivery_rewind(CourierDelivery *delivery);
// Sends it: what came of it, for the caller.
CourierResult *courier_delivery_send(CourierDelivery *delivery, Sender *sender);
