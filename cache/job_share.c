#include "cache/job_share.h"

static bool is_inbox(const Job *job) {
  return g_strcmp0(job->folder, "INBOX") == 0;
}

static bool is_of_any_folder(const Job *job) {
  return job->kind == JOB_COPY || (job->kind == JOB_SYNC && !is_inbox(job));
}

// The first session is the one that watches: so it has the connection that the tree and the inbox
// need, and where it watches the inbox alone, it is not lured away from it.
static bool has_first(const JobShare *share, const Job *job) {
  if (job_is_about_bodies(job)) return false;
  return share->n < 3 || !share->spreads_listings || job->kind == JOB_TREE || is_inbox(job);
}

bool job_share_has(const JobShare *share, const Job *job) {
  if (job->kind == JOB_CONNECT) return job->ino == share->session;
  if (share->n == 1 || job->kind == JOB_SEAL) return true;
  if (share->rank == 0) return has_first(share, job);
  if (share->rank == 1 && share->n > 2)
    return job_is_about_bodies(job) && job->priority == JOB_URGENT;
  return job_is_about_bodies(job) || (share->n > 2 && is_of_any_folder(job));
}
