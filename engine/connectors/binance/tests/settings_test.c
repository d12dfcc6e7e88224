/* Settings, instruments and credentials: each error names the key or file, what was found, what is allowed.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.h"

static char error[512];
static char document[2048];

static const char *make(const char *rest, const char *ws_api, const char *streams, const char *more) {
  (void)snprintf(
      document, sizeof document,
      "{\"endpoints\":{\"rest\":\"%s\",\"ws_api\":\"%s\",\"streams\":\"%s\"},\"recv_window_ms\":1000,"
      "\"rollover_hours\":23,\"clock_bound_ms\":250,\"key_type\":\"ed25519\"%s}",
      rest, ws_api, streams, more);
  return document;
}

static int read_as(const char *mode, const char *json, binance_settings *out) {
  const broker_config config = {.venue = "binance", .mode = mode, .settings_json = json};
  error[0] = '\0';
  return settings_read(out, &config, error, sizeof error);
}

static void expect(const char *mode, const char *json, const char *words) {
  binance_settings out;
  if (read_as(mode, json, &out) != -1) {
    fail_msg("taken, and should say '%s'", words);
  }
  if (strstr(error, words) == NULL) {
    fail_msg("'%s' does not say '%s'", error, words);
  }
}

static void good(void **state) {
  (void)state;
  binance_settings out;
  assert_int_equal(read_as("simulated",
                           make("https://api.binance.lab/", "wss://ws-api.binance.lab/ws-api/v3",
                                "wss://stream.binance.lab:9443", ""),
                           &out),
                   0);
  assert_string_equal(out.rest.host, "api.binance.lab");
  assert_string_equal(out.rest.path, "");
  assert_int_equal(out.rest.port, 443);
  assert_string_equal(out.ws_api.path, "/ws-api/v3");
  assert_int_equal(out.streams.port, 9443);
  assert_true(out.streams.tls);
  assert_int_equal(out.key_type, SIGNER_ED25519);
  assert_int_equal(
      read_as("test",
              make("https://testnet.binance.vision/api", "wss://ws-api.testnet.binance.vision/ws-api/v3",
                   "wss://stream.testnet.binance.vision/ws", ""),
              &out),
      0);
  assert_string_equal(out.rest.path, "");
  assert_string_equal(out.streams.path, "");
  assert_int_equal(read_as("live",
                           make("https://api4.binance.com", "wss://ws-api.binance.com:443/ws-api/v3",
                                "wss://data-stream.binance.vision", ""),
                           &out),
                   0);
  assert_int_equal(
      read_as("simulated",
              make("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws-api/v3", "ws://127.0.0.1:8080", ""),
              &out),
      0);
  assert_false(out.rest.tls);
}

#define LAB_WS "wss://ws-api.binance.lab/ws-api/v3"
#define LAB_STREAM "wss://stream.binance.lab:9443"

static void modes_never_meet(void **state) {
  (void)state;
  static const char *const live[] = {"https://api.binance.com", "https://API.BINANCE.COM",
                                     "https://api1.binance.com", "https://data-api.binance.vision",
                                     "https://api.binance.us"};
  for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
    expect("simulated", make(live[i], LAB_WS, LAB_STREAM, ""),
           "mode simulated allows only a simulator's host");
    expect("test", make(live[i], LAB_WS, LAB_STREAM, ""), "endpoints.rest: host");
  }
  expect("live", make("https://testnet.binance.vision/api", LAB_WS, LAB_STREAM, ""),
         "not a live Binance host");
  expect("live", make("https://demo-api.binance.com", LAB_WS, LAB_STREAM, ""), "not a live Binance host");
  expect("live", make("https://api.binance.lab", LAB_WS, LAB_STREAM, ""), "not a live Binance host");
  expect("live", make("https://api.binance.com.evil.example", LAB_WS, LAB_STREAM, ""),
         "not a live Binance host");
  expect("live", make("https://xbinance.com", LAB_WS, LAB_STREAM, ""), "not a live Binance host");
  expect("live", make("https://api.binance.com", "wss://ws-api.testnet.binance.vision", LAB_STREAM, ""),
         "endpoints.ws_api: host");
  expect("test",
         make("https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision",
              "wss://stream.binance.com:9443", ""),
         "endpoints.streams: host stream.binance.com");
  expect("test", make("http://testnet.binance.vision", LAB_WS, LAB_STREAM, ""), "is not encrypted");
  expect("live", make("https://api.binance.com", "ws://ws-api.binance.com", LAB_STREAM, ""),
         "is not encrypted");
  expect("paper", make("https://api.binance.lab", LAB_WS, LAB_STREAM, ""), "mode: 'paper' found");
  expect(NULL, make("https://api.binance.lab", LAB_WS, LAB_STREAM, ""), "mode: '' found");
}

static void bad_urls(void **state) {
  (void)state;
  static const char *const urls[][2] = {{"api.binance.lab", "allowed https://"},
                                        {"ftp://api.binance.lab", "allowed https://"},
                                        {"wss://api.binance.lab", "allowed https://"},
                                        {"https://", "no host"},
                                        {"https://:443", "no host"},
                                        {"https://a b", "host 'a b'"},
                                        {"https://user@host", "host 'user@host'"},
                                        {"https://host:0", "port '0'"},
                                        {"https://host:65536", "port '65536'"},
                                        {"https://host:", "port ''"},
                                        {"https://host:-1", "port '-1'"},
                                        {"https://host:44x", "port '44x'"},
                                        {"https://host/a?b", "path '/a?b'"}};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    expect("simulated", make(urls[i][0], LAB_WS, LAB_STREAM, ""), urls[i][1]);
    expect("simulated", make(urls[i][0], LAB_WS, LAB_STREAM, ""), "endpoints.rest: ");
  }
}

static void the_schema_is_closed(void **state) {
  (void)state;
  const char *lab = "https://api.binance.lab";
  expect("simulated", NULL, "settings: missing");
  expect("simulated", "", "not JSON");
  expect("simulated", "{", "not JSON");
  expect("simulated", "[]", "an array found");
  expect("simulated", "{}", "endpoints: missing");
  expect("simulated", "{\"endpoints\":3}", "endpoints: not an object");
  expect("simulated", "{\"endpoints\":{}}", "endpoints.rest: missing");
  expect("simulated", "{\"endpoints\":{\"rest\":1}}", "endpoints.rest: an integer found");
  expect("simulated", "{\"endpoints\":{\"wsapi\":\"x\"}}",
         "endpoints.wsapi: unknown key; allowed: rest, ws_api");
  expect("simulated", make(lab, LAB_WS, LAB_STREAM, ",\"recvWindow\":5"),
         "recvWindow: unknown key; allowed: ");
  expect("simulated", make(lab, LAB_WS, LAB_STREAM, ",\"recv_window_ms\":5"), "not JSON"); /* twice */
}

static void values(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"\"recv_window_ms\":0", "recv_window_ms: 0 found, allowed 1 to 60000"},
      {"\"recv_window_ms\":60001", "allowed 1 to 60000"},
      {"\"recv_window_ms\":\"5\"", "a string found"},
      {"\"recv_window_ms\":1.5", "a fraction found"},
      {"\"rollover_hours\":24", "rollover_hours: 24 found, allowed 1 to 23"},
      {"\"clock_bound_ms\":1000", "clock_bound_ms: 1000 found"},
      {"\"key_type\":\"rsa\"", "key_type: 'rsa' found, allowed ed25519 or hmac"},
      {"\"key_type\":null", "key_type: null found"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char text[2048];
    const char *key_end = strchr(bad[i][0], ':');
    const char *whole = make("https://api.binance.lab", LAB_WS, LAB_STREAM, "");
    char key[64];
    (void)snprintf(key, sizeof key, "%.*s", (int)(key_end - bad[i][0]) + 1, bad[i][0]);
    const char *at = strstr(whole, key);
    assert_non_null(at);
    const size_t length = strcspn(at, ",}");
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, bad[i][0], at + length);
    expect("simulated", text, bad[i][1]);
  }
  expect("simulated",
         "{\"endpoints\":{\"rest\":\"https://a\",\"ws_api\":\"wss://a\",\"streams\":\"wss://a\"},"
         "\"recv_window_ms\":100,\"rollover_hours\":1,\"clock_bound_ms\":101,\"key_type\":\"hmac\"}",
         "allowed at most recv_window_ms (100)");
}

static void instruments(void **state) {
  (void)state;
  broker_instrument items[INSTRUMENT_MAX + 1] = {0};
  broker_config config = {.mode = "simulated", .instruments = items, .instrument_count = 0};
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  config.instrument_count = INSTRUMENT_MAX + 1;
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  config.instrument_count = 1;
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  assert_non_null(strstr(error, "instruments[0].symbol: 0 characters"));
  items[0].tick_e8 = items[0].lot_e8 = 1;
  strcpy(items[0].symbol, "BTC\"USDT");
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  assert_non_null(strstr(error, "character 4"));
  strcpy(items[0].symbol, "\xe8\xbf\x99\xe6\x98\xaf"
                          "456"); /* such symbols exist on the testnet */
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), 0);
  items[0].lot_e8 = 0;
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  items[0].lot_e8 = 1;
  items[1] = items[0];
  config.instrument_count = 2;
  assert_int_equal(settings_check_instruments(&config, error, sizeof error), -1);
  assert_non_null(strstr(error, "listed twice"));
}

static char directory[64];

static void put(const char *name, const char *text) {
  char path[128];
  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  (void)fputs(text, file);
  (void)fclose(file);
}

static void drop(const char *name) {
  char path[128];
  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  (void)unlink(path);
}

static void expect_credentials(const binance_settings *from, const char *words) {
  binance_credentials out;
  assert_int_equal(credentials_read(&out, from, directory, error, sizeof error), -1);
  if (strstr(error, words) == NULL) {
    fail_msg("'%s' does not say '%s'", error, words);
  }
}

static void credential_files(void **state) {
  (void)state;
  strcpy(directory, "/tmp/binance_settings_XXXXXX");
  assert_non_null(mkdtemp(directory));
  binance_settings hmac = {.key_type = SIGNER_HMAC};
  const binance_settings ed25519 = {.key_type = SIGNER_ED25519};
  binance_credentials out;
  expect_credentials(&hmac, "credential binance_api_key: ");
  expect_credentials(&hmac, "No such file");
  put("binance_api_key", "");
  expect_credentials(&hmac, "is empty");
  put("binance_api_key", " \n");
  expect_credentials(&hmac, "is empty");
  put("binance_api_key", "abc def\n");
  expect_credentials(&hmac, "character 4 is not allowed");
  put("binance_api_key", "abc\n");
  expect_credentials(&hmac, "credential binance_api_secret: ");
  expect_credentials(&ed25519, "credential binance_private_key: ");
  put("binance_api_secret", "TOPSECRETVALUE\n");
  put("binance_private_key", "TOPSECRETVALUE\n");
  expect_credentials(&ed25519, "PKCS#8");
  assert_null(strstr(error, "TOPSECRETVALUE"));
  assert_int_equal(credentials_read(&out, &hmac, directory, error, sizeof error), 0);
  assert_string_equal(out.api_key, "abc");
  assert_int_equal(signer_type(out.signer), SIGNER_HMAC);
  credentials_clear(&out);
  assert_null(out.signer);
  assert_int_equal(out.api_key[0], 0);
  assert_int_equal(credentials_read(&out, &hmac, NULL, error, sizeof error), -1);
  assert_non_null(strstr(error, "CREDENTIALS_DIRECTORY"));
  drop("binance_api_key");
  drop("binance_api_secret");
  drop("binance_private_key");
  assert_int_equal(rmdir(directory), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good),
      cmocka_unit_test(modes_never_meet),
      cmocka_unit_test(bad_urls),
      cmocka_unit_test(values),
      cmocka_unit_test(the_schema_is_closed),
      cmocka_unit_test(instruments),
      cmocka_unit_test(credential_files),
  };
  return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
