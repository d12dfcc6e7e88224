#include "check.h"
#include "orders.h"

static order_table table;

static broker_order order(broker_side side, int64_t quantity) {
  return (broker_order){
      .price_e8 = 100, .quantity_e8 = quantity, .instrument = 1, .side = (uint8_t)side, .tif = BROKER_GTC};
}

int main(void) {
  orders_init(&table);
  uint64_t next = 5000;
  broker_order first = order(BROKER_BUY, 10);
  order_entry *entry = orders_enter(&table, &first, &next, 1, 0);
  CHECK(entry != NULL);
  CHECK_EQ(first.client_id, 5000);
  CHECK_EQ(next, 5001);
  CHECK(orders_find(&table, 5000) == entry);
  CHECK(orders_find(&table, 5001) == NULL);
  CHECK(orders_find(&table, 5000 + ORDER_SLOTS) == NULL);
  CHECK(orders_find(&table, 0) == NULL);
  CHECK_EQ(table.open_buy_e8[1], 10);

  orders_reduce(&table, entry, 4);
  CHECK_EQ(table.open_buy_e8[1], 6);
  orders_reduce(&table, entry, 100); /* the venue filled more than it was asked: never below nothing */
  CHECK_EQ(table.open_buy_e8[1], 0);
  CHECK_EQ(entry->left_e8, 0);
  orders_close(&table, entry);
  orders_close(&table, entry);
  CHECK_EQ(table.open_count, 0);
  CHECK(orders_find(&table, 5000) == entry); /* a late fill still finds it */
  CHECK(!order_is_open(entry));

  /* An order that stays open keeps its slot: ids that would share it are skipped. */
  broker_order stays = order(BROKER_SELL, 3);
  next = 7;
  CHECK(orders_enter(&table, &stays, &next, 1, 0) != NULL);
  next = 7 + ORDER_SLOTS;
  broker_order other = order(BROKER_SELL, 3);
  CHECK(orders_enter(&table, &other, &next, 1, 0) != NULL);
  CHECK_EQ(other.client_id, 8 + ORDER_SLOTS);
  CHECK(order_is_open(orders_find(&table, 7)));
  CHECK_EQ(table.open_sell_e8[1], 6);

  while (table.open_count < OPEN_ORDERS_MAX) {
    broker_order more = order(BROKER_BUY, 1);
    CHECK(orders_enter(&table, &more, &next, 1, 0) != NULL);
  }
  broker_order over = order(BROKER_BUY, 1);
  CHECK(orders_enter(&table, &over, &next, 1, 0) == NULL);
  /* Close from the middle, the front and the back; nothing is lost or doubled. */
  for (int i = 0; i < OPEN_ORDERS_MAX; i++) {
    orders_close(&table, &table.slots[table.open[(i * 7) % table.open_count]]);
  }
  CHECK_EQ(table.open_count, 0);
  CHECK_EQ(table.open_buy_e8[1], 0);
  CHECK_EQ(table.open_sell_e8[1], 0);

  broker_order foreign = order(BROKER_BUY, 1);
  foreign.instrument = INSTRUMENTS_MAX;
  CHECK(orders_enter(&table, &foreign, &next, 1, 0) == NULL);
  return 0;
}
