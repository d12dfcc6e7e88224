/* request.c: see request.h. */
#include "request.h"

#include <string.h>

#include "decimal.h"

#define INTEGER_TEXT_MAX 21

static void put(char *buffer, size_t *used, const char *text, size_t length, bool *bad) {
  if (length >= REQUEST_MAX - *used) {
    *bad = true;
    return;
  }
  memcpy(buffer + *used, text, length);
  *used += length;
}

static void json(api_request *self, const char *text) {
  put(self->room + LWS_PRE, &self->used, text, strlen(text), &self->bad);
}

static void payload(api_request *self, const char *text) {
  put(self->payload, &self->payload_used, text, strlen(text), &self->bad);
}

static const char *integer_text(int64_t value, char out[INTEGER_TEXT_MAX]) {
  char *at = out + INTEGER_TEXT_MAX - 1;
  uint64_t magnitude = value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value;
  *at = '\0';
  do {
    *--at = (char)('0' + (int)(magnitude % 10));
    magnitude /= 10;
  } while (magnitude != 0);
  if (value < 0) {
    *--at = '-';
  }
  return at;
}

static void parameter(api_request *self, const char *name, const char *value, const char *quote) {
  self->bad = self->bad || (self->last != NULL && strcmp(self->last, name) >= 0);
  json(self, self->last == NULL ? "\"" : ",\"");
  json(self, name);
  json(self, "\":");
  json(self, quote);
  json(self, value);
  json(self, quote);
  if (self->payload_used > 0) {
    payload(self, "&");
  }
  payload(self, name);
  payload(self, "=");
  payload(self, value);
  self->last = name;
}

void request_begin(api_request *self, int64_t id, const char *method, const char *api_key) {
  char number[INTEGER_TEXT_MAX];
  self->last = NULL;
  self->used = 0;
  self->payload_used = 0;
  self->bad = false;
  json(self, "{\"id\":");
  json(self, integer_text(id, number));
  json(self, ",\"method\":\"");
  json(self, method);
  json(self, "\",\"params\":{");
  if (api_key != NULL) {
    parameter(self, "apiKey", api_key, "\"");
  }
}

void request_text(api_request *self, const char *name, const char *value) {
  parameter(self, name, value, "\"");
}

void request_integer(api_request *self, const char *name, int64_t value) {
  char number[INTEGER_TEXT_MAX];
  parameter(self, name, integer_text(value, number), "");
}

void request_decimal(api_request *self, const char *name, int64_t value_e8) {
  char number[DECIMAL_TEXT_MAX];
  if (decimal_format(value_e8, number, sizeof number) == 0) {
    self->bad = true;
  }
  parameter(self, name, number, "\"");
}

size_t request_end(api_request *self, const signer *by) {
  if (by != NULL) {
    char signature[SIGNATURE_TEXT_MAX];
    if (self->bad || signer_sign(by, self->payload, self->payload_used, signature, sizeof signature) == 0) {
      return 0;
    }
    json(self, ",\"signature\":\"");
    json(self, signature);
    json(self, "\"");
  }
  json(self, "}}");
  return self->bad ? 0 : self->used;
}

char *request_json(api_request *self) { return self->room + LWS_PRE; }
