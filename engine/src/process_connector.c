/* process_connector.c: see process_connector.h and broker_wire.h. */
#include "process_connector.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "broker_wire.h"
#include "clock.h"

static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "broker_wire.h is little-endian and copied as it is");

#define PACKET_MAX 512
#define PACKETS_A_TURN 256 /* so that one busy venue cannot starve the others */
#define BACKOFF_FIRST_NS (50 * NS_PER_MS)
#define BACKOFF_MOST_NS NS_PER_S

struct broker {
  struct sockaddr_un address;
  const broker_callbacks *callbacks;
  void *user;
  uint16_t instrument_count;
  int socket;            /* -1: not connected */
  bool cancel_all_owed;  /* asked for, not yet handed to the socket */
  broker_state reported; /* what the engine was told last */
  int64_t next_try_mono_ns;
  int64_t backoff_ns;
};

/* Every field of a connector's message may hold anything: text may lack its NUL. */
static void text_of(const char *field, size_t size, char *text) {
  const size_t length = strnlen(field, size - 1);
  memcpy(text, field, length);
  text[length] = '\0';
}

static bool deliver_state(const void *packet, const broker_callbacks *to, void *user) {
  wire_state message;
  char text[SLIPWAY_TEXT_MAX];
  memcpy(&message, packet, sizeof message);
  if (message.state > BROKER_REFUSED) {
    return false;
  }
  text_of(message.reason, sizeof message.reason, text);
  to->on_state(user, (broker_state)message.state, text);
  return true;
}

static bool deliver_quote(const void *packet, const broker_callbacks *to, void *user) {
  wire_quote message;
  memcpy(&message, packet, sizeof message);
  const broker_quote quote = {.bid_e8 = message.bid_e8,
                              .bid_quantity_e8 = message.bid_quantity_e8,
                              .ask_e8 = message.ask_e8,
                              .ask_quantity_e8 = message.ask_quantity_e8,
                              .received_mono_ns = message.received_mono_ns,
                              .instrument = message.instrument};
  to->on_quote(user, &quote);
  return true;
}

static bool deliver_ack(const void *packet, const broker_callbacks *to, void *user) {
  wire_ack message;
  char text[SLIPWAY_VENUE_ID_MAX];
  memcpy(&message, packet, sizeof message);
  text_of(message.venue_id, sizeof message.venue_id, text);
  to->on_ack(user, message.client_id, text);
  return true;
}

static bool deliver_fill(const void *packet, const broker_callbacks *to, void *user) {
  wire_fill message;
  memcpy(&message, packet, sizeof message);
  if ((message.side != BROKER_BUY && message.side != BROKER_SELL) || message.final > 1) {
    return false;
  }
  const broker_fill fill = {.client_id = message.client_id,
                            .price_e8 = message.price_e8,
                            .quantity_e8 = message.quantity_e8,
                            .fee_e8 = message.fee_e8,
                            .side = message.side,
                            .final = message.final};
  to->on_fill(user, &fill);
  return true;
}

static bool deliver_canceled(const void *packet, const broker_callbacks *to, void *user) {
  wire_canceled message;
  memcpy(&message, packet, sizeof message);
  to->on_cancel(user, message.client_id, message.left_e8);
  return true;
}

static bool deliver_reject(const void *packet, const broker_callbacks *to, void *user) {
  wire_reject message;
  char text[SLIPWAY_TEXT_MAX];
  memcpy(&message, packet, sizeof message);
  text_of(message.text, sizeof message.text, text);
  to->on_reject(user, message.client_id, message.code, text);
  return true;
}

static bool deliver_orphan(const void *packet, const broker_callbacks *to, void *user) {
  wire_orphan message;
  char text[SLIPWAY_VENUE_ID_MAX];
  memcpy(&message, packet, sizeof message);
  text_of(message.venue_id, sizeof message.venue_id, text);
  to->on_orphan(user, text, message.instrument);
  return true;
}

static bool deliver_log(const void *packet, const broker_callbacks *to, void *user) {
  wire_log message;
  char text[SLIPWAY_TEXT_MAX];
  memcpy(&message, packet, sizeof message);
  if (message.level < LOG_EMERG || message.level > LOG_DEBUG) {
    return false;
  }
  text_of(message.text, sizeof message.text, text);
  to->on_log(user, message.level, text);
  return true;
}

bool wire_deliver(const void *packet, size_t length, const broker_callbacks *callbacks, void *user) {
  static const struct {
    uint16_t type;
    uint16_t length;
    bool (*deliver)(const void *, const broker_callbacks *, void *);
  } known[] = {
      {WIRE_STATE, sizeof(wire_state), deliver_state},
      {WIRE_QUOTE, sizeof(wire_quote), deliver_quote},
      {WIRE_ACK, sizeof(wire_ack), deliver_ack},
      {WIRE_FILL, sizeof(wire_fill), deliver_fill},
      {WIRE_CANCELED, sizeof(wire_canceled), deliver_canceled},
      {WIRE_REJECT, sizeof(wire_reject), deliver_reject},
      {WIRE_ORPHAN, sizeof(wire_orphan), deliver_orphan},
      {WIRE_LOG, sizeof(wire_log), deliver_log},
  };
  wire_header header;
  if (length < sizeof header) {
    return false;
  }
  memcpy(&header, packet, sizeof header);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (known[i].type == header.type) {
      return header.length == length && known[i].length == length &&
             known[i].deliver(packet, callbacks, user);
    }
  }
  return false;
}

static void report(broker *self, broker_state state, const char *reason) {
  if (self->reported != state) {
    self->reported = state;
    self->callbacks->on_state(self->user, state, reason);
  }
}

static void disconnect(broker *self, int64_t mono_ns, const char *reason) {
  if (self->socket >= 0) {
    (void)close(self->socket);
    self->socket = -1;
  }
  self->next_try_mono_ns = mono_ns + self->backoff_ns;
  self->backoff_ns = self->backoff_ns * 2 < BACKOFF_MOST_NS ? self->backoff_ns * 2 : BACKOFF_MOST_NS;
  report(self, BROKER_DISCONNECTED, reason);
}

static int send_packet(const broker *self, const void *packet, size_t length) {
  return self->socket >= 0 &&
                 send(self->socket, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length
             ? 0
             : -1;
}

static wire_header header_of(wire_type type, size_t length) {
  return (wire_header){.type = (uint16_t)type, .length = (uint16_t)length, .zero = 0};
}

static void try_connect(broker *self, int64_t mono_ns) {
  self->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (self->socket < 0 ||
      connect(self->socket, (const struct sockaddr *)&self->address, sizeof self->address) != 0) {
    char reason[SLIPWAY_TEXT_MAX];
    (void)snprintf(reason, sizeof reason, "connector socket %.*s: %s", (int)sizeof self->address.sun_path,
                   self->address.sun_path, strerror(errno));
    disconnect(self, mono_ns, reason);
    return;
  }
  const wire_hello hello = {.header = header_of(WIRE_HELLO, sizeof hello),
                            .version = WIRE_VERSION,
                            .instrument_count = self->instrument_count};
  if (send_packet(self, &hello, sizeof hello) != 0) {
    disconnect(self, mono_ns, "connector took no greeting");
    return;
  }
  report(self, BROKER_CONNECTING, "greeting sent");
}

static void pay_cancel_all(broker *self) {
  const wire_header message = header_of(WIRE_CANCEL_ALL, sizeof message);
  if (self->cancel_all_owed && send_packet(self, &message, sizeof message) == 0) {
    self->cancel_all_owed = false;
  }
}

/* Learn the state that passes through, so that `report` knows what the engine was told. */
static void note_state(broker *self, const void *packet) {
  wire_state message;
  memcpy(&message, packet, sizeof(wire_header));
  if (message.header.type == WIRE_STATE) {
    memcpy(&message, packet, sizeof message);
    self->reported = (broker_state)message.state;
    self->backoff_ns = BACKOFF_FIRST_NS;
  }
}

static void process_poll(broker *self, int64_t mono_ns) {
  if (self->socket < 0) {
    if (mono_ns < self->next_try_mono_ns) {
      return;
    }
    try_connect(self, mono_ns);
    if (self->socket < 0) {
      return;
    }
  }
  pay_cancel_all(self);
  for (int i = 0; i < PACKETS_A_TURN && self->socket >= 0; i++) {
    uint64_t packet[PACKET_MAX / sizeof(uint64_t)];
    const ssize_t length = recv(self->socket, packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
      return;
    }
    if (length <= 0) {
      disconnect(self, mono_ns, length == 0 ? "connector closed its socket" : strerror(errno));
    } else if ((size_t)length > sizeof packet ||
               !wire_deliver(packet, (size_t)length, self->callbacks, self->user)) {
      self->callbacks->on_log(self->user, LOG_ERR,
                              "connector sent a malformed message; dropping the connection");
      disconnect(self, mono_ns, "connector sent a malformed message");
    } else {
      note_state(self, packet);
    }
  }
}

static int process_submit(broker *self, const broker_order *order) {
  const wire_submit message = {.header = header_of(WIRE_SUBMIT, sizeof message),
                               .client_id = order->client_id,
                               .price_e8 = order->price_e8,
                               .quantity_e8 = order->quantity_e8,
                               .instrument = order->instrument,
                               .side = order->side,
                               .tif = order->tif,
                               .zero = 0};
  return self->reported == BROKER_READY ? send_packet(self, &message, sizeof message) : -1;
}

static int process_cancel(broker *self, uint64_t client_id) {
  const wire_cancel message = {.header = header_of(WIRE_CANCEL, sizeof message), .client_id = client_id};
  return send_packet(self, &message, sizeof message);
}

static int process_cancel_all(broker *self) {
  self->cancel_all_owed = true; /* sent now, or as soon as there is a connection with room */
  pay_cancel_all(self);
  return 0;
}

static void process_destroy(broker *self) {
  if (self->socket >= 0) {
    (void)close(self->socket); /* tells the connector to cancel everything */
  }
  free(self);
}

static int process_check(const broker_config *config, char *error, size_t error_size) {
  (void)config;
  (void)error;
  (void)error_size;
  return 0; /* the connector checks its own configuration, in its own process */
}

broker *process_connector_create(const char *socket_path, const broker_config *config,
                                 const broker_callbacks *callbacks, void *user) {
  broker *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  self->address.sun_family = AF_UNIX;
  (void)snprintf(self->address.sun_path, sizeof self->address.sun_path, "%s", socket_path);
  self->callbacks = callbacks;
  self->user = user;
  self->instrument_count = config->instrument_count;
  self->socket = -1;
  self->reported = BROKER_REFUSED; /* nothing yet: whatever comes first is reported */
  self->backoff_ns = BACKOFF_FIRST_NS;
  return self;
}

const broker_ops *process_connector_ops(void) {
  static const broker_ops ops = {.abi = SLIPWAY_BROKER_ABI,
                                 .venue = "",
                                 .version = "process",
                                 .check = process_check,
                                 .create = NULL,
                                 .poll = process_poll,
                                 .submit = process_submit,
                                 .cancel = process_cancel,
                                 .cancel_all = process_cancel_all,
                                 .destroy = process_destroy};
  return &ops;
}
