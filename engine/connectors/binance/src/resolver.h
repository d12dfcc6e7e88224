/* resolver.h: names to addresses without ever stopping the loop.
 *
 * getaddrinfo() waits for the network, and both libwebsockets and libcurl would call it on the loop's thread
 * or on a thread that inherits the loop's isolated CPU. So one thread of our own does it, off the CPU that
 * created it, and the libraries are only ever given addresses. A failed look-up keeps the last addresses: a
 * kill must not depend on the name server.
 */
#ifndef BINANCE_RESOLVER_H
#define BINANCE_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#define RESOLVER_SLOTS 3
#define ADDRESS_TEXT_MAX 48
#define RESOLVER_TEXT_MAX 96

typedef struct resolver resolver;

typedef enum resolver_state { RESOLVER_WAITING, RESOLVER_READY, RESOLVER_FAILED } resolver_state;

resolver *resolver_create(void);

/* Never waits: a look-up in progress ends by itself and frees what it uses. NULL is fine. */
void resolver_destroy(resolver *self);

/* Name of a slot; call once before the first resolver_ask. */
void resolver_name(resolver *self, unsigned slot, const char *host);

/* Start a look-up of the slot, unless one is running. */
void resolver_ask(resolver *self, unsigned slot);

/* RESOLVER_READY: `address` holds the next of the slot's addresses in turn. RESOLVER_FAILED: `address`
 * holds the reason. */
resolver_state resolver_answer(resolver *self, unsigned slot, char address[RESOLVER_TEXT_MAX]);

#endif
