/* link.c: see link.h. */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/x509_vfy.h>

#define ATTEMPT_NS INT64_C(10000000000)

/* Silence is asked about after 15 s and ends the connection after 30 s: the venue pings every 20 s. */
static const lws_retry_bo_t liveness = {.secs_since_valid_ping = 15, .secs_since_valid_hangup = 30};

static int64_t monotonic_ns(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void forget(ws_link *self) {
  self->socket = NULL;
  self->state = LINK_DOWN;
  self->used = 0;
}

static void lost(ws_link *self, int http_status, int64_t retry_after_s, const char *why) {
  forget(self);
  self->handlers->down(self->owner, self, http_status, retry_after_s, why);
}

static void refused(ws_link *self, struct lws *socket, const char *why) {
  char text[16] = "";
  const unsigned status = lws_http_client_http_response(socket);
  int64_t retry_after_s = 0;
  if (status != 0 && lws_hdr_copy(socket, text, sizeof text, WSI_TOKEN_HTTP_RETRY_AFTER) > 0) {
    retry_after_s = strtoll(text, NULL, 10);
  }
  if (self->certificate_problem != NULL) {
    char both[ENDPOINT_HOST_MAX + 160];
    (void)snprintf(both, sizeof both, "the certificate is not good for %s: %s", self->to->host,
                   self->certificate_problem);
    lost(self, (int)status, retry_after_s, both);
    return;
  }
  lost(self, (int)status, retry_after_s, why);
}

static void receive(ws_link *self, struct lws *socket, const char *bytes, size_t length) {
  const bool last = lws_is_final_fragment(socket) != 0 && lws_remaining_packet_payload(socket) == 0;
  if (lws_frame_is_binary(socket) != 0) {
    link_drop(self);
    self->handlers->down(self->owner, self, 0, 0, "the venue sent a binary frame");
    return;
  }
  if (last && self->used == 0) {
    self->handlers->message(self->owner, self, bytes, length, monotonic_ns());
    return;
  }
  if (length > self->size - self->used) {
    link_drop(self);
    self->handlers->down(self->owner, self, 0, 0, "a message is larger than the buffer");
    return;
  }
  memcpy(self->buffer + self->used, bytes, length);
  self->used += length;
  if (last) {
    const size_t whole = self->used;
    self->used = 0;
    self->handlers->message(self->owner, self, self->buffer, whole, monotonic_ns());
  }
}

static int on_event(struct lws *socket, enum lws_callback_reasons reason, void *user, void *in,
                    size_t length) {
  if (reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
    ws_link *link = lws_wsi_user(socket); /* `user` is OpenSSL's verification, `length` its verdict */
    if (length == 0 && link != NULL) {
      link->certificate_problem = X509_verify_cert_error_string(X509_STORE_CTX_get_error(user));
    }
    return 0; /* leaves the verdict as it is */
  }
  ws_link *self = user;
  switch (reason) {
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    if (self != NULL && self->state != LINK_DOWN) {
      refused(self, socket, in == NULL ? "connection failed" : (const char *)in);
    }
    break;
  case LWS_CALLBACK_CLIENT_ESTABLISHED:
    if (self == NULL) {
      return -1;
    }
    self->socket = socket;
    self->state = LINK_OPEN;
    self->opened_ns = monotonic_ns();
    self->handlers->open(self->owner, self);
    break;
  case LWS_CALLBACK_CLIENT_RECEIVE:
    if (self == NULL) {
      return -1;
    }
    receive(self, socket, in, length);
    break;
  case LWS_CALLBACK_CLIENT_CLOSED:
    if (self != NULL && self->socket == socket) {
      lost(self, 0, 0, "the connection was closed");
    }
    break;
  default:
    break;
  }
  return 0;
}

const struct lws_protocols link_protocols[] = {
    {.name = "slipway-binance", .callback = on_event, .rx_buffer_size = 65536}, {.name = NULL}};

void link_connect(ws_link *self, int64_t now_ns) {
  self->state = LINK_RESOLVING;
  self->deadline_ns = now_ns + ATTEMPT_NS;
  self->used = 0;
  self->certificate_problem = NULL;
  resolver_ask(self->resolver, self->slot);
}

static void dial(ws_link *self, const char *address) {
  struct lws_client_connect_info info;
  memset(&info, 0, sizeof info);
  info.context = self->context;
  info.address = address;
  info.port = self->to->port;
  info.path = self->path;
  info.host = self->to->host; /* also the name that the certificate must have */
  info.origin = self->to->host;
  info.ssl_connection = self->to->tls ? LCCSCF_USE_SSL : 0;
  info.alpn = "http/1.1";
  info.local_protocol_name = link_protocols[0].name;
  info.userdata = self;
  info.pwsi = &self->socket;
  info.retry_and_idle_policy = &liveness;
  self->state = LINK_CONNECTING;
  if (lws_client_connect_via_info(&info) == NULL && self->state != LINK_DOWN) {
    lost(self, 0, 0, "connection failed");
  }
}

void link_tick(ws_link *self, int64_t now_ns) {
  if (self->state == LINK_RESOLVING) {
    char answer[RESOLVER_TEXT_MAX];
    switch (resolver_answer(self->resolver, self->slot, answer)) {
    case RESOLVER_READY:
      dial(self, answer);
      return;
    case RESOLVER_FAILED: {
      char why[ENDPOINT_HOST_MAX + RESOLVER_TEXT_MAX + 32];
      (void)snprintf(why, sizeof why, "name %s: %s", self->to->host, answer);
      lost(self, 0, 0, why);
      return;
    }
    case RESOLVER_WAITING:
      break;
    }
  }
  if ((self->state == LINK_RESOLVING || self->state == LINK_CONNECTING) && now_ns > self->deadline_ns) {
    link_drop(self);
    self->handlers->down(self->owner, self, 0, 0, "no connection within 10 s");
  }
}

bool link_send(ws_link *self, char *text, size_t length) {
  if (self->state != LINK_OPEN || self->socket == NULL || lws_send_pipe_choked(self->socket) != 0) {
    return false;
  }
  if (lws_write(self->socket, (unsigned char *)text, length, LWS_WRITE_TEXT) < (int)length) {
    link_drop(self);
    self->handlers->down(self->owner, self, 0, 0, "writing failed");
    return false;
  }
  return true;
}

void link_drop(ws_link *self) {
  struct lws *socket = self->socket;
  forget(self);
  if (socket != NULL) {
    lws_set_wsi_user(socket, NULL);
    lws_set_timeout(socket, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
  }
}
