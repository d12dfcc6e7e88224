/* ledger.c: see ledger.h. */
#include "ledger.h"

#include "broker_interface.h"

#define AMOUNT_MAX INT64_C(100000000000000000) /* 1e9 units */

static int64_t clamp(wide_int value) {
  if (value > INT64_MAX) {
    return INT64_MAX;
  }
  return value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

bool ledger_fill(ledger *self, bool buy, int64_t price_e8, int64_t quantity_e8, int64_t fee_e8) {
  if (price_e8 <= 0 || price_e8 > AMOUNT_MAX || quantity_e8 <= 0 || quantity_e8 > AMOUNT_MAX ||
      fee_e8 > AMOUNT_MAX || fee_e8 < -AMOUNT_MAX) {
    return false;
  }
  ledger next = *self;
  const int64_t sign = buy ? 1 : -1;
  if (__builtin_add_overflow(next.position_e8, sign * quantity_e8, &next.position_e8) ||
      next.position_e8 > AMOUNT_MAX * 10 || next.position_e8 < -AMOUNT_MAX * 10) {
    return false;
  }
  int64_t closing = 0; /* how much of the fill reduces the position we had */
  if ((self->position_e8 > 0 && !buy) || (self->position_e8 < 0 && buy)) {
    const int64_t had = self->position_e8 < 0 ? -self->position_e8 : self->position_e8;
    closing = quantity_e8 < had ? quantity_e8 : had;
    /* cost * closing / had without leaving 128 bits: had and closing are below 2^61 */
    const wide_int part = self->cost_e16 / had * closing + self->cost_e16 % had * closing / had;
    const wide_int proceeds = (wide_int)price_e8 * closing * -sign;
    next.cost_e16 -= part;
    if (__builtin_add_overflow(next.realised_e16, proceeds - part, &next.realised_e16)) {
      return false;
    }
  }
  next.cost_e16 += (wide_int)price_e8 * (quantity_e8 - closing) * sign;
  int64_t *side = fee_e8 >= 0 ? &next.fees_paid_e8 : &next.rebates_e8;
  if (__builtin_add_overflow(*side, fee_e8 >= 0 ? fee_e8 : -fee_e8, side)) {
    return false;
  }
  *self = next;
  return true;
}

int64_t ledger_realised_e8(const ledger *self) { return clamp(self->realised_e16 / SLIPWAY_SCALE); }

int64_t ledger_unrealised_e8(const ledger *self, int64_t mid_e8) {
  if (self->position_e8 == 0 || mid_e8 <= 0) {
    return 0;
  }
  return clamp(((wide_int)self->position_e8 * mid_e8 - self->cost_e16) / SLIPWAY_SCALE);
}

int64_t ledger_fees_e8(const ledger *self) { return clamp((wide_int)self->fees_paid_e8 - self->rebates_e8); }

int64_t ledger_net_e8(const ledger *self, int64_t mid_e8) {
  return clamp((wide_int)ledger_realised_e8(self) + ledger_unrealised_e8(self, mid_e8) -
               ledger_fees_e8(self));
}
