/* ledger.h: position and profit of one instrument, by average cost, in integers.
 *
 * net = realised (average cost) + unrealised (at mid) - fees. Costs are kept exactly in 1e-16 units
 * (price times quantity), and rounded only when they are read.
 */
#ifndef SLIPWAY_LEDGER_H
#define SLIPWAY_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef __int128 wide_int;

/* a + b, held within int64_t. */
static inline int64_t add_held(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    return a < 0 ? INT64_MIN : INT64_MAX;
  }
  return sum;
}

typedef struct ledger {
  int64_t position_e8;   /* below 0: short */
  wide_int cost_e16;     /* of the open position, signed as the position */
  wide_int realised_e16; /* without fees */
  int64_t fees_paid_e8;
  int64_t rebates_e8;
} ledger;

/* Book a fill. False, with nothing booked, when it is impossible: a price or quantity not above 0 or
 * beyond 1e9 units, or a sum that does not fit. `buy` is the side of our order. */
bool ledger_fill(ledger *self, bool buy, int64_t price_e8, int64_t quantity_e8, int64_t fee_e8);

int64_t ledger_realised_e8(const ledger *self);
/* At this mid; 0 while the position is 0 or the mid unknown (not above 0). */
int64_t ledger_unrealised_e8(const ledger *self, int64_t mid_e8);
int64_t ledger_fees_e8(const ledger *self);
/* realised + unrealised - fees, held within int64_t. */
int64_t ledger_net_e8(const ledger *self, int64_t mid_e8);

#endif
