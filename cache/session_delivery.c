// The bytes that pass: whose they are, and where they go. A server may answer several requests at
// once, and say only at a body's end whose it was.

#include "cache/session_bodies_private.h"
#include "net/error.h"

#define PROGRESS_BYTES (128 << 10)

static JobBody *find_body(Delivery *delivery, uint32_t uid, Flight **flight) {
  for (unsigned i = 0; i < delivery->n_flights; i++) {
    JobBody *body = job_find_body(delivery->flights[i].job, uid);
    *flight = &delivery->flights[i];
    if (body != NULL) return body;
  }
  *flight = NULL;
  return NULL;
}

bool flight_is_whole(const Flight *flight) {
  return flight->job->kind == JOB_BODIES || flight->job->is_whole;
}

static bool expects_part(const Flight *flight, uint32_t uid, uint64_t offset) {
  const Job *job = flight->job;
  if (flight_is_whole(flight) || (uid != 0 && job->uid != uid)) return false;
  if (job->kind == JOB_PART) return offset == job->range.offset;
  return offset == 0 || offset == job->announced - 1;
}

// A server may answer several requests at once: what comes finds its flight by UID and place.
static Flight *flight_of(Delivery *delivery, uint32_t uid, uint64_t offset) {
  Flight *flight = NULL;
  if (uid != 0 && find_body(delivery, uid, &flight) != NULL) return flight;
  for (unsigned i = 0; i < delivery->n_flights; i++)
    if (expects_part(&delivery->flights[i], uid, offset)) return &delivery->flights[i];
  return uid == 0 && flight_is_whole(&delivery->flights[0]) ? &delivery->flights[0] : NULL;
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
  delivery->session->tells_uid_first = uid != 0;
  g_clear_pointer(&delivery->writer, body_writer_free);
  g_clear_error(&delivery->no_room);
  delivery->offset = delivery->next = delivery->reported = offset;
  delivery->is_certain = uid != 0;
  delivery->overflowed = false;
  if (flight == NULL) return true;
  bool opens = flight->job->kind == JOB_LARGE && offset == 0;
  if (flight_is_whole(flight) || opens)
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

static void take_part(Delivery *delivery, const void *bytes, size_t size) {
  const Job *job = delivery->flight->job;
  if (job->kind == JOB_LARGE) {
    size = cut(delivery, delivery->offset + JOB_TAIL_BYTES, size);
    g_byte_array_append(delivery->flight->tail, bytes, (guint)size);
    delivery->next += size;
    return;
  }
  if (delivery->offset < job->range.offset) return;
  size = cut(delivery, job->range.offset + job->range.size, size);
  if (!body_writer_write_at(job->writer, delivery->next, bytes, size, &delivery->no_room)) return;
  delivery->next += size;
  report_part(delivery, job);
}

// That for which there is no room is dropped; what is behind it may be smaller.
static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  Delivery *delivery = data;
  gint now_s = (gint)(g_get_monotonic_time() / G_USEC_PER_SEC);
  g_atomic_int_set(&delivery->session->context->progress_s, now_s);
  if (delivery->flight == NULL || delivery->no_room != NULL) return true;
  if (delivery->writer == NULL)
    take_part(delivery, bytes, size);
  else if (body_writer_write(delivery->writer, bytes, size, &delivery->no_room))
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

void delivery_take_whole(Delivery *delivery, Flight *flight) {
  delivery->writer = g_steal_pointer(&flight->job->writer);
  opening_make_whole(flight);
  end_whole(delivery, flight, &g_array_index(flight->job->bodies, JobBody, 0));
  g_clear_pointer(&delivery->writer, body_writer_free);
  g_clear_error(&delivery->no_room);
}

static void end_part(Delivery *delivery, Flight *flight) {
  Job *job = flight->job;
  flight->told = true;
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

// Parts of this message are asked for, though perhaps not from there.
static Flight *part_of(Delivery *delivery, uint32_t uid) {
  for (unsigned i = 0; i < delivery->n_flights; i++) {
    Flight *flight = &delivery->flights[i];
    if (!flight_is_whole(flight) && flight->job->uid == uid) return flight;
  }
  return NULL;
}

// Only now it is certain whose bytes they were. What was taken for another's is nobody's: it is as
// if it had not been told.
static bool end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Delivery *delivery = data;
  Flight *flight;
  JobBody *body = find_body(delivery, uid, &flight);
  if (body == NULL) flight = flight_of(delivery, uid, offset);
  Flight *misplaced = body == NULL && flight == NULL ? part_of(delivery, uid) : NULL;
  if (misplaced != NULL) misplaced->told = true;
  bool began_whole = delivery->flight != NULL && flight_is_whole(delivery->flight);
  if (body != NULL && began_whole)
    end_whole(delivery, flight, body);
  else if (body == NULL && flight != NULL && flight == delivery->flight && !flight_is_whole(flight))
    end_part(delivery, flight);
  g_clear_pointer(&delivery->writer, body_writer_free);
  return true;
}

static void note_withheld(uint32_t uid, gpointer data) {
  Flight *flight;
  JobBody *body = find_body(data, uid, &flight);
  if (body != NULL) body->withheld = true;
  if ((flight = part_of(data, uid)) != NULL) flight->withheld = true;
}

bool delivery_receive(Delivery *delivery, GError **error) {
  const MailboxBodyFuncs funcs = {begin, take_bytes, end, note_withheld, delivery};
  bool good = mailbox_receive(delivery->session->mailbox, &funcs, error);
  g_clear_pointer(&delivery->writer, body_writer_free);
  g_clear_error(&delivery->no_room);
  return good;
}
