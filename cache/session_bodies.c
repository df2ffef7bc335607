// A session's work on bodies: several jobs of one folder are under way at once, so that the server
// always has the next one to answer; they end in the order in which they were asked.

#include <string.h>

#include "cache/session_bodies_private.h"
#include "net/error.h"

// Beside others, two are enough; the only connection is kept full, so far as a reader who waits for
// something else can wait.
static unsigned flights_max(const Session *session) {
  return session->context->traits->connections_max == 1 ? FLIGHTS_MAX : 2;
}

// How many bytes more may be asked for ahead.
static uint64_t ahead_room(const Delivery *delivery) {
  uint64_t room = session_ahead_bytes(delivery->session);
  if (delivery->session->context->traits->connections_max != 1) return UINT64_MAX;
  for (unsigned i = 0; i < delivery->n_flights; i++)
    room -= MIN(room, delivery->flights[i].job->bytes);
  return room;
}

// ---- Asking.

void flight_clear(Flight *flight) {
  g_clear_pointer(&flight->tail, g_byte_array_unref);
  flight->told = flight->withheld = flight->has_first = flight->has_tail = false;
  flight->first_bytes = 0;
}

static bool ask_whole(Session *session, Flight *flight, MailboxRequest *request, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  for (unsigned i = 0; i < flight->job->bodies->len; i++) {
    const JobBody *body = &g_array_index(flight->job->bodies, JobBody, i);
    if (!body->came && body->uid != 0) uid_set_add(uids, body->uid);
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
  bool is_open = !flight->anew && g_strcmp0(session->open_folder, job->folder) == 0;
  if (!is_open) session_set_folder(session, NULL, false);
  session_set_folder(session, job->folder, false);
  if (flight_is_whole(flight)) return ask_whole(session, flight, &request, error);
  if (job->kind == JOB_PART) {
    request.ranges[request.n_ranges++] = job->range;
  } else {
    request.ranges[request.n_ranges++] = (MailboxRange){0, JOB_FIRST_BYTES};
    request.ranges[request.n_ranges++] = (MailboxRange){job->announced - 1, JOB_TAIL_BYTES};
  }
  return mailbox_request(session->mailbox, &request, error);
}

static void link_twins(Session *session, Job *job) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (!body->came) session_link_twin(session, body);
  }
}

static bool is_complete(const Job *job) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++)
    if (!g_array_index(job->bodies, JobBody, i).came) return false;
  return job->bodies != NULL;
}

// ---- How a job ends.

static void finish(Session *session, Job *job) {
  session_record(session, job);
  session_finish(session, job);
}

static void remove_first(Delivery *delivery) {
  delivery->n_flights--;
  memmove(&delivery->flights[0], &delivery->flights[1],
          delivery->n_flights * sizeof delivery->flights[0]);
}

// A message's number as of now, 0: it is not in the folder any more.
static bool find_uid(Session *session, const Job *job, uint64_t ino, uint32_t *uid,
                     GError **error) {
  IndexMessage message;
  IndexAnswer answer = index_message(session->index, ino, &message);
  bool is_there = answer == INDEX_FOUND && !message.gone && message.folder == job->folder_ino;
  *uid = is_there ? message.uid : 0;
  if (answer == INDEX_FOUND || answer == INDEX_ABSENT) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY, "the messages cannot be looked up now");
  return false;
}

static bool find_all(Session *session, Job *job, GError **error) {
  if (job->bodies == NULL) return find_uid(session, job, job->ino, &job->uid, error);
  for (unsigned i = 0; i < job->bodies->len; i++) {
    JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (!find_uid(session, job, body->ino, &body->uid, error)) return false;
  }
  return true;
}

static bool wants_something(const Job *job) {
  if (job->bodies == NULL) return job->uid != 0;
  for (unsigned i = 0; i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (!body->came && body->uid != 0) return true;
  }
  return false;
}

// The messages' places in a folder that may have been renumbered since the job was made: brought up
// to date on this connection, which is the only one for whom the numbers are sure to hold (Courier
// renumbers at each opening a folder that nobody ever selected). A number of before is never asked
// for under the new UIDVALIDITY: it is another message's. GONE: no message of the job is left.
static bool find_again(Session *session, Job *job, GError **error) {
  g_auto(IndexFolder) folder = {0}, after = {0};
  // What was under way beside it may have ended the connection.
  if (!session_connect(session, job, error) || !session_sync(session, job, job->folder_ino, error))
    return false;
  bool is_known = index_folder(session->index, job->folder_ino, &folder) == INDEX_FOUND;
  if (is_known && !find_all(session, job, error)) return false;
  // Another session may have found it renumbered once more, and written new numbers meanwhile.
  if (!is_known || index_folder(session->index, job->folder_ino, &after) != INDEX_FOUND ||
      after.status.uidvalidity != folder.status.uidvalidity) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY, "the folder cannot be looked up now");
    return false;
  }
  job->uidvalidity = folder.status.uidvalidity;
  if (wants_something(job)) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_GONE, "the message was removed");
  return false;
}

static void take_error(Job *job, GError *error) {
  if (job->error == NULL) job->error = g_error_copy(error);
}

static bool launch(Delivery *delivery, Flight flight);
static void run_alone(Delivery *delivery, Flight flight);
static void receive_all(Delivery *delivery);

// Bytes that a server names only at their end go to the first that may have asked for them: which
// is right as long as there is one, and for whole messages, that find their place then.
static bool may_join(const Delivery *delivery, const Job *job) {
  bool are_whole = job->kind == JOB_BODIES;
  for (unsigned i = 0; i < delivery->n_flights; i++)
    are_whole = are_whole && flight_is_whole(&delivery->flights[i]);
  return are_whole || delivery->session->tells_uid_first;
}

// The connection is gone, and all that was under way with it: asked for once more on a new one, as
// many together as may be.
static void recover(Delivery *delivery, const GError *cause) {
  Flight lost[FLIGHTS_MAX];
  unsigned n = delivery->n_flights;
  Session *session = delivery->session;
  memcpy(lost, delivery->flights, sizeof lost);
  delivery->n_flights = 0;
  session_disconnect(session);
  for (unsigned i = 0; i < n; i++) {
    flight_clear(&lost[i]);
    g_clear_error(&lost[i].job->error);
    if (session_may_retry(session, lost[i].job, true, cause)) {
      g_info("%s: %s; connecting again", session->name, cause->message);
      if (!may_join(delivery, lost[i].job)) receive_all(delivery);
      launch(delivery, lost[i]);
    } else {
      take_error(lost[i].job, (GError *)cause);
      finish(session, lost[i].job);
    }
  }
}

// A message of which nothing was told may be there all the same: newer than our view of the folder,
// or left out because others were expunged (see mailbox_receive). So it is asked for once more, by
// itself, after a new look at the folder; what was fetched ahead the store asks for by itself, if
// somebody waits for it. Where the server has no UIDs, its view is the listing's.
static bool wants_another_look(const Session *session, const Flight *flight) {
  const Job *job = flight->job;
  if (!session->context->traits->has_uids) return false;
  if (flight->anew || job->error != NULL || job->priority != JOB_URGENT) return false;
  if (!flight_is_whole(flight)) return !flight->told && !flight->withheld;
  if (job->bodies->len != 1) return false;
  const JobBody *body = &g_array_index(job->bodies, JobBody, 0);
  return !body->came && !body->withheld && !body->no_room;
}

// Why a part did not come whole, though nothing failed. That its message is gone is certain by now.
static GError *error_of_part(const Flight *flight) {
  uint32_t uid = flight->job->uid;
  if (flight->withheld)
    return g_error_new(NET_ERROR, NET_ERROR_REFUSED, "the server gives nothing of message %u", uid);
  if (!flight->told) return g_error_new(NET_ERROR, NET_ERROR_GONE, "message %u was removed", uid);
  return g_error_new(NET_ERROR, NET_ERROR_PROTOCOL,
                     "the server gives less of message %u than it has", uid);
}

// Ends a flight whose answer was read without an error of the connection's.
static void land(Delivery *delivery, Flight flight) {
  Session *session = delivery->session;
  Job *job = flight.job;
  bool opened = job->kind == JOB_LARGE && !job->is_whole && job->error == NULL && job->writer;
  if (wants_another_look(session, &flight)) {
    receive_all(delivery);
    flight.anew = true;
    run_alone(delivery, flight);
    return;
  }
  if (opened && opening_is_whole(&flight)) {
    delivery_take_whole(delivery, &flight);
    opened = false;
  }
  if (opened && !opening_tell_size(&flight)) {
    receive_all(delivery);
    opening_make_whole(&flight);
    run_alone(delivery, flight);
    return;
  }
  if (opened) opening_keep(&flight, session->context->cache_bytes);
  if (job->kind == JOB_PART && !flight.has_first && job->error == NULL)
    job->error = error_of_part(&flight);
  flight_clear(&flight);
  finish(session, job);
}

static void receive_first(Delivery *delivery) {
  Session *session = delivery->session;
  g_autoptr(GError) error = NULL;
  bool good = delivery_receive(delivery, &error);
  if (!good && net_error_ends_connection(error)) {
    recover(delivery, error);
    return;
  }
  Flight flight = delivery->flights[0];
  remove_first(delivery);
  bool moved = g_error_matches(error, NET_ERROR, NET_ERROR_GONE);
  if (moved) session_set_folder(session, NULL, false);
  if (moved && !flight.found_again) {
    receive_all(delivery);
    flight.found_again = true;
    g_clear_error(&error);
    good = find_again(session, flight.job, &error);
    if (good) {
      run_alone(delivery, flight);
      return;
    }
    if (net_error_ends_connection(error)) session_disconnect(session);
  }
  if (!good) take_error(flight.job, error);
  land(delivery, flight);
}

static void receive_all(Delivery *delivery) {
  while (delivery->n_flights > 0)
    receive_first(delivery);
}

static bool knows_numbers(const Session *session, const Job *job) {
  return session->context->traits->has_uids ||
         (session->is_synced && g_strcmp0(session->open_folder, job->folder) == 0);
}

static bool ask_by_number(Delivery *delivery, Flight *flight, GError **error) {
  Session *session = delivery->session;
  if (!knows_numbers(session, flight->job)) {
    flight->found_again = true;
    if (!find_again(session, flight->job, error)) return false;
  }
  return ask(delivery, flight, error);
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
  if (!knows_numbers(session, job)) receive_all(delivery);
  bool was_connected = session->mailbox != NULL;
  if (session_connect(session, job, &error)) {
    delivery->flights[delivery->n_flights++] = flight;
    if (ask_by_number(delivery, &delivery->flights[delivery->n_flights - 1], &error)) return true;
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

static void run_alone(Delivery *delivery, Flight flight) {
  g_assert(delivery->n_flights == 0);
  flight_clear(&flight);
  launch(delivery, flight);
  receive_all(delivery);
}

void session_do_bodies(Session *session, Job *first) {
  JobBoard *board = session->context->board;
  Delivery delivery = {.session = session};
  g_autofree char *folder = g_strdup(first->folder);
  session_begin_pace(session);
  launch(&delivery, (Flight){.job = first});
  while (delivery.n_flights > 0) {
    bool wants_more = delivery.n_flights < flights_max(session) &&
                      !atomic_load(&session->renewed) && !mailbox_wants_pause(session->mailbox);
    uint64_t room = ahead_room(&delivery);
    Job *more = wants_more ? job_board_take_more(board, session->number, folder, room) : NULL;
    if (more == NULL) {
      uint64_t bytes = delivery.flights[0].job->bytes;
      receive_first(&delivery);
      session_keep_pace(session, bytes);
      continue;
    }
    if (!may_join(&delivery, more)) receive_all(&delivery);
    launch(&delivery, (Flight){.job = more});
  }
}
