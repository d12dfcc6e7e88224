/* rest.c: see rest.h. */
#include "rest.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER_MAX 192
#define TIMEOUT_MS 10000L
#define CONNECT_TIMEOUT_MS 5000L

struct rest {
  CURLM *multi;
  CURL *easy;
  const endpoint *to;
  resolver *resolver;
  struct curl_slist *headers, *addresses;
  rest_done done;
  void *owner;
  size_t used;
  unsigned slot;
  bool busy, resolving, overflow;
  const char *method;
  char target[REST_TARGET_MAX];
  char key_header[HEADER_MAX];
  char error[CURL_ERROR_SIZE];
  char body[REST_BODY_MAX];
};

static size_t receive(char *bytes, size_t one, size_t count, void *user) {
  rest *self = user;
  const size_t length = one * count;
  if (length > sizeof self->body - self->used) {
    self->overflow = true;
    return 0;
  }
  memcpy(self->body + self->used, bytes, length);
  self->used += length;
  return length;
}

rest *rest_create(const endpoint *to, resolver *names, unsigned slot) {
  rest *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  self->multi = curl_multi_init();
  self->easy = curl_easy_init();
  self->to = to;
  self->resolver = names;
  self->slot = slot;
  if (self->multi == NULL || self->easy == NULL) {
    rest_destroy(self);
    return NULL;
  }
  return self;
}

static void drop_lists(rest *self) {
  curl_slist_free_all(self->headers);
  curl_slist_free_all(self->addresses);
  self->headers = NULL;
  self->addresses = NULL;
}

void rest_destroy(rest *self) {
  if (self == NULL) {
    return;
  }
  if (self->multi != NULL && self->easy != NULL) {
    (void)curl_multi_remove_handle(self->multi, self->easy);
  }
  curl_easy_cleanup(self->easy);
  (void)curl_multi_cleanup(self->multi);
  drop_lists(self);
  memset(self->key_header, 0, sizeof self->key_header);
  free(self);
}

bool rest_busy(const rest *self) { return self->busy; }

bool rest_start(rest *self, const char *method, const char *target, const char *api_key, rest_done done,
                void *owner) {
  if (self->busy || strlen(target) >= sizeof self->target) {
    return false;
  }
  (void)snprintf(self->target, sizeof self->target, "%s", target);
  self->key_header[0] = '\0';
  if (api_key != NULL) {
    (void)snprintf(self->key_header, sizeof self->key_header, "X-MBX-APIKEY: %s", api_key);
  }
  self->method = method;
  self->done = done;
  self->owner = owner;
  self->used = 0;
  self->overflow = false;
  self->error[0] = '\0';
  self->busy = true;
  self->resolving = true;
  resolver_ask(self->resolver, self->slot);
  return true;
}

static void finish(rest *self, const rest_answer *answer) {
  self->busy = false;
  self->resolving = false;
  self->done(self->owner, answer);
}

static void fail(rest *self, const char *error) {
  const rest_answer answer = {.error = error, .body = "", .length = 0};
  finish(self, &answer);
}

static bool set_up(rest *self, const char *address) {
  CURL *easy = self->easy;
  char url[ENDPOINT_HOST_MAX + ENDPOINT_PATH_MAX + REST_TARGET_MAX + 32];
  char resolve[ENDPOINT_HOST_MAX + RESOLVER_TEXT_MAX + 32];
  (void)snprintf(url, sizeof url, "%s://%s:%u%s%s", self->to->tls ? "https" : "http", self->to->host,
                 (unsigned)self->to->port, self->to->path, self->target);
  const bool bracket = strchr(address, ':') != NULL;
  (void)snprintf(resolve, sizeof resolve, "%s:%u:%s%s%s", self->to->host, (unsigned)self->to->port,
                 bracket ? "[" : "", address, bracket ? "]" : "");
  drop_lists(self);
  self->addresses = curl_slist_append(NULL, resolve);
  if (self->key_header[0] != '\0') {
    self->headers = curl_slist_append(NULL, self->key_header);
  }
  curl_easy_reset(easy); /* keeps the open connection */
  /* OpenSSL reads SSL_CERT_FILE by itself, and so the WebSockets do; libcurl has to be told. */
  const char *trust = secure_getenv(X509_get_default_cert_file_env());
  return self->addresses != NULL && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_RESOLVE, self->addresses) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HTTPHEADER, self->headers) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, self->method) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEDATA, self) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, self->error) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, self->to->tls ? "https" : "http") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
         (trust == NULL || curl_easy_setopt(easy, CURLOPT_CAINFO, trust) == CURLE_OK) &&
         curl_multi_add_handle(self->multi, easy) == CURLM_OK;
}

static int64_t realtime_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void complete(rest *self, CURLcode result) {
  rest_answer answer = {.received_ms = realtime_ms(), .body = self->body, .length = self->used};
  curl_off_t total_us = 0;
  curl_off_t ready_us = 0;
  curl_off_t retry_s = 0;
  (void)curl_easy_getinfo(self->easy, CURLINFO_TOTAL_TIME_T, &total_us);
  (void)curl_easy_getinfo(self->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
  answer.round_trip_ms = (int64_t)(total_us - ready_us) / 1000;
  if (result == CURLE_OK) {
    (void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &answer.http_status);
    (void)curl_easy_getinfo(self->easy, CURLINFO_RETRY_AFTER, &retry_s);
    answer.retry_after_s = (int64_t)retry_s;
  } else if (self->overflow) {
    answer.error = "the answer is larger than the buffer";
  } else {
    answer.error = self->error[0] != '\0' ? self->error : curl_easy_strerror(result);
  }
  (void)curl_multi_remove_handle(self->multi, self->easy);
  finish(self, &answer);
}

void rest_step(rest *self) {
  if (!self->busy) {
    return;
  }
  if (self->resolving) {
    char address[RESOLVER_TEXT_MAX];
    const resolver_state state = resolver_answer(self->resolver, self->slot, address);
    if (state == RESOLVER_FAILED) {
      char why[ENDPOINT_HOST_MAX + RESOLVER_TEXT_MAX + 32];
      (void)snprintf(why, sizeof why, "name %s: %s", self->to->host, address);
      fail(self, why);
    } else if (state == RESOLVER_READY) {
      self->resolving = false;
      if (!set_up(self, address)) {
        fail(self, "libcurl refused the request");
      }
    }
    return;
  }
  int running = 0;
  if (curl_multi_perform(self->multi, &running) != CURLM_OK || running > 0) {
    return;
  }
  int left = 0;
  CURLMsg *message = NULL;
  while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
    if (message->msg == CURLMSG_DONE) {
      complete(self, message->data.result);
      return;
    }
  }
}
