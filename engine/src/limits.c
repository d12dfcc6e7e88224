/* limits.c: see limits.h. */
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "closed_json.h"

#define LIMITS_BYTES_MAX ((size_t)1 << 18)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool read_symbols(const place *at, limits_venue *venue) {
  if (!read_array(at, 1, INSTRUMENTS_MAX, &venue->instrument_count)) {
    return false;
  }
  for (size_t i = 0; i < venue->instrument_count; i++) {
    const place element = place_index(at, i);
    if (!read_text(&element, venue->instruments[i], sizeof venue->instruments[i])) {
      return false;
    }
  }
  return true;
}

static bool read_venue(const place *at, limits_venue *venue) {
  static const char *const keys[] = {"instruments",        "price_collar_bps", "max_order_value",
                                     "max_order_quantity", "max_open_orders",  "max_messages_per_s",
                                     "max_position",       "max_daily_loss"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place symbols = place_key(at, "instruments");
  const place collar = place_key(at, "price_collar_bps");
  const place value = place_key(at, "max_order_value");
  const place quantity = place_key(at, "max_order_quantity");
  const place open = place_key(at, "max_open_orders");
  const place messages = place_key(at, "max_messages_per_s");
  const place position = place_key(at, "max_position");
  const place loss = place_key(at, "max_daily_loss");
  return read_symbols(&symbols, venue) && read_integer(&collar, 1, 10000, &venue->price_collar_bps) &&
         read_decimal(&value, &venue->max_order_value_e8) &&
         read_decimal(&quantity, &venue->max_order_quantity_e8) &&
         read_integer(&open, 1, OPEN_ORDERS_MAX, &venue->max_open_orders) &&
         read_integer(&messages, 1, MESSAGES_MAX, &venue->max_messages_per_s) &&
         read_decimal(&position, &venue->max_position_e8) && read_decimal(&loss, &venue->max_daily_loss_e8);
}

static bool read_total(const place *at, limits *self) {
  static const char *const keys[] = {"venues", "max_messages_per_s", "max_daily_loss"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place venues = place_key(at, "venues");
  const place messages = place_key(at, "max_messages_per_s");
  const place loss = place_key(at, "max_daily_loss");
  return read_integer(&venues, 1, VENUES_MAX, &self->total_venues) &&
         read_integer(&messages, 1, MESSAGES_MAX, &self->total_messages_per_s) &&
         read_decimal(&loss, &self->total_daily_loss_e8);
}

static bool read_limits(const place *at, limits *self) {
  static const char *const keys[] = {"limits_version", "mode", "total", "venues"};
  static const char *const modes[] = {"simulated", "test", "live"};
  if (!read_object(at, keys, COUNT(keys))) {
    return false;
  }
  const place version = place_key(at, "limits_version");
  const place mode = place_key(at, "mode");
  const place total = place_key(at, "total");
  const place venues = place_key(at, "venues");
  int64_t number = 0;
  size_t choice = 0;
  if (!read_integer(&version, LIMITS_VERSION, LIMITS_VERSION, &number) ||
      !read_choice(&mode, modes, COUNT(modes), &choice) || !read_total(&total, self) ||
      !read_open_object(&venues)) {
    return false;
  }
  (void)snprintf(self->mode, sizeof self->mode, "%s", modes[choice]);
  const char *name = NULL;
  json_t *value = NULL;
  json_object_foreach(venues.value, name, value) {
    if (self->venue_count == VENUES_MAX) {
      return place_refuse(&venues, "at most 8 venues");
    }
    limits_venue *venue = &self->venues[self->venue_count];
    const place element = place_key(&venues, name);
    if (strlen(name) == 0 || strlen(name) >= sizeof venue->name) {
      return place_fail(&element, "a venue's name has 1 to 31 bytes");
    }
    (void)snprintf(venue->name, sizeof venue->name, "%s", name);
    if (!read_venue(&element, venue)) {
      return false;
    }
    self->venue_count++;
  }
  return self->venue_count > 0 || place_fail(&venues, "no venue; at least one is required");
}

bool limits_parse(limits *self, const char *file, const char *bytes, size_t length, char *error,
                  size_t error_size) {
  memset(self, 0, sizeof *self);
  document about = {.file = file, .error = error, .error_size = error_size};
  json_t *root = NULL;
  if (!document_parse(&about, bytes, length, &root)) {
    return false;
  }
  const place at = place_root(&about, root);
  bool ok = read_limits(&at, self);
  json_decref(root);
  if (ok && !digest_bytes(bytes, length, self->sha256)) {
    (void)snprintf(error, error_size, "%s: cannot compute its sha256", file);
    ok = false;
  }
  return ok;
}

bool limits_load(limits *self, const char *file, char *error, size_t error_size) {
  char *bytes = NULL;
  size_t length = 0;
  if (!file_read(file, LIMITS_BYTES_MAX, &bytes, &length, error, error_size)) {
    return false;
  }
  const bool ok = limits_parse(self, file, bytes, length, error, error_size);
  free(bytes);
  return ok;
}

const limits_venue *limits_find(const limits *self, const char *venue) {
  for (size_t i = 0; i < self->venue_count; i++) {
    if (strcmp(self->venues[i].name, venue) == 0) {
      return &self->venues[i];
    }
  }
  return NULL;
}

static bool lists(const limits_venue *venue, const char *symbol) {
  for (size_t i = 0; i < venue->instrument_count; i++) {
    if (strcmp(venue->instruments[i], symbol) == 0) {
      return true;
    }
  }
  return false;
}

bool limits_cover(const limits *self, const config *of, const char *config_file, char *error,
                  size_t error_size) {
  if (strcmp(self->mode, of->mode) != 0) {
    (void)snprintf(error, error_size, "%s: $.mode: found \"%s\"; allowed: \"%s\", the mode of %s", of->limits,
                   self->mode, of->mode, config_file);
    return false;
  }
  if ((int64_t)of->venue_count > self->total_venues) {
    (void)snprintf(error, error_size, "%s: $.total.venues: allows %lld; %s has %zu venues", of->limits,
                   (long long)self->total_venues, config_file, of->venue_count);
    return false;
  }
  for (size_t i = 0; i < of->venue_count; i++) {
    const config_venue *venue = &of->venues[i];
    const limits_venue *bound = limits_find(self, venue->name);
    if (bound == NULL) {
      (void)snprintf(error, error_size, "%s: $.venues: no limits for venue \"%s\" of %s", of->limits,
                     venue->name, config_file);
      return false;
    }
    for (size_t j = 0; j < venue->instrument_count; j++) {
      if (!lists(bound, venue->instruments[j].symbol)) {
        (void)snprintf(error, error_size, "%s: $.venues.%s.instruments: lacks \"%s\" of %s", of->limits,
                       venue->name, venue->instruments[j].symbol, config_file);
        return false;
      }
    }
  }
  return true;
}
