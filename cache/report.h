// A Report is what a session thread tells the main loop: a body that came, a job that is done, news
// of the server. A value; whoever holds it owns it and what it holds.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body.h"
#include "cache/job.h"
#include "net/mailbox.h"

typedef enum {
  REPORT_JOB,  // job, with its result
  // ino, fd, size, on_disk, is_other: it is here, and the index will know when the job is done
  REPORT_BODY,
  REPORT_PART,    // ino, range: more of a large body can be read
  REPORT_FOLDER,  // folder, status: changed on the server
  REPORT_TREE,    // so has the tree
  REPORT_WATCH,   // session, watch, folder: what it watches from now on
  REPORT_LOST,    // session, error: the connection that watched is gone
} ReportKind;

typedef struct {
  ReportKind kind;
  Job *job;
  uint64_t ino;
  int fd;  // the body store's; -1: none
  uint64_t size;
  bool on_disk;
  bool is_other;  // than the bytes that were here before
  MailboxRange range;
  char *folder;
  bool has_status;
  MailboxStatus status;
  unsigned session;
  MailboxWatch watch;
  GError *error;
} Report;

Report *report_new(ReportKind kind);
Report *report_new_job(Job *job);  // takes it
// Does not close fd.
void report_free(Report *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Report, report_free)
