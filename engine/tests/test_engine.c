/* The order path and the halting rules, with a venue that does exactly what the test says. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "engine.h"

struct broker {
  int unused;
};

static const broker_callbacks *callbacks;
static void *user;
static struct broker the_broker;
static int submits, cancels, cancel_alls, submit_answer;
static broker_order last;

static int fake_check(const broker_config *about, char *error, size_t size) {
  (void)about;
  (void)error;
  (void)size;
  return 0;
}

static broker *fake_create(const broker_config *about, const broker_callbacks *to, void *whose, char *error,
                           size_t size) {
  (void)about;
  (void)error;
  (void)size;
  callbacks = to;
  user = whose;
  return &the_broker;
}

static void fake_poll(broker *self, int64_t now) {
  (void)self;
  (void)now;
}

static int fake_submit(broker *self, const broker_order *order) {
  (void)self;
  last = *order;
  submits++;
  return submit_answer;
}

static int fake_cancel(broker *self, uint64_t id) {
  (void)self;
  (void)id;
  cancels++;
  return 0;
}

static int fake_cancel_all(broker *self) {
  (void)self;
  cancel_alls++;
  return 0;
}

static void fake_destroy(broker *self) { (void)self; }

static const broker_ops ops = {.abi = SLIPWAY_BROKER_ABI,
                               .venue = "mock",
                               .version = "fake",
                               .check = fake_check,
                               .create = fake_create,
                               .poll = fake_poll,
                               .submit = fake_submit,
                               .cancel = fake_cancel,
                               .cancel_all = fake_cancel_all,
                               .destroy = fake_destroy};

static char directory[] = "/tmp/slipway-engine-XXXXXX";
static config about;
static limits bounds;
static char release[DIGEST_HEX];
static engine *self;
static venue *at;

static void path_in(char *path, size_t size, const char *name) {
  (void)snprintf(path, size, "%s/%s", directory, name);
}

static void start(int64_t messages) {
  static connector one;
  char text[2048];
  char error[512] = "";
  (void)snprintf(
      text, sizeof text,
      "{\"config_version\":1,\"mode\":\"simulated\",\"host\":\"h\",\"loop\":{\"policy\":\"paced\","
      "\"pace_us\":1,\"cpu\":null},\"paths\":{\"permit\":\"%s/permit\",\"limits\":\"%s/limits\","
      "\"latch\":\"%s/latch\",\"control_socket\":\"%s/control\"},\"metrics\":{\"address\":"
      "\"127.0.0.1\",\"port\":1},\"venues\":[{\"name\":\"mock\",\"connector\":{\"kind\":\"library\","
      "\"path\":\"x\"},\"settings\":{},\"instruments\":[{\"symbol\":\"X\",\"tick\":\"1\",\"lot\":\"1\"},"
      "{\"symbol\":\"Y\",\"tick\":\"1\",\"lot\":\"1\"}],\"strategy\":{\"name\":\"paper_quote\","
      "\"parameters\":{\"spread_bps\":1,\"quantity\":\"1\",\"requote_ms\":3600000,\"take_every\":0}}}]}",
      directory, directory, directory, directory);
  CHECK(config_parse(&about, "c", text, strlen(text), error, sizeof error));
  (void)snprintf(
      text, sizeof text,
      "{\"limits_version\":1,\"mode\":\"simulated\",\"total\":{\"venues\":1,\"max_messages_per_s\":1000,"
      "\"max_daily_loss\":\"1000\"},\"venues\":{\"mock\":{\"instruments\":[\"X\",\"Y\"],"
      "\"price_collar_bps\":1000,\"max_order_value\":\"100000\",\"max_order_quantity\":\"10\","
      "\"max_open_orders\":200,\"max_messages_per_s\":%" PRId64 ",\"max_position\":\"100\","
      "\"max_daily_loss\":\"100\"}}}",
      messages);
  CHECK(limits_parse(&bounds, "l", text, strlen(text), error, sizeof error));
  CHECK(limits_cover(&bounds, &about, "c", error, sizeof error));
  CHECK(digest_bytes("release", 7, release));
  one = (connector){.ops = &ops, .broker = NULL};
  const engine_options options = {.config = &about,
                                  .limits = &bounds,
                                  .release_sha256 = release,
                                  .credentials_directory = NULL,
                                  .connectors = &one};
  self = engine_create(&options, error, sizeof error);
  CHECK(self != NULL);
  at = &self->venues[0];
  submits = cancels = cancel_alls = submit_answer = 0;
}

static void finish(void) {
  engine_destroy(self);
  config_free(&about);
  char path[128];
  static const char *const names[] = {"permit", "latch"};
  for (size_t i = 0; i < 2; i++) {
    path_in(path, sizeof path, names[i]);
    (void)unlink(path);
  }
}

static void arm(void) {
  char path[128];
  char draft[128];
  path_in(path, sizeof path, "permit");
  path_in(draft, sizeof draft, "draft");
  FILE *out = fopen(draft, "w");
  CHECK(out != NULL);
  (void)fprintf(out,
                "A{\"release\":\"%s\",\"limits\":\"%s\",\"armed_by\":\"t\",\"armed_at_ns\":%" PRId64
                ",\"expires_at_ns\":%" PRId64 "}",
                release, bounds.sha256, clock_wall_ns(), clock_wall_ns() + 600 * NS_PER_S);
  CHECK(fclose(out) == 0 && chmod(draft, 0600) == 0 && rename(draft, path) == 0);
}

static void quote(uint16_t instrument, int64_t bid, int64_t ask) {
  const broker_quote one = {.bid_e8 = bid * SLIPWAY_SCALE,
                            .ask_e8 = ask * SLIPWAY_SCALE,
                            .received_mono_ns = clock_mono_ns(),
                            .instrument = instrument};
  callbacks->on_quote(user, &one);
}

static void turns(int count) {
  for (int i = 0; i < count; i++) {
    CHECK(engine_turn(self));
  }
}

/* Armed and ready, with the strategy's own first cycle behind it and nothing open. */
static void trade(int64_t messages) {
  start(messages);
  turns(1);
  callbacks->on_state(user, BROKER_READY, "");
  quote(0, 99, 101);
  quote(1, 99, 101);
  CHECK_EQ(self->state, ENGINE_DISARMED);
  arm();
  for (int i = 0; i < 1000000 && self->state != ENGINE_ACTIVE; i++) {
    turns(1);
  }
  CHECK_EQ(self->state, ENGINE_ACTIVE);
  turns(2);
  while (at->orders.open_count > 0) {
    callbacks->on_cancel(user, at->orders.slots[at->orders.open[0]].order.client_id, 0);
  }
  self->mono_ns += 2 * NS_PER_S; /* the second in which those were sent is over */
  submits = 0;
}

static broker_order order_of(int64_t price) {
  return (broker_order){.price_e8 = price * SLIPWAY_SCALE,
                        .quantity_e8 = SLIPWAY_SCALE,
                        .instrument = 0,
                        .side = BROKER_BUY,
                        .tif = BROKER_GTC};
}

static uint64_t send(int64_t price) {
  broker_order order = order_of(price);
  return engine_submit(at, &order, false);
}

static void nothing_without_permit(void) {
  start(100);
  callbacks->on_state(user, BROKER_READY, "");
  quote(0, 99, 101);
  turns(3);
  CHECK_EQ(send(100), 0);
  CHECK_EQ(at->view.refused[RISK_PERMIT], 1);
  CHECK_EQ(submits, 0);
  finish();
}

static void permit_is_asked_at_the_order_itself(void) {
  trade(100);
  CHECK(send(100) != 0);
  char path[128];
  path_in(path, sizeof path, "permit");
  CHECK(unlink(path) == 0);
  CHECK_EQ(send(100), 0); /* no turn of the loop was needed to see it */
  CHECK_EQ(submits, 1);
  CHECK_EQ(at->view.refused[RISK_PERMIT], 1);
  turns(1);
  CHECK_EQ(cancel_alls, 1);
  CHECK_EQ(self->state, ENGINE_HALTED);
  callbacks->on_cancel(user, last.client_id, 0);
  turns(1);
  CHECK_EQ(self->state, ENGINE_DISARMED);
  finish();
}

static void message_limit_and_runaway(void) {
  trade(10);
  for (int i = 0; i < 10; i++) {
    CHECK(send(100) != 0);
  }
  CHECK_EQ(send(100), 0); /* one over */
  CHECK_EQ(at->view.refused[RISK_MESSAGE_RATE], 1);
  CHECK_EQ(submits, 10);
  CHECK(!self->latched);
  engine_cancel(at, last.client_id); /* cancels are never refused */
  CHECK_EQ(cancels, 1);
  for (int i = 0; i < 9; i++) {
    CHECK_EQ(send(100), 0);
  }
  CHECK(self->latched);
  CHECK_EQ(cancel_alls, 1);
  CHECK_EQ(submits, 10);
  turns(1);
  CHECK_EQ(self->state, ENGINE_HALTED);
  CHECK_HAS(self->reason, "runaway");
  arm();
  turns(100);
  CHECK_EQ(self->state, ENGINE_HALTED);
  CHECK_EQ(send(100), 0);

  latch_housekeeping(self->shared);
  char path[128];
  path_in(path, sizeof path, "latch");
  CHECK(access(path, F_OK) == 0);
  CHECK(unlink(path) == 0);
  latch_housekeeping(self->shared);
  turns(2);
  CHECK(!self->latched);
  CHECK(!self->may_trade); /* lifted is not armed */
  finish();
}

static void failed_send_leaves_no_order(void) {
  trade(100);
  const uint64_t before = at->view.sent;
  submit_answer = -1;
  CHECK_EQ(send(100), 0);
  CHECK_EQ(at->orders.open_count, 0);
  CHECK_EQ(at->view.submit_failed, 1);
  CHECK_EQ(at->view.sent, before);
  finish();
}

static void loss_reduces_then_halts(void) {
  trade(100);
  const uint64_t id = send(100);
  callbacks->on_ack(user, id, "v");
  const broker_fill fill = {.client_id = id,
                            .price_e8 = 100 * SLIPWAY_SCALE,
                            .quantity_e8 = SLIPWAY_SCALE,
                            .fee_e8 = 75 * SLIPWAY_SCALE,
                            .side = BROKER_BUY,
                            .final = 1};
  callbacks->on_fill(user, &fill);
  turns(1);
  CHECK_EQ(self->state, ENGINE_ACTIVE);
  quote(0, 94, 96); /* lost 75 + 5 of 100 */
  turns(1);
  CHECK_EQ(self->state, ENGINE_REDUCING);
  CHECK_EQ(send(95), 0);
  CHECK_EQ(at->view.refused[RISK_REDUCE_ONLY], 1);
  quote(0, 74, 76);
  turns(1);
  CHECK_EQ(self->state, ENGINE_HALTED);
  CHECK_HAS(self->reason, "daily loss");
  finish();
}

static void late_and_foreign_reports(void) {
  trade(100);
  const uint64_t id = send(100);
  callbacks->on_cancel(user, id, SLIPWAY_SCALE);
  const broker_fill late = {.client_id = id,
                            .price_e8 = 100 * SLIPWAY_SCALE,
                            .quantity_e8 = SLIPWAY_SCALE,
                            .side = BROKER_BUY,
                            .final = 1};
  callbacks->on_fill(user, &late); /* crossed the cancel on its way: booked */
  CHECK_EQ(at->ledgers[0].position_e8, SLIPWAY_SCALE);
  CHECK_EQ(at->orders.open_count, 0);
  callbacks->on_ack(user, 12345, "v");
  callbacks->on_cancel(user, 12345, 0);
  callbacks->on_reject(user, 12345, -1, "who?");
  CHECK_EQ(at->view.unknown_events, 3);
  CHECK(!self->latched);
  const broker_fill foreign = {
      .client_id = 12345, .price_e8 = 1, .quantity_e8 = 1, .side = BROKER_BUY, .final = 1};
  callbacks->on_fill(user, &foreign); /* of which instrument? */
  CHECK(self->latched);
  finish();
}

static void ids_rise_over_lives(void) {
  trade(100);
  const uint64_t first = send(100);
  finish();
  trade(100);
  CHECK(send(100) > first);
  finish();
}

static void stop_waits_for_the_venue(void) {
  trade(100);
  const uint64_t id = send(100);
  engine_stop(self);
  CHECK_EQ(cancel_alls, 1);
  CHECK(engine_turn(self));
  callbacks->on_cancel(user, id, 0);
  CHECK(!engine_turn(self));
  finish();
}

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  nothing_without_permit();
  permit_is_asked_at_the_order_itself();
  message_limit_and_runaway();
  failed_send_leaves_no_order();
  loss_reduces_then_halts();
  late_and_foreign_reports();
  ids_rise_over_lives();
  stop_waits_for_the_venue();
  CHECK(rmdir(directory) == 0);
  return 0;
}
