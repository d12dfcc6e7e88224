/* Signatures: the venue's published vectors, their one-bit corruptions, and OpenSSL's own HMAC. */
#include "cases.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "sign.h"

#define API_KEY "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
#define SECRET "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

/* The sample keys of Binance's own documents; nobody trades with them. */
static const char fix_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u\n"
                              "-----END PRIVATE KEY-----\n";
static const char fix_payload[] = "A\001EXAMPLE\001SPOT\0011\00120240627-11:17:25.223";
static const char fix_signature[] =
    "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==";
static const char rest_payload[] = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
                                   "&recvWindow=5000&timestamp=1499827319559";
static const char rest_signature[] = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
static const char ws_payload[] =
    "apiKey=" API_KEY "&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL"
    "&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT";
static const char ws_signature[] = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24";

static char error[256];

static void expect(signer *by, const char *payload, const char *signature) {
  char out[SIGNATURE_TEXT_MAX];
  assert_int_equal(signer_sign(by, payload, strlen(payload), out, sizeof out), strlen(signature));
  assert_string_equal(out, signature);
}

/* Every payload that differs in one bit must have another signature. */
static void expect_corruptions_differ(signer *by, const char *payload, const char *signature) {
  char changed[512];
  char out[SIGNATURE_TEXT_MAX];
  const size_t length = strlen(payload);
  memcpy(changed, payload, length);
  for (size_t bit = 0; bit < 8 * length; bit++) {
    changed[bit / 8] = (char)(changed[bit / 8] ^ (1 << (bit % 8)));
    assert_true(signer_sign(by, changed, length, out, sizeof out) > 0);
    assert_string_not_equal(out, signature);
    changed[bit / 8] = payload[bit / 8];
  }
}

static void hmac_vectors(void **state) {
  (void)state;
  signer *by = signer_hmac(SECRET, strlen(SECRET), error, sizeof error);
  assert_non_null(by);
  expect(by, rest_payload, rest_signature);
  expect(by, ws_payload, ws_signature);
  expect(by, rest_payload, rest_signature); /* signing leaves the signer as it was */
  expect_corruptions_differ(by, rest_payload, rest_signature);
  expect_corruptions_differ(by, ws_payload, ws_signature);
  signer_free(by);
}

static void hmac_secret_with_one_bit_changed(void **state) {
  (void)state;
  char secret[] = SECRET;
  for (size_t bit = 0; bit < 8 * strlen(SECRET); bit++) {
    secret[bit / 8] = (char)(secret[bit / 8] ^ (1 << (bit % 8)));
    signer *by = signer_hmac(secret, strlen(SECRET), error, sizeof error);
    char out[SIGNATURE_TEXT_MAX];
    assert_true(signer_sign(by, rest_payload, strlen(rest_payload), out, sizeof out) > 0);
    assert_string_not_equal(out, rest_signature);
    signer_free(by);
    secret[bit / 8] = SECRET[bit / 8];
  }
}

static void hmac_agrees_with_openssl(void **state) {
  (void)state;
  char secret[200];
  char payload[300];
  memset(secret, 's', sizeof secret);
  memset(payload, 'p', sizeof payload);
  for (size_t key = 1; key < sizeof secret; key += 7) { /* shorter and longer than a block */
    signer *by = signer_hmac(secret, key, error, sizeof error);
    for (size_t length = 0; length < sizeof payload; length += 11) {
      unsigned char digest[32];
      char out[SIGNATURE_TEXT_MAX];
      char hex[65];
      assert_non_null(
          HMAC(EVP_sha256(), secret, (int)key, (const unsigned char *)payload, length, digest, NULL));
      for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)digest[i]);
      }
      assert_int_equal(signer_sign(by, payload, length, out, sizeof out), 64);
      assert_string_equal(out, hex);
    }
    signer_free(by);
  }
}

static void ed25519_vector(void **state) {
  (void)state;
  signer *by = signer_ed25519(fix_pem, strlen(fix_pem), error, sizeof error);
  assert_non_null(by);
  expect(by, fix_payload, fix_signature);
  expect_corruptions_differ(by, fix_payload, fix_signature);
  signer_free(by);
}

static int verify(EVP_PKEY *key, const unsigned char *signature, const char *payload) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key), 1);
  const int good = EVP_DigestVerify(context, signature, 64, (const unsigned char *)payload, strlen(payload));
  EVP_MD_CTX_free(context);
  return good;
}

static void ed25519_signature_with_one_bit_changed_is_refused(void **state) {
  (void)state;
  BIO *bio = BIO_new_mem_buf(fix_pem, -1);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  unsigned char signature[72];
  assert_int_equal(
      EVP_DecodeBlock(signature, (const unsigned char *)fix_signature, (int)strlen(fix_signature)), 66);
  assert_int_equal(verify(key, signature, fix_payload), 1);
  for (size_t bit = 0; bit < 8 * 64; bit++) {
    signature[bit / 8] = (unsigned char)(signature[bit / 8] ^ (1U << (bit % 8)));
    assert_int_not_equal(verify(key, signature, fix_payload), 1);
    signature[bit / 8] = (unsigned char)(signature[bit / 8] ^ (1U << (bit % 8)));
  }
  EVP_PKEY_free(key);
  BIO_free(bio);
}

static void bad_keys_are_named(void **state) {
  (void)state;
  EVP_PKEY *key = EVP_EC_gen("P-256");
  BIO *bio = BIO_new(BIO_s_mem());
  char *pem = NULL;
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
  const long length = BIO_get_mem_data(bio, &pem);
  assert_null(signer_ed25519(pem, (size_t)length, error, sizeof error));
  assert_non_null(strstr(error, "allowed: ED25519"));
  assert_null(signer_ed25519("not a key", 9, error, sizeof error));
  assert_non_null(strstr(error, "PKCS#8"));
  assert_null(strstr(error, "not a key")); /* what was in the file stays in the file */
  assert_null(signer_ed25519("", 0, error, sizeof error));
  assert_null(signer_hmac("", 0, error, sizeof error));
  BIO_free(bio);
  bio = BIO_new(BIO_s_mem()); /* encrypted: refused at once, without asking for a passphrase */
  char passphrase[] = "x";
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), passphrase, 1, NULL, NULL), 1);
  const long encrypted = BIO_get_mem_data(bio, &pem);
  assert_null(signer_ed25519(pem, (size_t)encrypted, error, sizeof error));
  BIO_free(bio);
  EVP_PKEY_free(key);
}

static void a_small_buffer_is_refused(void **state) {
  (void)state;
  char out[64];
  signer *by = signer_hmac(SECRET, strlen(SECRET), error, sizeof error);
  assert_int_equal(signer_sign(by, "a", 1, out, sizeof out), 0);
  signer_free(by);
  by = signer_ed25519(fix_pem, strlen(fix_pem), error, sizeof error);
  assert_int_equal(signer_sign(by, "a", 1, out, sizeof out), 0);
  signer_free(by);
}

static void percent_encoding(void **state) {
  (void)state;
  char out[64];
  assert_int_equal(percent_encode("aZ09-._~", out, sizeof out), 8);
  assert_string_equal(out, "aZ09-._~");
  assert_int_equal(percent_encode("[\"\xe8\xbf\x99\"]+/=", out, sizeof out), 30);
  assert_string_equal(out, "%5B%22%E8%BF%99%22%5D%2B%2F%3D");
  assert_int_equal(percent_encode("abc", out, 3), 0);
  assert_int_equal(percent_encode("abc", out, 4), 3);
  assert_int_equal(percent_encode("/", out, 3), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hmac_vectors),
      cmocka_unit_test(hmac_secret_with_one_bit_changed),
      cmocka_unit_test(hmac_agrees_with_openssl),
      cmocka_unit_test(ed25519_vector),
      cmocka_unit_test(ed25519_signature_with_one_bit_changed_is_refused),
      cmocka_unit_test(bad_keys_are_named),
      cmocka_unit_test(a_small_buffer_is_refused),
      cmocka_unit_test(percent_encoding),
  };
  return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
