/* log.h: lines to standard error with a syslog priority, as journald reads them ("<6>text").
 *
 * The order loop must not wait for a full pipe: what it logs goes into a ring that the housekeeping
 * thread writes out. A full ring drops lines and counts them.
 */
#ifndef SLIPWAY_LOG_H
#define SLIPWAY_LOG_H

#include <stdint.h>

/* From now on this thread's lines go through the ring (call once, from the loop's thread). */
void log_defer(void);
/* Write out what is in the ring. Only from one thread at a time. */
void log_drain(void);
/* Back to writing at once; drains what is left. The housekeeping thread must have ended. */
void log_direct(void);
uint64_t log_dropped(void);

__attribute__((format(printf, 2, 3))) void log_line(int priority, const char *format, ...);

#endif
