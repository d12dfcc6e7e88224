/* A connector process may send anything: into the parser, and on into the booking of what it said. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker_wire.h"
#include "ledger.h"
#include "process_connector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ledger book;

static void text_ends(const char *text, size_t most) {
  if (strnlen(text, most) >= most) {
    abort();
  }
}

static void on_state(void *user, broker_state state, const char *reason) {
  (void)user;
  if (state > BROKER_REFUSED) {
    abort();
  }
  text_ends(reason, SLIPWAY_TEXT_MAX);
}

static void on_quote(void *user, const broker_quote *quote) {
  (void)user;
  (void)quote;
}

static void on_ack(void *user, uint64_t id, const char *venue_id) {
  (void)user;
  (void)id;
  text_ends(venue_id, SLIPWAY_VENUE_ID_MAX);
}

static void on_fill(void *user, const broker_fill *fill) {
  (void)user;
  (void)ledger_fill(&book, fill->side == BROKER_BUY, fill->price_e8, fill->quantity_e8, fill->fee_e8);
  (void)ledger_net_e8(&book, fill->price_e8);
}

static void on_cancel(void *user, uint64_t id, int64_t left_e8) {
  (void)user;
  (void)id;
  (void)left_e8;
}

static void on_reject(void *user, uint64_t id, int32_t code, const char *text) {
  (void)user;
  (void)id;
  (void)code;
  text_ends(text, SLIPWAY_TEXT_MAX);
}

static void on_orphan(void *user, const char *venue_id, uint16_t instrument) {
  (void)user;
  (void)instrument;
  text_ends(venue_id, SLIPWAY_VENUE_ID_MAX);
}

static void on_log(void *user, int level, const char *text) {
  (void)user;
  if (level < 0 || level > 7) {
    abort();
  }
  text_ends(text, SLIPWAY_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const broker_callbacks callbacks = {.on_state = on_state,
                                             .on_quote = on_quote,
                                             .on_ack = on_ack,
                                             .on_fill = on_fill,
                                             .on_cancel = on_cancel,
                                             .on_reject = on_reject,
                                             .on_orphan = on_orphan,
                                             .on_log = on_log};
  uint8_t packet[512];
  if (size < 2 || size + 6 > sizeof packet) {
    return 0;
  }
  /* Make the header agree more often than chance would: byte 0 chooses the type, the length is right. */
  static const uint16_t lengths[] = {sizeof(wire_state),  sizeof(wire_quote),    sizeof(wire_ack),
                                     sizeof(wire_fill),   sizeof(wire_canceled), sizeof(wire_reject),
                                     sizeof(wire_orphan), sizeof(wire_log)};
  wire_header header = {.type = (uint16_t)(WIRE_STATE + data[0] % 8), .length = 0, .zero = 0};
  header.length = lengths[data[0] % 8];
  memset(packet, data[1], sizeof packet);
  memcpy(packet, &header, sizeof header);
  memcpy(packet + sizeof header, data + 2, size - 2);
  (void)wire_deliver(packet, header.length, &callbacks, NULL);
  (void)wire_deliver(data, size, &callbacks, NULL);
  return 0;
}
