/* digest.h: SHA-256 as lower-case hexadecimal, and whole small files. */
#ifndef SLIPWAY_DIGEST_H
#define SLIPWAY_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX 65 /* 64 digits and the NUL */

/* Of `length` bytes. False only when the library refuses (out of memory, no such digest). */
bool digest_bytes(const void *bytes, size_t length, char hex[DIGEST_HEX]);

/* Of a file of any size, e.g. /proc/self/exe. False with errno set when it cannot be read. */
bool digest_file(const char *path, char hex[DIGEST_HEX]);

/* Whether text is exactly 64 lower-case hexadecimal digits. */
bool digest_valid(const char *text);

/* The whole of a regular file of at most `limit` bytes into malloc'ed memory with a NUL behind it.
 * False with `error` filled ("FILE: …"). */
bool file_read(const char *path, size_t limit, char **bytes, size_t *length, char *error, size_t error_size);

#endif
