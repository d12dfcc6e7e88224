/* permit.h: may we send orders? A file in /run that a person wrote, looked at on the order path.
 *
 * A permit, not a kill file: it is revoked by unlink or by one byte written in place, and both work on
 * a full disk. A permit is worth something only for this executable and these limits (by hash), until
 * its expiry, and only when it was written after this process started: no restart re-arms.
 */
#ifndef SLIPWAY_PERMIT_H
#define SLIPWAY_PERMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "config.h"

#define PERMIT_NAME_MAX 64
#define PERMIT_BYTES_MAX 4096
#define PERMIT_TEXT_MAX 256

typedef struct permit_terms {
  char release[DIGEST_HEX];
  char limits[DIGEST_HEX];
  char armed_by[PERMIT_NAME_MAX];
  int64_t armed_at_ns;   /* wall clock */
  int64_t expires_at_ns; /* wall clock */
} permit_terms;

typedef struct permit {
  char path[PATH_MAX_CONFIG];
  char latch[PATH_MAX_CONFIG];
  char release[DIGEST_HEX]; /* what a permit must name */
  char limits[DIGEST_HEX];
  int64_t floor_ns; /* a permit armed at or before this wall time is worth nothing */
  int file;         /* -1: none held */
  const volatile unsigned char *byte;
  permit_terms terms;           /* of the permit held, or held last */
  char reason[PERMIT_TEXT_MAX]; /* why none is held */
  /* The file refused last, so that it is not read and complained of at every turn. */
  dev_t refused_device;
  ino_t refused_inode;
  struct timespec refused_changed;
  int64_t refused_mono_ns;
  int64_t looked_mono_ns;
} permit;

/* Parse a permit's whole content ("A{…}"). False with `error` filled. */
bool permit_parse(const char *bytes, size_t length, permit_terms *terms, char *error, size_t error_size);

/* What is wrong with these terms for us now, or NULL. `text` may hold the answer. */
const char *permit_objection(const permit *self, const permit_terms *terms, int64_t wall_ns, char *text,
                             size_t size);

/* `floor_ns`: the wall time at which this process started. Installs a SIGBUS handler (a permit cut to
 * nothing under our mapping reads as revoked instead of killing the engine). */
bool permit_init(permit *self, const char *path, const char *latch, const char *release, const char *limits,
                 int64_t floor_ns);
void permit_free(permit *self);

/* The order path's question: one fstat, one byte, one clock. False when any says no. Never opens. */
bool permit_holds(const permit *self, int64_t wall_ns);

/* The loop's question, every turn: let go of a revoked permit, take up a new one. True while one is
 * held; a permit replaced by a newer valid one is a renewal, not a revocation. */
bool permit_poll(permit *self, int64_t mono_ns, int64_t wall_ns);

/* Refuse, from now on, every permit armed up to `wall_ns`, the held one included. */
void permit_void(permit *self, int64_t wall_ns, const char *reason);

#endif
