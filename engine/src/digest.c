/* digest.c: see digest.h. */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHA256_BYTES 32

static bool finish(EVP_MD_CTX *context, char hex[DIGEST_HEX]) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context, raw, &size) != 1 || size != SHA256_BYTES) {
    return false;
  }
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < SHA256_BYTES; i++) {
    hex[2 * i] = digits[raw[i] >> 4];
    hex[2 * i + 1] = digits[raw[i] & 15];
  }
  hex[DIGEST_HEX - 1] = '\0';
  return true;
}

bool digest_bytes(const void *bytes, size_t length, char hex[DIGEST_HEX]) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  const bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                  EVP_DigestUpdate(context, bytes, length) == 1 && finish(context, hex);
  EVP_MD_CTX_free(context);
  return ok;
}

bool digest_file(const char *path, char hex[DIGEST_HEX]) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
  unsigned char block[16384];
  ssize_t got = 0;
  while (ok && (got = read(file, block, sizeof block)) != 0) {
    if (got < 0) {
      ok = errno == EINTR;
      continue;
    }
    ok = EVP_DigestUpdate(context, block, (size_t)got) == 1;
  }
  ok = ok && finish(context, hex);
  EVP_MD_CTX_free(context);
  const int saved = errno;
  (void)close(file);
  errno = saved;
  return ok;
}

bool digest_valid(const char *text) {
  return strlen(text) == DIGEST_HEX - 1 && strspn(text, "0123456789abcdef") == DIGEST_HEX - 1;
}

static bool read_all(int file, char *buffer, size_t limit, size_t *length) {
  *length = 0;
  while (*length < limit) {
    const ssize_t got = read(file, buffer + *length, limit - *length);
    if (got == 0) {
      return true;
    }
    if (got < 0 && errno != EINTR) {
      return false;
    }
    *length += got > 0 ? (size_t)got : 0;
  }
  return true;
}

bool file_read(const char *path, size_t limit, char **bytes, size_t *length, char *error, size_t error_size) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    (void)snprintf(error, error_size, "%s: cannot open: %s", path, strerror(errno));
    return false;
  }
  struct stat about;
  char *buffer = NULL;
  bool ok = false;
  if (fstat(file, &about) != 0) {
    (void)snprintf(error, error_size, "%s: cannot stat: %s", path, strerror(errno));
  } else if (!S_ISREG(about.st_mode)) {
    (void)snprintf(error, error_size, "%s: not a regular file", path);
  } else if (about.st_size < 0 || (size_t)about.st_size > limit) {
    (void)snprintf(error, error_size, "%s: %lld bytes; allowed: at most %zu", path, (long long)about.st_size,
                   limit);
  } else {
    buffer = malloc(limit + 1);
    ok = buffer != NULL && read_all(file, buffer, limit, length);
    if (!ok) {
      (void)snprintf(error, error_size, "%s: cannot read: %s", path, strerror(errno));
    }
  }
  (void)close(file);
  if (!ok) {
    free(buffer);
    return false;
  }
  buffer[*length] = '\0';
  *bytes = buffer;
  return true;
}
