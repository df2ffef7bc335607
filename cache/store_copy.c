// Letters that were sent, to be kept in a folder of the server's.

#include "cache/copy.h"
#include "cache/store_private.h"
#include "net/error.h"

void store_copy(Store *store, Copy *copy, CopyDone done, gpointer data) {
  Job *job = job_new(JOB_COPY, JOB_LISTING, 0);
  GError *problem = store->traits->can_append
                        ? store_known_problem(store, false)
                        : g_error_new_literal(NET_ERROR, NET_ERROR_UNSUPPORTED,
                                              "this kind of mailbox takes no messages");
  copy->done = done;
  copy->data = data;
  job->copy = copy;
  if (problem != NULL)
    store_send_back(store, job, problem);
  else
    job_board_push(store->board, job);
}

void store_end_copy(Store *store, Job *job) {
  job->copy->done(job->copy, job->error, job->copy->data);
}
