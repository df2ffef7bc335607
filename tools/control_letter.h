// A letter of the outbox as JSON: the members that control_command.h names.
#pragma once

#include <json-glib/json-glib.h>

#include "cache/outbox_summary.h"

// Adds an object to the builder. Text that is not UTF-8 is made so.
void control_letter_build(JsonBuilder *builder, const OutboxSummary *summary);
