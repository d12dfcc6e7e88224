/* sign.h: the two signatures that Binance takes: HMAC-SHA256 (hex) and Ed25519 (base64).
 *
 * WebSocket API: the payload is the parameters sorted by name, `k=v&k=v`, raw UTF-8. REST: the query string
 * exactly as sent, so already percent-encoded. Signing with HMAC allocates nothing (the order path of an
 * HMAC key signs each request); Ed25519 is only used to log on and on REST.
 */
#ifndef BINANCE_SIGN_H
#define BINANCE_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#define SIGNATURE_TEXT_MAX 96 /* base64 of 64 bytes is 88; hex of 32 bytes is 64 */

typedef enum signer_kind { SIGNER_ED25519 = 1, SIGNER_HMAC = 2 } signer_kind;

typedef struct signer signer;

/* NULL on failure with `error` saying why; never quotes the secret. */
signer *signer_hmac(const char *secret, size_t length, char *error, size_t error_size);
signer *signer_ed25519(const char *pem, size_t length, char *error, size_t error_size);

/* Frees and wipes; NULL is fine. */
void signer_free(signer *self);

signer_kind signer_type(const signer *self);

/* Writes the NUL-terminated signature text; returns its length, 0 on failure. */
size_t signer_sign(const signer *self, const char *payload, size_t length, char *out, size_t size);

/* Percent-encodes everything but RFC 3986's unreserved characters. Returns the length, 0 if it does not fit.
 */
size_t percent_encode(const char *text, char *out, size_t size);

#endif
