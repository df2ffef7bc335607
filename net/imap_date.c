#include "net/imap_date.h"

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

// Reads `min` to `max` digits; -1 if there are fewer.
static int take_number(const char **at, int min, int max) {
  int number = 0, digits = 0;
  for (; digits < max && g_ascii_isdigit(**at); digits++, (*at)++)
    number = number * 10 + (**at - '0');
  return digits >= min ? number : -1;
}

static bool take_char(const char **at, char wanted) {
  if (**at != wanted) return false;
  (*at)++;
  return true;
}

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

// 1 to 12; -1 if no month is named.
static int take_month(const char **at) {
  for (int month = 0; month < 12; month++) {
    if (g_ascii_strncasecmp(*at, month_names + 3 * month, 3) != 0) continue;
    *at += 3;
    return month + 1;
  }
  return -1;
}

// "+hhmm" as seconds east of Greenwich.
static bool take_zone(const char **at, int *seconds) {
  bool west = **at == '-';
  if (!west && **at != '+') return false;
  (*at)++;
  int hours = take_number(at, 2, 2), minutes = take_number(at, 2, 2);
  if (hours < 0 || minutes < 0 || minutes > 59) return false;
  *seconds = (hours * 60 + minutes) * 60 * (west ? -1 : 1);
  return true;
}

static bool take_time(const char **at, int *seconds) {
  int hour = take_number(at, 2, 2);
  if (hour < 0 || hour > 23 || !take_char(at, ':')) return false;
  int minute = take_number(at, 2, 2);
  if (minute < 0 || minute > 59 || !take_char(at, ':')) return false;
  int second = take_number(at, 2, 2);
  if (second < 0 || second > 60) return false;
  *seconds = (hour * 60 + minute) * 60 + second;
  return true;
}

static bool take_date(const char **at, GDate *date) {
  take_char(at, ' ');
  int day = take_number(at, 1, 2);
  if (day < 1 || !take_char(at, '-')) return false;
  int month = take_month(at);
  if (month < 0 || !take_char(at, '-')) return false;
  int year = take_number(at, 4, 4);
  if (year < 1 || !g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year))
    return false;
  g_date_set_dmy(date, (GDateDay)day, (GDateMonth)month, (GDateYear)year);
  return true;
}

int64_t imap_date_parse(const char *text) {
  static const int64_t epoch_day = 719163;  // 1 January 1970, as g_date_get_julian counts
  GDate date = {0};
  int time = 0, zone = 0;
  if (!text || !take_date(&text, &date) || !take_char(&text, ' ') || !take_time(&text, &time) ||
      !take_char(&text, ' ') || !take_zone(&text, &zone) || *text)
    return -1;
  int64_t days = (int64_t)g_date_get_julian(&date) - epoch_day;
  int64_t seconds = days * 86400 + time - zone;
  return seconds >= 0 ? seconds : -1;
}

// The names of months are the grammar's, whatever the locale's are.
char *imap_date_print(int64_t seconds) {
  g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
  g_assert(time);
  return g_strdup_printf("%2d-%.3s-%04d %02d:%02d:%02d +0000", g_date_time_get_day_of_month(time),
                         month_names + 3 * (g_date_time_get_month(time) - 1),
                         g_date_time_get_year(time), g_date_time_get_hour(time),
                         g_date_time_get_minute(time), g_date_time_get_second(time));
}
