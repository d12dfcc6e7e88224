/* report.h: what the engine tells people and Prometheus, from a snapshot. */
#ifndef SLIPWAY_REPORT_H
#define SLIPWAY_REPORT_H

#include <stdio.h>

#include "engine.h"

/* The control socket's answers: one line of JSON with its newline, malloc'ed; NULL when out of memory. */
char *report_status(engine_shared *shared, const snapshot *now);
char *report_limits(const engine_shared *shared, const snapshot *now);
char *report_done(const snapshot *now, const engine_shared *shared);
char *report_error(const char *text);

/* Prometheus text format, version 0.0.4. */
void report_metrics(engine_shared *shared, const snapshot *now, FILE *out);

#endif
