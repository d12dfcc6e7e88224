/* broker_interface.h: the contract between the engine and a venue connector.
 *
 * A connector is a shared library that exports slipway_broker() below, or a process of its own that
 * speaks the same messages over a local socket (broker_wire.h). The engine calls every function from
 * its one loop thread; none may block, and submit/cancel may not allocate.
 *
 * Prices and quantities are int64_t in units of 1e-8 (SLIPWAY_SCALE). Times are int64_t nanoseconds:
 * CLOCK_REALTIME where a venue sees them, CLOCK_MONOTONIC where only we do; the name says which.
 */
#ifndef SLIPWAY_BROKER_INTERFACE_H
#define SLIPWAY_BROKER_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#define SLIPWAY_BROKER_ABI 1
#define SLIPWAY_SCALE INT64_C(100000000)
#define SLIPWAY_SYMBOL_MAX 96   /* Polymarket token ids are 78 decimal digits */
#define SLIPWAY_VENUE_ID_MAX 80 /* a venue's own order id, NUL-terminated */
#define SLIPWAY_TEXT_MAX 160

typedef enum broker_state {
  BROKER_DISCONNECTED = 0,
  BROKER_CONNECTING = 1,
  BROKER_READY = 2,  /* logged in, streams subscribed, rules known, open orders reconciled */
  BROKER_REFUSED = 3 /* the venue rejected us (key, address, region): retrying blindly is wrong */
} broker_state;

typedef enum broker_side { BROKER_BUY = 1, BROKER_SELL = 2 } broker_side;

typedef enum broker_tif { BROKER_GTC = 1, BROKER_IOC = 2 } broker_tif;

typedef struct broker_order {
  uint64_t client_id; /* unique for the life of the process and across restarts (time-seeded) */
  int64_t price_e8;
  int64_t quantity_e8;
  uint16_t instrument; /* index into broker_config.instruments */
  uint8_t side;        /* broker_side */
  uint8_t tif;         /* broker_tif */
} broker_order;

typedef struct broker_quote {
  int64_t bid_e8, bid_quantity_e8, ask_e8, ask_quantity_e8;
  int64_t received_mono_ns; /* when the bytes were read from the socket */
  uint16_t instrument;
} broker_quote;

typedef struct broker_fill {
  uint64_t client_id;
  int64_t price_e8, quantity_e8;
  int64_t fee_e8; /* in quote currency; 0 where the venue reports it in another asset */
  uint8_t side;
  uint8_t final; /* 1: nothing is left open of this order */
} broker_fill;

/* How a connector reports to the engine. `user` is given back unchanged. Called only from within
 * poll(), submit(), cancel() and cancel_all(). Strings live only during the call. */
typedef struct broker_callbacks {
  void (*on_state)(void *user, broker_state state, const char *reason);
  void (*on_quote)(void *user, const broker_quote *quote);
  void (*on_ack)(void *user, uint64_t client_id, const char *venue_id);
  void (*on_fill)(void *user, const broker_fill *fill);
  void (*on_cancel)(void *user, uint64_t client_id, int64_t left_e8);
  void (*on_reject)(void *user, uint64_t client_id, int32_t code, const char *text);
  /* An open order that the venue has and we did not send in this life (found at reconcile). */
  void (*on_orphan)(void *user, const char *venue_id, uint16_t instrument);
  void (*on_log)(void *user, int level, const char *text); /* level as in syslog(3) */
} broker_callbacks;

typedef struct broker_instrument {
  char symbol[SLIPWAY_SYMBOL_MAX];
  int64_t tick_e8, lot_e8;
} broker_instrument;

typedef struct broker_config {
  const char *venue;
  const char *mode;                  /* "simulated", "test" or "live" */
  const char *settings_json;         /* endpoints and settings of this venue; schema is the connector's */
  const char *credentials_directory; /* systemd's $CREDENTIALS_DIRECTORY; one file a credential */
  const broker_instrument *instruments;
  uint16_t instrument_count;
} broker_config;

typedef struct broker broker; /* opaque, the connector's own */

typedef struct broker_ops {
  uint32_t abi; /* SLIPWAY_BROKER_ABI */
  const char *venue;
  const char *version;

  /* Check the configuration, and the credentials if their directory is given (not NULL), without touching
   * the network. 0, or -1 with `error` filled. */
  int (*check)(const broker_config *config, char *error, size_t error_size);
  broker *(*create)(const broker_config *config, const broker_callbacks *callbacks, void *user, char *error,
                    size_t error_size);
  /* Move everything forward that can move without waiting. Reconnects by itself, with back-off. */
  void (*poll)(broker *self, int64_t now_mono_ns);
  /* 0: handed to the socket. -1: not sent (not ready, or the socket is full); no callback follows. */
  int (*submit)(broker *self, const broker_order *order);
  int (*cancel)(broker *self, uint64_t client_id);
  /* Cancel everything this account has open at the venue, ours or not; works in any state that has
   * a connection and opens one where it has none. Repeats until the venue says that nothing is open. */
  int (*cancel_all)(broker *self);
  void (*destroy)(broker *self);
} broker_ops;

/* The one exported symbol of a connector library. */
const broker_ops *slipway_broker(void);
typedef const broker_ops *(*slipway_broker_fn)(void);

#endif
