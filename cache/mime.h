// GMime's tables, made ready once for all who use GMime. g_mime_init itself may not be called by
// two threads at a time.
#pragma once

// Before any other call of GMime. Any thread, as often as wanted.
void mime_init(void);
