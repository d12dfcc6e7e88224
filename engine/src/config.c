/* config.c: see config.h. */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "closed_json.h"

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const modes[] = {"simulated", "test", "live"};

static bool read_loop(const place *at, config *self) {
  static const char *const keys[] = {"policy", "pace_us", "cpu"};
  static const char *const policies[] = {"busy", "paced"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place policy = place_key(at, "policy");
  const place pace = place_key(at, "pace_us");
  const place cpu = place_key(at, "cpu");
  size_t choice = 0;
  int64_t number = -1;
  if (!read_choice(&policy, policies, COUNT(policies), &choice) ||
      !read_integer(&pace, 1, 1000000, &self->pace_us)) {
    return false;
  }
  self->policy = choice == 0 ? LOOP_BUSY : LOOP_PACED;
  if (!json_is_null(cpu.value) && !(json_is_integer(cpu.value) && read_integer(&cpu, 0, 1023, &number))) {
    return place_refuse(&cpu, "null or a CPU number from 0 to 1023");
  }
  self->cpu = (int)number;
  return true;
}

static bool read_paths(const place *at, config *self) {
  static const char *const keys[] = {"permit", "limits", "latch", "control_socket"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place permit = place_key(at, "permit");
  const place limits = place_key(at, "limits");
  const place latch = place_key(at, "latch");
  const place control = place_key(at, "control_socket");
  return read_path(&permit, self->permit, sizeof self->permit) &&
         read_path(&limits, self->limits, sizeof self->limits) &&
         read_path(&latch, self->latch, sizeof self->latch) &&
         read_path(&control, self->control_socket, sizeof self->control_socket);
}

static bool read_metrics(const place *at, config *self) {
  static const char *const keys[] = {"address", "port"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place address = place_key(at, "address");
  const place port = place_key(at, "port");
  int64_t number = 0;
  struct in_addr parsed;
  if (!read_text(&address, self->metrics_address, sizeof self->metrics_address) ||
      !read_integer(&port, 1, 65535, &number)) {
    return false;
  }
  if (inet_pton(AF_INET, self->metrics_address, &parsed) != 1) {
    return place_refuse(&address, "an IPv4 address such as 127.0.0.1");
  }
  self->metrics_port = (uint16_t)number;
  return true;
}

static bool read_connector(const place *at, config_venue *venue) {
  static const char *const kinds[] = {"library", "process"};
  static const char *const library_keys[] = {"kind", "path"};
  static const char *const process_keys[] = {"kind", "socket"};
  if (!read_open_object(at)) {
    return false;
  }
  const place kind = place_key(at, "kind");
  if (kind.value == NULL) {
    return place_fail(at, "missing key \"kind\"; required: kind, and path (library) or socket (process)");
  }
  size_t choice = 0;
  if (!read_choice(&kind, kinds, COUNT(kinds), &choice)) {
    return false;
  }
  venue->kind = choice == 0 ? CONNECTOR_LIBRARY : CONNECTOR_PROCESS;
  if (venue->kind == CONNECTOR_PROCESS) {
    if (!read_object(at, process_keys, COUNT(process_keys))) {
      return false;
    }
    const place path = place_key(at, "socket");
    return read_path(&path, venue->connector, SOCKET_PATH_MAX);
  }
  if (!read_object(at, library_keys, COUNT(library_keys))) {
    return false;
  }
  const place path = place_key(at, "path");
  if (!read_text(&path, venue->connector, sizeof venue->connector)) {
    return false;
  }
  /* Only the signed release may bring code into the process. */
  if (venue->connector[0] == '/' || strstr(venue->connector, "..") != NULL) {
    return place_refuse(&path, "a path relative to the release root, without \"..\"");
  }
  return true;
}

static bool read_instruments(const place *at, config_venue *venue) {
  static const char *const keys[] = {"symbol", "tick", "lot"};
  size_t count = 0;
  if (!read_array(at, 1, INSTRUMENTS_MAX, &count)) {
    return false;
  }
  for (size_t i = 0; i < count; i++) {
    const place element = place_index(at, i);
    broker_instrument *instrument = &venue->instruments[i];
    if (!read_object(&element, keys, COUNT(keys))) {
      return false;
    }
    const place symbol = place_key(&element, "symbol");
    const place tick = place_key(&element, "tick");
    const place lot = place_key(&element, "lot");
    if (!read_text(&symbol, instrument->symbol, sizeof instrument->symbol) ||
        !read_decimal(&tick, &instrument->tick_e8) || !read_decimal(&lot, &instrument->lot_e8)) {
      return false;
    }
    for (size_t j = 0; j < i; j++) {
      if (strcmp(venue->instruments[j].symbol, instrument->symbol) == 0) {
        return place_refuse(&symbol, "each symbol once");
      }
    }
  }
  venue->instrument_count = (uint16_t)count;
  return true;
}

static bool read_strategy(const place *at, config_venue *venue) {
  static const char *const keys[] = {"name", "parameters"};
  static const char *const names[] = {"paper_quote"};
  static const char *const parameter_keys[] = {"spread_bps", "quantity", "requote_ms", "take_every"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place name = place_key(at, "name");
  const place parameters = place_key(at, "parameters");
  size_t choice = 0;
  if (!read_choice(&name, names, COUNT(names), &choice) ||
      !read_object(&parameters, parameter_keys, COUNT(parameter_keys))) {
    return false;
  }
  const place spread = place_key(&parameters, "spread_bps");
  const place quantity = place_key(&parameters, "quantity");
  const place requote = place_key(&parameters, "requote_ms");
  const place take = place_key(&parameters, "take_every");
  if (!read_integer(&spread, 1, 5000, &venue->strategy.spread_bps) ||
      !read_decimal(&quantity, &venue->strategy.quantity_e8) ||
      !read_integer(&requote, 1, 3600000, &venue->strategy.requote_ms) ||
      !read_integer(&take, 0, 1000000, &venue->strategy.take_every)) {
    return false;
  }
  for (size_t i = 0; i < venue->instrument_count; i++) {
    if (venue->strategy.quantity_e8 % venue->instruments[i].lot_e8 != 0) {
      return place_refuse(&quantity, "a multiple of every instrument's lot");
    }
  }
  return true;
}

static bool read_venue(const place *at, config *self, size_t number) {
  static const char *const keys[] = {"name", "connector", "settings", "instruments", "strategy"};
  config_venue *venue = &self->venues[number];
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place name = place_key(at, "name");
  const place connector = place_key(at, "connector");
  const place settings = place_key(at, "settings");
  const place instruments = place_key(at, "instruments");
  const place strategy = place_key(at, "strategy");
  if (!read_name(&name, venue->name, sizeof venue->name) || !read_connector(&connector, venue) ||
      !read_open_object(&settings) || !read_instruments(&instruments, venue) ||
      !read_strategy(&strategy, venue)) {
    return false;
  }
  for (size_t i = 0; i < number; i++) {
    if (strcmp(self->venues[i].name, venue->name) == 0) {
      return place_refuse(&name, "each venue once");
    }
  }
  venue->settings_json = json_dumps(settings.value, JSON_COMPACT);
  return venue->settings_json != NULL || place_fail(&settings, "cannot be written as text");
}

static bool read_config(const place *at, config *self) {
  static const char *const keys[] = {"config_version", "mode", "host", "loop", "paths", "metrics", "venues"};
  char allowed[32];
  int64_t version = 0;
  /* The version first: a file for another binary should say so, not complain of its keys. */
  if (read_open_object(at)) {
    const place stated = place_key(at, "config_version");
    if (stated.value != NULL) {
      (void)snprintf(allowed, sizeof allowed, "%d, this engine's version", CONFIG_VERSION);
      if (!json_is_integer(stated.value) || json_integer_value(stated.value) != CONFIG_VERSION) {
        return place_refuse(&stated, allowed);
      }
    }
  }
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place stated = place_key(at, "config_version");
  const place mode = place_key(at, "mode");
  const place host = place_key(at, "host");
  const place loop = place_key(at, "loop");
  const place paths = place_key(at, "paths");
  const place metrics = place_key(at, "metrics");
  const place venues = place_key(at, "venues");
  size_t choice = 0;
  size_t count = 0;
  if (!read_integer(&stated, CONFIG_VERSION, CONFIG_VERSION, &version) ||
      !read_choice(&mode, modes, COUNT(modes), &choice) || !read_text(&host, self->host, sizeof self->host) ||
      !read_loop(&loop, self) || !read_paths(&paths, self) || !read_metrics(&metrics, self) ||
      !read_array(&venues, 1, VENUES_MAX, &count)) {
    return false;
  }
  (void)snprintf(self->mode, sizeof self->mode, "%s", modes[choice]);
  for (size_t i = 0; i < count; i++) {
    const place element = place_index(&venues, i);
    if (!read_venue(&element, self, i)) {
      return false;
    }
  }
  self->venue_count = count;
  return true;
}

bool config_parse(config *self, const char *file, const char *bytes, size_t length, char *error,
                  size_t error_size) {
  memset(self, 0, sizeof *self);
  document about = {.file = file, .error = error, .error_size = error_size};
  json_t *root = NULL;
  if (!document_parse(&about, bytes, length, &root)) {
    return false;
  }
  const place at = place_root(&about, root);
  bool ok = read_config(&at, self);
  json_decref(root);
  if (ok && !digest_bytes(bytes, length, self->sha256)) {
    (void)snprintf(error, error_size, "%s: cannot compute its sha256", file);
    ok = false;
  }
  if (!ok) {
    config_free(self);
  }
  return ok;
}

bool config_load(config *self, const char *file, char *error, size_t error_size) {
  char *bytes = NULL;
  size_t length = 0;
  if (!file_read(file, CONFIG_BYTES_MAX, &bytes, &length, error, error_size)) {
    return false;
  }
  const bool ok = config_parse(self, file, bytes, length, error, error_size);
  free(bytes);
  return ok;
}

void config_free(config *self) {
  for (size_t i = 0; i < VENUES_MAX; i++) {
    free(self->venues[i].settings_json);
    self->venues[i].settings_json = NULL;
  }
}

broker_config config_broker(const config *self, size_t venue, const char *credentials_directory) {
  const config_venue *about = &self->venues[venue];
  return (broker_config){.venue = about->name,
                         .mode = self->mode,
                         .settings_json = about->settings_json,
                         .credentials_directory = credentials_directory,
                         .instruments = about->instruments,
                         .instrument_count = about->instrument_count};
}
