#include "cache/report.h"

Report *report_new(ReportKind kind) {
  Report *report = g_new0(Report, 1);
  report->kind = kind;
  report->fd = -1;
  return report;
}

Report *report_new_job(Job *job) {
  Report *report = report_new(REPORT_JOB);
  report->job = job;
  return report;
}

void report_free(Report *report) {
  if (report == NULL) return;
  job_free(report->job);
  g_free(report->folder);
  g_clear_error(&report->error);
  g_free(report);
}
