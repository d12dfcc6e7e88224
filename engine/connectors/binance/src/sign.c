/* sign.c: see sign.h. */

/* OpenSSL 3's HMAC through EVP_MAC allocates at every message. The old SHA256_* calls work on a plain
 * struct, and HMAC (RFC 2104) is two hashes from two states that depend on the key alone: those are
 * computed once. The published vectors and a comparison with EVP hold this in tests/sign_test.c. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sign.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#define HMAC_BLOCK 64
#define ED25519_SIGNATURE 64

struct signer {
  signer_kind kind;
  SHA256_CTX inner, outer; /* after the padded key */
  EVP_PKEY *key;
};

static signer *signer_new(signer_kind kind, char *error, size_t error_size) {
  signer *self = calloc(1, sizeof *self);
  if (self == NULL) {
    (void)snprintf(error, error_size, "out of memory");
    return NULL;
  }
  self->kind = kind;
  return self;
}

signer *signer_hmac(const char *secret, size_t length, char *error, size_t error_size) {
  if (length == 0) {
    (void)snprintf(error, error_size, "the secret is empty");
    return NULL;
  }
  signer *self = signer_new(SIGNER_HMAC, error, error_size);
  if (self == NULL) {
    return NULL;
  }
  unsigned char key[HMAC_BLOCK] = {0};
  if (length > sizeof key) {
    (void)SHA256((const unsigned char *)secret, length, key);
  } else {
    memcpy(key, secret, length);
  }
  unsigned char pad[HMAC_BLOCK];
  for (size_t i = 0; i < sizeof pad; i++) {
    pad[i] = key[i] ^ 0x36U;
  }
  (void)SHA256_Init(&self->inner);
  (void)SHA256_Update(&self->inner, pad, sizeof pad);
  for (size_t i = 0; i < sizeof pad; i++) {
    pad[i] = key[i] ^ 0x5cU;
  }
  (void)SHA256_Init(&self->outer);
  (void)SHA256_Update(&self->outer, pad, sizeof pad);
  OPENSSL_cleanse(key, sizeof key);
  OPENSSL_cleanse(pad, sizeof pad);
  return self;
}

/* An encrypted key would make OpenSSL ask the terminal; a daemon has none. */
static int no_passphrase(char *buffer, int size, int writing, void *user) {
  (void)buffer;
  (void)size;
  (void)writing;
  (void)user;
  return -1;
}

signer *signer_ed25519(const char *pem, size_t length, char *error, size_t error_size) {
  if (length == 0 || length > INT_MAX) {
    (void)snprintf(error, error_size, "the key is empty");
    return NULL;
  }
  BIO *bio = BIO_new_mem_buf(pem, (int)length);
  EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
  BIO_free(bio);
  if (key == NULL) {
    (void)snprintf(error, error_size,
                   "not an unencrypted PKCS#8 PEM private key (-----BEGIN PRIVATE KEY-----)");
    return NULL;
  }
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
    (void)snprintf(error, error_size, "the key is of type %s, allowed: ED25519",
                   OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
    EVP_PKEY_free(key);
    return NULL;
  }
  signer *self = signer_new(SIGNER_ED25519, error, error_size);
  if (self == NULL) {
    EVP_PKEY_free(key);
    return NULL;
  }
  self->key = key;
  return self;
}

void signer_free(signer *self) {
  if (self == NULL) {
    return;
  }
  EVP_PKEY_free(self->key);
  OPENSSL_cleanse(self, sizeof *self);
  free(self);
}

signer_kind signer_type(const signer *self) { return self->kind; }

static size_t sign_hmac(const signer *self, const char *payload, size_t length, char *out, size_t size) {
  static const char hex[] = "0123456789abcdef";
  if (size < 2 * SHA256_DIGEST_LENGTH + 1) {
    return 0;
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX state = self->inner;
  (void)SHA256_Update(&state, payload, length);
  (void)SHA256_Final(digest, &state);
  state = self->outer;
  (void)SHA256_Update(&state, digest, sizeof digest);
  (void)SHA256_Final(digest, &state);
  for (size_t i = 0; i < sizeof digest; i++) {
    out[2 * i] = hex[digest[i] >> 4U];
    out[2 * i + 1] = hex[digest[i] & 15U];
  }
  out[2 * sizeof digest] = '\0';
  return 2 * sizeof digest;
}

static size_t sign_ed25519(const signer *self, const char *payload, size_t length, char *out, size_t size) {
  unsigned char signature[ED25519_SIGNATURE];
  size_t signature_length = sizeof signature;
  if (size < 4 * ((ED25519_SIGNATURE + 2) / 3) + 1) {
    return 0;
  }
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  const bool good =
      context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, self->key) == 1 &&
      EVP_DigestSign(context, signature, &signature_length, (const unsigned char *)payload, length) == 1;
  EVP_MD_CTX_free(context);
  if (!good || signature_length != sizeof signature) {
    return 0;
  }
  return (size_t)EVP_EncodeBlock((unsigned char *)out, signature, (int)sizeof signature);
}

size_t signer_sign(const signer *self, const char *payload, size_t length, char *out, size_t size) {
  return self->kind == SIGNER_HMAC ? sign_hmac(self, payload, length, out, size)
                                   : sign_ed25519(self, payload, length, out, size);
}

size_t percent_encode(const char *text, char *out, size_t size) {
  static const char hex[] = "0123456789ABCDEF";
  static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  size_t used = 0;
  for (; *text != '\0'; text++) {
    const unsigned char c = (unsigned char)*text;
    if (strchr(unreserved, c) != NULL) {
      if (used + 1 >= size) {
        return 0;
      }
      out[used++] = *text;
    } else {
      if (used + 3 >= size) {
        return 0;
      }
      out[used++] = '%';
      out[used++] = hex[c >> 4U];
      out[used++] = hex[c & 15U];
    }
  }
  if (used >= size) {
    return 0;
  }
  out[used] = '\0';
  return used;
}
