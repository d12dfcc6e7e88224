/* settings.c: see settings.h. jansson is used here only: this text is the operator's, not the network's. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <openssl/crypto.h>

#define NS_PER_HOUR (INT64_C(3600) * 1000000000)
#define CREDENTIAL_FILE_MAX 4096
#define PATH_LENGTH_MAX 1024

typedef enum host_kind { HOST_OTHER, HOST_LIVE, HOST_TEST } host_kind;

typedef struct failure {
  char *text;
  size_t size;
} failure;

#define FAIL(f, ...) ((void)snprintf((f)->text, (f)->size, __VA_ARGS__), -1)

static bool ends_with(const char *text, const char *suffix) {
  const size_t length = strlen(text);
  const size_t tail = strlen(suffix);
  return length >= tail && strcasecmp(text + length - tail, suffix) == 0;
}

static bool domain_is(const char *host, const char *domain) {
  const size_t length = strlen(host);
  const size_t tail = strlen(domain);
  return strcasecmp(host, domain) == 0 ||
         (length > tail && ends_with(host, domain) && host[length - tail - 1] == '.');
}

/* binance.com holds the live hosts and, under names that start with demo-, the demo ones; binance.vision
 * holds the testnet and two live hosts that serve market data only. */
static host_kind classify(const char *host) {
  if (domain_is(host, "testnet.binance.vision") || strcasecmp(host, "api1.testnet.binance.vision") == 0) {
    return HOST_TEST;
  }
  if (domain_is(host, "binance.com")) {
    return strncasecmp(host, "demo-", 5) == 0 ? HOST_TEST : HOST_LIVE;
  }
  if (domain_is(host, "binance.vision") || domain_is(host, "binance.us")) {
    return HOST_LIVE;
  }
  return HOST_OTHER;
}

static int check_mode(const char *key, const char *host, const char *mode, const failure *fail) {
  const host_kind kind = classify(host);
  if (strcmp(mode, "live") == 0 && kind != HOST_LIVE) {
    return FAIL(fail,
                "%s: host %s is not a live Binance host; allowed in mode live: hosts of binance.com "
                "(not demo-*), data-*.binance.vision",
                key, host);
  }
  if (strcmp(mode, "test") == 0 && kind != HOST_TEST) {
    return FAIL(fail,
                "%s: host %s is not a Binance test host; allowed in mode test: hosts of "
                "testnet.binance.vision, demo-*.binance.com",
                key, host);
  }
  if (strcmp(mode, "simulated") == 0 && kind != HOST_OTHER) {
    return FAIL(fail, "%s: host %s belongs to Binance; mode simulated allows only a simulator's host", key,
                host);
  }
  return 0;
}

static bool host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static int parse_port(const char *key, const char *text, uint16_t *port, const failure *fail) {
  char *end = NULL;
  errno = 0;
  const long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || text[0] < '0' || text[0] > '9' || value < 1 ||
      value > 65535) {
    return FAIL(fail, "%s: port '%s' found, allowed 1 to 65535", key, text);
  }
  *port = (uint16_t)value;
  return 0;
}

static int parse_endpoint(endpoint *out, const char *key, const char *url, const char *plain,
                          const char *secure, const char *mode, const failure *fail) {
  const char *separator = strstr(url, "://");
  const size_t scheme = separator == NULL ? 0 : (size_t)(separator - url);
  if (scheme == strlen(secure) && strncmp(url, secure, scheme) == 0) {
    out->tls = true;
  } else if (scheme == strlen(plain) && strncmp(url, plain, scheme) == 0) {
    if (strcmp(mode, "simulated") != 0) {
      return FAIL(fail, "%s: '%s' is not encrypted; mode %s allows only %s://", key, url, mode, secure);
    }
    out->tls = false;
  } else {
    return FAIL(fail, "%s: '%s' found, allowed %s://host[:port][/path]%s", key, url, secure,
                strcmp(mode, "simulated") == 0 ? " (mode simulated: also unencrypted)" : "");
  }
  const char *authority = separator + 3;
  const size_t authority_length = strcspn(authority, "/");
  char name[ENDPOINT_HOST_MAX];
  if (authority_length == 0 || authority_length >= sizeof name) {
    return FAIL(fail, "%s: '%s' has no host, or one longer than %d characters", key, url,
                ENDPOINT_HOST_MAX - 1);
  }
  memcpy(name, authority, authority_length);
  name[authority_length] = '\0';
  out->port = out->tls ? 443 : 80;
  char *colon = strchr(name, ':');
  if (colon != NULL) {
    if (parse_port(key, colon + 1, &out->port, fail) != 0) {
      return -1;
    }
    *colon = '\0';
  }
  for (const char *c = name; *c != '\0'; c++) {
    if (!host_character(*c)) {
      return FAIL(fail, "%s: host '%s' found, allowed letters, digits, '-' and '.'", key, name);
    }
  }
  if (name[0] == '\0') {
    return FAIL(fail, "%s: '%s' has no host", key, url);
  }
  memcpy(out->host, name, sizeof name);
  const char *path = authority + authority_length;
  size_t path_length = strlen(path);
  while (path_length > 0 && path[path_length - 1] == '/') {
    path_length--;
  }
  if (path_length >= sizeof out->path || strcspn(path, "?#\" \\\r\n\t") < path_length) {
    return FAIL(fail, "%s: path '%s' found, allowed one without query, shorter than %d characters", key, path,
                ENDPOINT_PATH_MAX);
  }
  memcpy(out->path, path, path_length);
  out->path[path_length] = '\0';
  return check_mode(key, out->host, mode, fail);
}

/* Binance's documents give some bases with a part that we add ourselves. */
static void drop_suffix(endpoint *out, const char *suffix) {
  if (ends_with(out->path, suffix)) {
    out->path[strlen(out->path) - strlen(suffix)] = '\0';
  }
}

static const char *json_kind(const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "an array";
  case JSON_STRING:
    return "a string";
  case JSON_INTEGER:
    return "an integer";
  case JSON_REAL:
    return "a fraction";
  case JSON_TRUE:
  case JSON_FALSE:
    return "a boolean";
  case JSON_NULL:
    break;
  }
  return "null";
}

static int closed(const json_t *object, const char *prefix, const char *const *allowed, const failure *fail) {
  const char *key = NULL;
  json_t *value = NULL;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    bool known = false;
    char list[256] = "";
    for (const char *const *name = allowed; *name != NULL; name++) {
      known = known || strcmp(key, *name) == 0;
      const size_t used = strlen(list);
      (void)snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ", *name);
    }
    if (!known) {
      return FAIL(fail, "%s%s: unknown key; allowed: %s", prefix, key, list);
    }
  }
  return 0;
}

static int integer(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *out,
                   const failure *fail) {
  const json_t *value = json_object_get(object, key);
  if (value == NULL) {
    return FAIL(fail, "%s: missing; allowed %lld to %lld", key, (long long)low, (long long)high);
  }
  if (!json_is_integer(value)) {
    return FAIL(fail, "%s: %s found, allowed an integer %lld to %lld", key, json_kind(value), (long long)low,
                (long long)high);
  }
  *out = json_integer_value(value);
  if (*out < low || *out > high) {
    return FAIL(fail, "%s: %lld found, allowed %lld to %lld", key, (long long)*out, (long long)low,
                (long long)high);
  }
  return 0;
}

static const char *string(const json_t *object, const char *shown, const char *key, const char *allowed,
                          const failure *fail) {
  const json_t *value = json_object_get(object, key);
  if (value == NULL) {
    (void)FAIL(fail, "%s: missing; allowed %s", shown, allowed);
    return NULL;
  }
  if (!json_is_string(value)) {
    (void)FAIL(fail, "%s: %s found, allowed %s", shown, json_kind(value), allowed);
    return NULL;
  }
  return json_string_value(value);
}

static int read_endpoints(binance_settings *out, const json_t *root, const char *mode, const failure *fail) {
  static const char *const keys[] = {"rest", "ws_api", "streams", NULL};
  const json_t *endpoints = json_object_get(root, "endpoints");
  if (!json_is_object(endpoints)) {
    return FAIL(fail, "endpoints: %s; allowed an object with rest, ws_api, streams",
                endpoints == NULL ? "missing" : "not an object");
  }
  if (closed(endpoints, "endpoints.", keys, fail) != 0) {
    return -1;
  }
  const char *rest = string(endpoints, "endpoints.rest", "rest", "an https URL", fail);
  const char *ws_api =
      rest == NULL ? NULL : string(endpoints, "endpoints.ws_api", "ws_api", "a wss URL", fail);
  const char *streams =
      ws_api == NULL ? NULL : string(endpoints, "endpoints.streams", "streams", "a wss URL", fail);
  if (streams == NULL ||
      parse_endpoint(&out->rest, "endpoints.rest", rest, "http", "https", mode, fail) != 0 ||
      parse_endpoint(&out->ws_api, "endpoints.ws_api", ws_api, "ws", "wss", mode, fail) != 0 ||
      parse_endpoint(&out->streams, "endpoints.streams", streams, "ws", "wss", mode, fail) != 0) {
    return -1;
  }
  drop_suffix(&out->rest, "/api");
  drop_suffix(&out->streams, "/ws");
  drop_suffix(&out->streams, "/stream");
  return 0;
}

static int read_root(binance_settings *out, const json_t *root, const char *mode, const failure *fail) {
  static const char *const keys[] = {"endpoints",      "recv_window_ms", "key_type",
                                     "rollover_hours", "clock_bound_ms", NULL};
  if (!json_is_object(root)) {
    return FAIL(fail, "%s found, allowed an object", json_kind(root));
  }
  int64_t hours = 0;
  if (closed(root, "", keys, fail) != 0 || read_endpoints(out, root, mode, fail) != 0 ||
      integer(root, "recv_window_ms", 1, 60000, &out->recv_window_ms, fail) != 0 ||
      integer(root, "rollover_hours", 1, 23, &hours, fail) != 0 ||
      integer(root, "clock_bound_ms", 1, 999, &out->clock_bound_ms, fail) != 0) {
    return -1;
  }
  out->rollover_ns = hours * NS_PER_HOUR;
  const char *key_type = string(root, "key_type", "key_type", "ed25519 or hmac", fail);
  if (key_type == NULL) {
    return -1;
  }
  if (strcmp(key_type, "ed25519") == 0) {
    out->key_type = SIGNER_ED25519;
  } else if (strcmp(key_type, "hmac") == 0) {
    out->key_type = SIGNER_HMAC;
  } else {
    return FAIL(fail, "key_type: '%s' found, allowed ed25519 or hmac", key_type);
  }
  if (out->clock_bound_ms > out->recv_window_ms) {
    return FAIL(fail, "clock_bound_ms: %lld found, allowed at most recv_window_ms (%lld)",
                (long long)out->clock_bound_ms, (long long)out->recv_window_ms);
  }
  return 0;
}

int settings_read(binance_settings *out, const broker_config *config, char *error, size_t error_size) {
  char reason[384] = "";
  const failure fail = {reason, sizeof reason};
  memset(out, 0, sizeof *out);
  int result = 0;
  const char *mode = config->mode == NULL ? "" : config->mode;
  if (strcmp(mode, "simulated") != 0 && strcmp(mode, "test") != 0 && strcmp(mode, "live") != 0) {
    (void)snprintf(error, error_size, "venue binance: mode: '%s' found, allowed simulated, test or live",
                   mode);
    return -1;
  }
  json_error_t problem;
  json_t *root = config->settings_json == NULL
                     ? NULL
                     : json_loads(config->settings_json, JSON_REJECT_DUPLICATES, &problem);
  if (root == NULL) {
    result = config->settings_json == NULL
                 ? FAIL(&fail, "missing; allowed a JSON object")
                 : FAIL(&fail, "not JSON (line %d): %s", problem.line, problem.text);
  } else {
    result = read_root(out, root, mode, &fail);
  }
  json_decref(root);
  if (result != 0) {
    (void)snprintf(error, error_size, "venue binance: settings: %s", reason);
  }
  return result;
}

static bool symbol_character(unsigned char c) {
  return c > ' ' && c != 0x7f && strchr("\"\\&=/?#%", c) == NULL;
}

int settings_check_instruments(const broker_config *config, char *error, size_t error_size) {
  const failure fail = {error, error_size};
  if (config->instrument_count < 1 || config->instrument_count > INSTRUMENT_MAX) {
    return FAIL(&fail, "venue binance: instruments: %u found, allowed 1 to %d",
                (unsigned)config->instrument_count, INSTRUMENT_MAX);
  }
  for (uint16_t i = 0; i < config->instrument_count; i++) {
    const broker_instrument *item = &config->instruments[i];
    const size_t length = strnlen(item->symbol, sizeof item->symbol);
    if (length < 1 || length > 31) {
      return FAIL(&fail, "venue binance: instruments[%u].symbol: %zu characters found, allowed 1 to 31", i,
                  length);
    }
    for (size_t c = 0; c < length; c++) {
      if (!symbol_character((unsigned char)item->symbol[c])) {
        return FAIL(&fail, "venue binance: instruments[%u].symbol: character %zu is not allowed in a symbol",
                    i, c + 1);
      }
    }
    if (item->tick_e8 <= 0 || item->lot_e8 <= 0) {
      return FAIL(&fail, "venue binance: instruments[%u] (%s): tick and lot must be above 0", i,
                  item->symbol);
    }
    for (uint16_t j = 0; j < i; j++) {
      if (strcmp(item->symbol, config->instruments[j].symbol) == 0) {
        return FAIL(&fail, "venue binance: instruments[%u].symbol: %s is listed twice", i, item->symbol);
      }
    }
  }
  return 0;
}

/* Reads a whole credential without its surrounding white space. */
static int read_file(const char *directory, const char *name, char *out, size_t size, size_t *length,
                     const failure *fail) {
  char path[PATH_LENGTH_MAX];
  if (directory == NULL || directory[0] == '\0') {
    return FAIL(fail,
                "venue binance: credential %s: no credentials directory (CREDENTIALS_DIRECTORY is unset)",
                name);
  }
  if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path) {
    return FAIL(fail, "venue binance: credential %s: the path is too long", name);
  }
  FILE *file = fopen(path, "re");
  if (file == NULL) {
    return FAIL(fail, "venue binance: credential %s: %s: %s", name, path, strerror(errno));
  }
  (void)setvbuf(file, NULL, _IONBF, 0); /* no second copy of a secret in a stdio buffer */
  const size_t got = fread(out, 1, size, file);
  const bool bad = ferror(file) != 0;
  (void)fclose(file);
  if (bad || got == 0 || got == size) {
    return FAIL(fail, "venue binance: credential %s: %s: %s", name, path,
                bad ? "cannot be read" : (got == 0 ? "is empty" : "is too long"));
  }
  size_t start = 0;
  size_t end = got;
  while (start < end && strchr(" \t\r\n", out[start]) != NULL) {
    start++;
  }
  while (end > start && strchr(" \t\r\n", out[end - 1]) != NULL) {
    end--;
  }
  memmove(out, out + start, end - start);
  out[end - start] = '\0';
  *length = end - start;
  if (*length == 0) {
    return FAIL(fail, "venue binance: credential %s: %s: is empty", name, path);
  }
  return 0;
}

static bool key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int credentials_read(binance_credentials *out, const binance_settings *from, const char *directory,
                     char *error, size_t error_size) {
  const failure fail = {error, error_size};
  const char *name = from->key_type == SIGNER_ED25519 ? "binance_private_key" : "binance_api_secret";
  char secret[CREDENTIAL_FILE_MAX];
  size_t length = 0;
  memset(out, 0, sizeof *out);
  if (read_file(directory, "binance_api_key", out->api_key, sizeof out->api_key, &length, &fail) != 0) {
    return -1;
  }
  for (size_t i = 0; i < length; i++) {
    if (!key_character(out->api_key[i])) {
      credentials_clear(out);
      return FAIL(&fail,
                  "venue binance: credential binance_api_key: character %zu is not allowed (letters, "
                  "digits, '-', '_')",
                  i + 1);
    }
  }
  if (read_file(directory, name, secret, sizeof secret, &length, &fail) != 0) {
    credentials_clear(out);
    return -1;
  }
  char reason[192] = "";
  out->signer = from->key_type == SIGNER_ED25519 ? signer_ed25519(secret, length, reason, sizeof reason)
                                                 : signer_hmac(secret, length, reason, sizeof reason);
  OPENSSL_cleanse(secret, sizeof secret);
  if (out->signer == NULL) {
    credentials_clear(out);
    return FAIL(&fail, "venue binance: credential %s: %s/%s: %s", name, directory, name, reason);
  }
  return 0;
}

void credentials_clear(binance_credentials *self) {
  signer_free(self->signer);
  OPENSSL_cleanse(self, sizeof *self);
}
