/* broker_wire.h: broker_interface.h as messages, for a connector that is a process of its own.
 *
 * Transport: AF_UNIX SOCK_SEQPACKET, the connector listens, the engine connects. One message a
 * packet. All integers are little-endian; structs are laid out so that no padding exists (the
 * static assertions hold that), so a reader in another language can use fixed offsets.
 * The engine's first message is WIRE_HELLO; the connector answers with WIRE_STATE. When the engine's
 * connection closes, the connector cancels all open orders.
 */
#ifndef SLIPWAY_BROKER_WIRE_H
#define SLIPWAY_BROKER_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "broker_interface.h"

#define WIRE_VERSION 1

typedef enum wire_type {
  /* engine -> connector */
  WIRE_HELLO = 1,      /* wire_hello */
  WIRE_SUBMIT = 2,     /* wire_submit */
  WIRE_CANCEL = 3,     /* wire_cancel */
  WIRE_CANCEL_ALL = 4, /* header only */
  /* connector -> engine */
  WIRE_STATE = 32,    /* wire_state */
  WIRE_QUOTE = 33,    /* wire_quote */
  WIRE_ACK = 34,      /* wire_ack */
  WIRE_FILL = 35,     /* wire_fill */
  WIRE_CANCELED = 36, /* wire_canceled */
  WIRE_REJECT = 37,   /* wire_reject */
  WIRE_ORPHAN = 38,   /* wire_orphan */
  WIRE_LOG = 39       /* wire_log */
} wire_type;

typedef struct wire_header {
  uint16_t type;   /* wire_type */
  uint16_t length; /* of the whole message, header included */
  uint32_t zero;
} wire_header;

typedef struct wire_hello {
  wire_header header;
  uint32_t version;          /* WIRE_VERSION */
  uint32_t instrument_count; /* the connector refuses one that differs from its own configuration */
} wire_hello;

typedef struct wire_submit {
  wire_header header;
  uint64_t client_id;
  int64_t price_e8, quantity_e8;
  uint16_t instrument;
  uint8_t side, tif;
  uint32_t zero;
} wire_submit;

typedef struct wire_cancel {
  wire_header header;
  uint64_t client_id;
} wire_cancel;

typedef struct wire_state {
  wire_header header;
  uint32_t state; /* broker_state */
  uint32_t zero;
  char reason[SLIPWAY_TEXT_MAX]; /* NUL-padded */
} wire_state;

typedef struct wire_quote {
  wire_header header;
  int64_t bid_e8, bid_quantity_e8, ask_e8, ask_quantity_e8;
  int64_t received_mono_ns;
  uint16_t instrument, zero16;
  uint32_t zero32;
} wire_quote;

typedef struct wire_ack {
  wire_header header;
  uint64_t client_id;
  char venue_id[SLIPWAY_VENUE_ID_MAX];
} wire_ack;

typedef struct wire_fill {
  wire_header header;
  uint64_t client_id;
  int64_t price_e8, quantity_e8, fee_e8;
  uint8_t side, final;
  uint16_t zero16;
  uint32_t zero32;
} wire_fill;

typedef struct wire_canceled {
  wire_header header;
  uint64_t client_id;
  int64_t left_e8;
} wire_canceled;

typedef struct wire_reject {
  wire_header header;
  uint64_t client_id;
  int32_t code;
  uint32_t zero;
  char text[SLIPWAY_TEXT_MAX];
} wire_reject;

typedef struct wire_orphan {
  wire_header header;
  char venue_id[SLIPWAY_VENUE_ID_MAX];
  uint16_t instrument, zero16;
  uint32_t zero32;
} wire_orphan;

typedef struct wire_log {
  wire_header header;
  int32_t level;
  uint32_t zero;
  char text[SLIPWAY_TEXT_MAX];
} wire_log;

static_assert(sizeof(wire_header) == 8, "wire_header");
static_assert(sizeof(wire_hello) == 16, "wire_hello");
static_assert(sizeof(wire_submit) == 40, "wire_submit");
static_assert(sizeof(wire_cancel) == 16, "wire_cancel");
static_assert(sizeof(wire_state) == 176, "wire_state");
static_assert(sizeof(wire_quote) == 56, "wire_quote");
static_assert(sizeof(wire_ack) == 96, "wire_ack");
static_assert(sizeof(wire_fill) == 48, "wire_fill");
static_assert(sizeof(wire_canceled) == 24, "wire_canceled");
static_assert(sizeof(wire_reject) == 184, "wire_reject");
static_assert(sizeof(wire_orphan) == 96, "wire_orphan");
static_assert(sizeof(wire_log) == 176, "wire_log");

#endif
