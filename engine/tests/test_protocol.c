/* Requests of the control socket and the metrics port, and messages of a process connector. */
#include "broker_wire.h"
#include "check.h"
#include "control_protocol.h"
#include "process_connector.h"

static int calls;
static char heard[SLIPWAY_TEXT_MAX];

static void on_state(void *user, broker_state state, const char *reason) {
  (void)user;
  CHECK(state <= BROKER_REFUSED);
  calls++;
  (void)snprintf(heard, sizeof heard, "%s", reason);
}

static void on_log(void *user, int level, const char *text) {
  (void)user;
  (void)level;
  calls++;
  (void)snprintf(heard, sizeof heard, "%s", text);
}

static const broker_callbacks callbacks = {.on_state = on_state, .on_log = on_log};

static void wire(void) {
  wire_state message = {.header = {.type = WIRE_STATE, .length = sizeof message}, .state = BROKER_READY};
  memset(message.reason, 'x', sizeof message.reason); /* no NUL anywhere */
  CHECK(wire_deliver(&message, sizeof message, &callbacks, NULL));
  CHECK_EQ(calls, 1);
  CHECK_EQ(strlen(heard), SLIPWAY_TEXT_MAX - 1);
  CHECK(!wire_deliver(&message, sizeof message - 1, &callbacks, NULL));
  CHECK(!wire_deliver(&message, sizeof(wire_header) - 1, &callbacks, NULL));
  message.header.length++;
  CHECK(!wire_deliver(&message, sizeof message, &callbacks, NULL));
  message.header.length--;
  message.state = 4;
  CHECK(!wire_deliver(&message, sizeof message, &callbacks, NULL));
  message.header.type = WIRE_SUBMIT; /* ours to send, not to receive */
  CHECK(!wire_deliver(&message, sizeof message, &callbacks, NULL));
  CHECK_EQ(calls, 1);
}

static void commands(void) {
  control_command command;
  char error[256];
  const char *kill = "{\"cmd\":\"kill\",\"reason\":\"drill\"}";
  CHECK(control_parse(kill, strlen(kill), &command, error, sizeof error));
  CHECK_EQ(command.verb, CONTROL_KILL);
  CHECK(strcmp(command.reason, "drill") == 0);
  const char *status = "{\"cmd\":\"status\"}\r";
  CHECK(control_parse(status, strlen(status), &command, error, sizeof error));
  CHECK_EQ(command.verb, CONTROL_STATUS);
  CHECK(command.reason[0] == '\0');
  CHECK(!control_parse("{\"cmd\":\"kill\",\"cmd\":\"kill\"}", 27, &command, error, sizeof error));
  CHECK_HAS(error, "duplicate");
}

static http_request http(const char *text) { return http_parse(text, strlen(text)); }

int main(void) {
  wire();
  commands();
  CHECK_EQ(http("GET /metrics HTTP/1.1\r\n"), HTTP_INCOMPLETE);
  CHECK_EQ(http("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), HTTP_METRICS);
  CHECK_EQ(http("GET /metrics HTTP/1.0\n\n"), HTTP_METRICS);
  CHECK_EQ(http("GET /metrics?name=x HTTP/1.1\r\n\r\n"), HTTP_METRICS);
  CHECK_EQ(http("GET /metricsx HTTP/1.1\r\n\r\n"), HTTP_NOT_FOUND);
  CHECK_EQ(http("GET  HTTP/1.1\r\n\r\n"), HTTP_BAD);
  CHECK_EQ(http("HEAD /metrics HTTP/1.1\r\n\r\n"), HTTP_NOT_ALLOWED);
  CHECK_EQ(http("\n\n"), HTTP_BAD);
  CHECK_EQ(http("\r\n\r\n"), HTTP_BAD);
  CHECK_EQ(http(" HTTP/1.\n\n"), HTTP_NOT_ALLOWED);
  return 0;
}
