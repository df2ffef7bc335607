#include "cache/job.h"

Job *job_new(JobKind kind, JobPriority priority, uint64_t ino) {
  Job *job = g_new0(Job, 1);
  job->kind = kind;
  job->priority = priority;
  job->ino = ino;
  job->fd = -1;
  if (kind == JOB_BODIES) job->bodies = g_array_new(FALSE, TRUE, sizeof(JobBody));
  if (kind != JOB_EXPUNGE) return job;
  job->ids = g_ptr_array_new_with_free_func(g_free);
  job->settled = g_ptr_array_new_with_free_func(g_free);
  job->doubtful = g_ptr_array_new_with_free_func(g_free);
  return job;
}

void job_free(Job *job) {
  if (job == NULL) return;
  if (job->kind == JOB_LARGE) body_writer_free(job->writer);
  g_clear_pointer(&job->bodies, g_array_unref);
  g_clear_pointer(&job->ids, g_ptr_array_unref);
  g_clear_pointer(&job->settled, g_ptr_array_unref);
  g_clear_pointer(&job->doubtful, g_ptr_array_unref);
  copy_free(job->copy);
  g_free(job->folder);
  g_clear_error(&job->error);
  changes_free(job->changes);
  g_free(job);
}

bool job_is_about_bodies(const Job *job) {
  return job->kind == JOB_BODIES || job->kind == JOB_LARGE || job->kind == JOB_PART;
}

JobBody *job_find_body(const Job *job, uint32_t uid) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (body->uid == uid && !body->came) return body;
  }
  return NULL;
}
