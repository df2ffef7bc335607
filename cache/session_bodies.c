// A session's work on bodies: up to two jobs of one folder are under way at once, so that the
// server always has the next one to answer; they end in the order in which they were asked.

#include <string.h>

#include "cache/session_private.h"
#include "net/error.h"

#define FLIGHTS_MAX 2
#define PROGRESS_BYTES (128 << 10)

typedef struct {
  Job *job;
  bool was_open;  // its folder was, so that our view of it may be old
  bool anew;      // it was looked at again
  bool whole;     // JOB_LARGE: asked for whole, since its size could not be told
  // What came of a JOB_LARGE or JOB_PART:
  bool has_first;
  bool has_tail;
  uint64_t first_bytes;
  GByteArray *tail;  // NULL: none
} Flight;

typedef struct {
  Session *session;
  Flight flights[FLIGHTS_MAX];
  unsigned n_flights;
  // The bytes that pass by now:
  Flight *flight;      // NULL: nobody's
  BodyWriter *writer;  // of a whole body; NULL: parts, or no room
  uint64_t offset;     // of a part, and of its next byte
  uint64_t next;
  uint64_t reported;  // up to where readers were told
  bool is_certain;    // whose the part is
  bool overflowed;    // more came than was asked for
  GError *no_room;
} Delivery;

// ---- Taking what comes.

static JobBody *find_body(Delivery *delivery, uint32_t uid, Flight **flight) {
  for (unsigned i = 0; i < delivery->n_flights; i++) {
    JobBody *body = job_find_body(delivery->flights[i].job, uid);
    *flight = &delivery->flights[i];
    if (body != NULL) return body;
  }
  *flight = NULL;
  return NULL;
}

static bool is_whole(const Flight *flight) {
  return flight->job->kind == JOB_BODIES || flight->whole;
}

static bool expects_part(const Flight *flight, uint32_t uid, uint64_t offset) {
  const Job *job = flight->job;
  if (is_whole(flight) || (uid != 0 && job->uid != uid)) return false;
  if (job->kind == JOB_PART) return offset == job->range.offset;
  return offset == 0 || offset == job->announced - 1;
}

// A server may answer several requests at once: what comes finds its flight by UID and place.
static Flight *flight_of(Delivery *delivery, uint32_t uid, uint64_t offset) {
  Flight *flight = NULL;
  if (uid != 0 && find_body(delivery, uid, &flight) != NULL) return flight;
  for (unsigned i = 0; i < delivery->n_flights; i++)
    if (expects_part(&delivery->flights[i], uid, offset)) return &delivery->flights[i];
  return uid == 0 && is_whole(&delivery->flights[0]) ? &delivery->flights[0] : NULL;
}

static BodyWriter *new_writer(Delivery *delivery, uint32_t uid) {
  Flight *flight;
  const JobBody *body = uid != 0 ? find_body(delivery, uid, &flight) : NULL;
  return body_writer_new(delivery->session->context->bodies, body != NULL ? body->ino : 0,
                         &delivery->no_room);
}

static bool begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Delivery *delivery = data;
  Flight *flight = delivery->flight = flight_of(delivery, uid, offset);
  g_clear_pointer(&delivery->writer, body_writer_free);
  g_clear_error(&delivery->no_room);
  delivery->offset = delivery->next = delivery->reported = offset;
  delivery->is_certain = uid != 0;
  delivery->overflowed = false;
  if (flight == NULL) return true;
  bool opens = flight->job->kind == JOB_LARGE && offset == 0;
  if (is_whole(flight) || opens)
    delivery->writer = new_writer(delivery, uid);
  else if (flight->job->kind == JOB_LARGE && flight->tail == NULL)
    flight->tail = g_byte_array_new();
  return true;
}

// Readers need not wait for the whole of a part, if it is certain whose it is.
static void report_part(Delivery *delivery, const Job *job) {
  uint64_t fresh = delivery->next - delivery->reported;
  if (!delivery->is_certain || fresh < PROGRESS_BYTES) return;
  Report *report = report_new(REPORT_PART);
  report->ino = job->ino;
  report->range = (MailboxRange){delivery->reported, fresh};
  delivery->reported = delivery->next;
  session_report(delivery->session, report);
}

// What a server sends beyond the range it was asked for is not ours to keep.
static size_t cut(Delivery *delivery, uint64_t end, size_t size) {
  uint64_t room = end > delivery->next ? end - delivery->next : 0;
  if (size > room) delivery->overflowed = true;
  return (size_t)MIN(size, room);
}

static bool take_part(Delivery *delivery, const void *bytes, size_t size, GError **error) {
  const Job *job = delivery->flight->job;
  if (job->kind == JOB_LARGE) {
    size = cut(delivery, delivery->offset + JOB_TAIL_BYTES, size);
    g_byte_array_append(delivery->flight->tail, bytes, (guint)size);
    delivery->next += size;
    return true;
  }
  if (delivery->offset < job->range.offset) return true;
  size = cut(delivery, job->range.offset + job->range.size, size);
  if (!body_writer_write_at(job->writer, delivery->next, bytes, size, error)) return false;
  delivery->next += size;
  report_part(delivery, job);
  return true;
}

// A body for which there is no room is dropped; those behind it may be smaller.
static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  Delivery *delivery = data;
  if (delivery->flight == NULL || delivery->no_room != NULL) return true;
  if (delivery->writer == NULL) return take_part(delivery, bytes, size, error);
  if (!body_writer_write(delivery->writer, bytes, size, &delivery->no_room)) return true;
  delivery->next += size;
  return true;
}

static void report_body(Delivery *delivery, const JobBody *body, int fd) {
  Report *report = report_new(REPORT_BODY);
  report->ino = body->ino;
  report->fd = fd;
  report->size = body->size;
  report->on_disk = body->on_disk;
  report->is_other = session_is_other(delivery->session, body);
  session_report(delivery->session, report);
}

// What is fetched ahead of its reader has no place in memory.
static bool has_place(const Delivery *delivery, const Flight *flight) {
  return delivery->no_room == NULL && delivery->writer != NULL &&
         !(flight->job->priority == JOB_AHEAD && body_writer_is_in_memory(delivery->writer));
}

static void end_whole(Delivery *delivery, Flight *flight, JobBody *body) {
  int fd = has_place(delivery, flight)
               ? body_writer_finish(delivery->writer, body->ino, &body->size, body->sha256,
                                    &body->on_disk, &delivery->no_room)
               : -1;
  body->came = fd >= 0;
  body->no_room = fd < 0;
  if (fd >= 0) report_body(delivery, body, fd);
  if (fd < 0 && flight->job->error == NULL && flight->job->priority == JOB_URGENT)
    flight->job->error = g_steal_pointer(&delivery->no_room);
}

static void end_part(Delivery *delivery, Flight *flight) {
  Job *job = flight->job;
  if (delivery->no_room != NULL) {
    if (job->error == NULL) job->error = g_steal_pointer(&delivery->no_room);
  } else if (job->kind == JOB_LARGE && delivery->writer != NULL) {
    flight->has_first = true;
    flight->first_bytes = delivery->next;
    body_writer_free(job->writer);
    job->writer = g_steal_pointer(&delivery->writer);
  } else if (job->kind == JOB_LARGE) {
    flight->has_tail = !delivery->overflowed;
  } else if (delivery->next - delivery->offset == job->range.size) {
    flight->has_first = true;
  }
}

static bool end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Delivery *delivery = data;
  Flight *flight;
  JobBody *body = find_body(delivery, uid, &flight);
  if (body != NULL)
    end_whole(delivery, flight, body);
  else if ((flight = flight_of(delivery, uid, offset)) != NULL && flight->job->kind != JOB_BODIES)
    end_part(delivery, flight);
  g_clear_pointer(&delivery->writer, body_writer_free);
  return true;
}

static void note_withheld(uint32_t uid, gpointer data) {
  Flight *flight;
  JobBody *body = find_body(data, uid, &flight);
  if (body != NULL) body->withheld = true;
}

// ---- Asking.

static bool ask_whole(Session *session, Flight *flight, MailboxRequest *request, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  for (unsigned i = 0; i < flight->job->bodies->len; i++) {
    const JobBody *body = &g_array_index(flight->job->bodies, JobBody, i);
    if (!body->came) uid_set_add(uids, body->uid);
  }
  request->uids = uids;
  return mailbox_request(session->mailbox, request, error);
}

static bool ask(Delivery *delivery, Flight *flight, GError **error) {
  Session *session = delivery->session;
  const Job *job = flight->job;
  MailboxRequest request = {.folder = job->folder,
                            .uidvalidity = job->uidvalidity,
                            .anew = flight->anew,
                            .uid = job->uid};
  flight->was_open = !flight->anew && g_strcmp0(session->open_folder, job->folder) == 0;
  if (!flight->was_open) session_set_folder(session, NULL, false);
  session_set_folder(session, job->folder, false);
  if (is_whole(flight)) return ask_whole(session, flight, &request, error);
  if (job->kind == JOB_PART) {
    request.ranges[request.n_ranges++] = job->range;
  } else {
    request.ranges[request.n_ranges++] = (MailboxRange){0, JOB_FIRST_BYTES};
    request.ranges[request.n_ranges++] = (MailboxRange){job->announced - 1, JOB_TAIL_BYTES};
  }
  return mailbox_request(session->mailbox, &request, error);
}

static void link_twins(Session *session, Job *job) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++)
    session_link_twin(session, &g_array_index(job->bodies, JobBody, i));
}

static bool is_complete(const Job *job) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++)
    if (!g_array_index(job->bodies, JobBody, i).came) return false;
  return job->bodies != NULL;
}

// ---- How a job ends.

static void clear_parts(Flight *flight) {
  g_clear_pointer(&flight->tail, g_byte_array_unref);
  flight->has_first = flight->has_tail = false;
  flight->first_bytes = 0;
}

static void finish(Session *session, Job *job) {
  session_record(session, job);
  session_finish(session, job);
}

static void remove_first(Delivery *delivery) {
  delivery->n_flights--;
  memmove(&delivery->flights[0], &delivery->flights[1],
          delivery->n_flights * sizeof delivery->flights[0]);
}

// The messages' places in a folder that may have been renumbered since the job was made: brought up
// to date on this connection, which is the only one for whom the numbers are sure to hold (Courier
// renumbers at each opening a folder that nobody ever selected).
static bool find_again(Session *session, Job *job, GError **error) {
  g_auto(IndexFolder) folder = {0};
  if (!session_sync(session, job, job->folder_ino, error)) return false;
  if (index_folder(session->index, job->folder_ino, &folder) != INDEX_FOUND) return false;
  job->uidvalidity = folder.status.uidvalidity;
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    JobBody *body = &g_array_index(job->bodies, JobBody, i);
    IndexMessage message;
    bool found = index_message(session->index, body->ino, &message) == INDEX_FOUND;
    if (found && !message.gone) body->uid = message.uid;
  }
  IndexMessage large;
  if (job->uid != 0 && index_message(session->index, job->ino, &large) == INDEX_FOUND)
    job->uid = large.uid;
  return true;
}

static void take_error(Job *job, GError *error) {
  if (job->error == NULL) job->error = g_error_copy(error);
}

static bool run_alone(Delivery *delivery, Flight flight);
static void receive_first(Delivery *delivery);

// The connection is gone, and all that was under way with it: done once more on a new one.
static void recover(Delivery *delivery, const GError *cause) {
  Flight lost[FLIGHTS_MAX];
  unsigned n = delivery->n_flights;
  Session *session = delivery->session;
  memcpy(lost, delivery->flights, sizeof lost);
  delivery->n_flights = 0;
  session_disconnect(session);
  for (unsigned i = 0; i < n; i++) {
    clear_parts(&lost[i]);
    g_clear_error(&lost[i].job->error);
    if (session_may_retry(session, lost[i].job, true, cause)) {
      g_info("%s: %s; connecting again", session->name, cause->message);
      run_alone(delivery, lost[i]);
    } else {
      take_error(lost[i].job, (GError *)cause);
      finish(session, lost[i].job);
    }
  }
}

// A body of which nothing came, though our view of the folder was old: newer than that, perhaps.
static bool wants_another_look(const Flight *flight) {
  const Job *job = flight->job;
  if (!flight->was_open || job->error != NULL || job->priority != JOB_URGENT) return false;
  if (job->kind == JOB_LARGE) return job->writer == NULL;
  if (job->kind != JOB_BODIES || job->bodies->len != 1) return false;
  const JobBody *body = &g_array_index(job->bodies, JobBody, 0);
  return !body->came && !body->withheld && !body->no_room;
}

static size_t tail_bytes(const Flight *flight) {
  return flight->tail != NULL ? flight->tail->len : 0;
}

// The size of a large message from what came of its start and end. False: it has to come whole.
static bool tell_size(const Flight *flight) {
  Job *job = flight->job;
  uint64_t tail = tail_bytes(flight);
  if (!flight->has_first || job->writer == NULL) return false;
  if (flight->first_bytes < JOB_FIRST_BYTES) {
    job->size = flight->first_bytes;
    return tail == 0 || job->announced - 1 + tail == job->size;
  }
  job->size = job->announced - 1 + tail;
  return flight->has_tail && tail > 0 && tail < JOB_TAIL_BYTES && job->size >= JOB_FIRST_BYTES;
}

// Turns the opening of a large message into a job for the whole of it.
static void make_whole(Job *job) {
  JobBody body = {.ino = job->ino, .uid = job->uid, .was_exact = job->was_exact};
  g_clear_pointer(&job->writer, body_writer_free);
  job->is_whole = true;
  job->bodies = g_array_new(FALSE, TRUE, sizeof(JobBody));
  g_array_append_val(job->bodies, body);
}

static void keep_opening(const Flight *flight) {
  Job *job = flight->job;
  uint64_t tail = MAX(job->announced - 1, flight->first_bytes);
  uint64_t skip = tail - (job->announced - 1), had = tail_bytes(flight);
  bool good = body_writer_set_size(job->writer, job->size, &job->error);
  if (good && had > skip) {
    job->tail = (MailboxRange){tail, had - skip};
    good = body_writer_write_at(job->writer, tail, flight->tail->data + skip, job->tail.size,
                                &job->error);
  }
  if (!good) g_clear_pointer(&job->writer, body_writer_free);
}

// Ends a flight whose answer was read without an error of the connection's.
static void land(Delivery *delivery, Flight flight) {
  Session *session = delivery->session;
  Job *job = flight.job;
  bool opened = job->kind == JOB_LARGE && !flight.whole && job->error == NULL && job->writer;
  if (wants_another_look(&flight)) {
    while (delivery->n_flights > 0)
      receive_first(delivery);
    flight.anew = true;
    run_alone(delivery, flight);
    return;
  }
  if (opened && !tell_size(&flight)) {
    while (delivery->n_flights > 0)
      receive_first(delivery);
    make_whole(job);
    flight.whole = true;
    run_alone(delivery, flight);
    return;
  }
  if (opened) keep_opening(&flight);
  if (job->kind == JOB_PART && !flight.has_first && job->error == NULL)
    g_set_error(&job->error, NET_ERROR, NET_ERROR_PROTOCOL,
                "the server gives less of message %u than it has", job->uid);
  clear_parts(&flight);
  finish(session, job);
}

static void receive_first(Delivery *delivery) {
  const MailboxBodyFuncs funcs = {begin, take_bytes, end, note_withheld, delivery};
  Session *session = delivery->session;
  g_autoptr(GError) error = NULL;
  bool good = mailbox_receive(session->mailbox, &funcs, &error);
  g_clear_pointer(&delivery->writer, body_writer_free);
  g_clear_error(&delivery->no_room);
  if (!good && net_error_ends_connection(error)) {
    recover(delivery, error);
    return;
  }
  Flight flight = delivery->flights[0];
  remove_first(delivery);
  bool moved = g_error_matches(error, NET_ERROR, NET_ERROR_GONE);
  if (moved) session_set_folder(session, NULL, false);
  if (moved && !flight.job->retried) {
    while (delivery->n_flights > 0)
      receive_first(delivery);
    flight.job->retried = true;
    g_autoptr(GError) lost = NULL;
    if (find_again(session, flight.job, &lost)) {
      run_alone(delivery, flight);
      return;
    }
    if (lost != NULL) take_error(flight.job, lost);
  }
  if (!good) take_error(flight.job, error);
  land(delivery, flight);
}

// Sends one job's request; a job that needs none, or fails, is finished. False: nothing is under
// way for it.
static bool launch(Delivery *delivery, Flight flight) {
  Session *session = delivery->session;
  Job *job = flight.job;
  g_autoptr(GError) error = NULL;
  link_twins(session, job);
  if (is_complete(job)) {
    finish(session, job);
    return false;
  }
  bool was_connected = session->mailbox != NULL;
  if (session_connect(session, job, &error)) {
    delivery->flights[delivery->n_flights++] = flight;
    if (ask(delivery, &delivery->flights[delivery->n_flights - 1], &error)) return true;
    if (net_error_ends_connection(error) && was_connected) {
      recover(delivery, error);
      return false;
    }
    delivery->n_flights--;
    if (net_error_ends_connection(error)) session_disconnect(session);
  }
  if (session_leave_to_others(session, job, error)) return false;
  take_error(job, error);
  finish(session, job);
  return false;
}

static bool run_alone(Delivery *delivery, Flight flight) {
  g_assert(delivery->n_flights == 0);
  clear_parts(&flight);
  if (!launch(delivery, flight)) return false;
  receive_first(delivery);
  return true;
}

void session_do_bodies(Session *session, Job *first) {
  JobBoard *board = session->context->board;
  Delivery delivery = {.session = session};
  g_autofree char *folder = g_strdup(first->folder);
  launch(&delivery, (Flight){.job = first});
  while (delivery.n_flights > 0) {
    bool wants_more = delivery.n_flights < FLIGHTS_MAX && !atomic_load(&session->renewed) &&
                      !mailbox_wants_pause(session->mailbox);
    Job *more = wants_more ? job_board_take_more(board, session->number, folder) : NULL;
    if (more != NULL)
      launch(&delivery, (Flight){.job = more});
    else
      receive_first(&delivery);
  }
}
