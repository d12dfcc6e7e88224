/* A permit's terms one by one, and its file under the mapping. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "permit.h"

static char directory[] = "/tmp/slipway-permit-XXXXXX";
static char path[64], latch_path[64], draft[64];
static char release[DIGEST_HEX], limits_hash[DIGEST_HEX];
static permit held;
static int64_t mono = NS_PER_S;

static void place_permit(int64_t armed_at, int64_t expires_at) {
  FILE *out = fopen(draft, "w");
  CHECK(out != NULL);
  (void)fprintf(out,
                "A{\"release\":\"%s\",\"limits\":\"%s\",\"armed_by\":\"t\",\"armed_at_ns\":%" PRId64
                ",\"expires_at_ns\":%" PRId64 "}\n",
                release, limits_hash, armed_at, expires_at);
  CHECK(fclose(out) == 0);
  CHECK(chmod(draft, 0640) == 0);
  CHECK(rename(draft, path) == 0);
}

static bool poll_at(int64_t wall) {
  mono += 2 * NS_PER_S;
  return permit_poll(&held, mono, wall);
}

static void terms(void) {
  permit_terms one;
  char text[PERMIT_TEXT_MAX];
  memset(&one, 0, sizeof one);
  (void)snprintf(one.release, sizeof one.release, "%s", release);
  (void)snprintf(one.limits, sizeof one.limits, "%s", limits_hash);
  one.armed_at_ns = 1001;
  one.expires_at_ns = 5000;
  CHECK(permit_objection(&held, &one, 2000, text, sizeof text) == NULL);
  CHECK_HAS(permit_objection(&held, &one, 5000, text, sizeof text), "expired");
  one.armed_at_ns = 1000; /* the engine's start itself */
  CHECK_HAS(permit_objection(&held, &one, 2000, text, sizeof text), "older");
  one.armed_at_ns = 2000 + 6 * NS_PER_S;
  one.expires_at_ns = INT64_MAX;
  CHECK_HAS(permit_objection(&held, &one, 2000, text, sizeof text), "future");
  one.armed_at_ns = 1001;
  one.release[5] = 'f';
  CHECK_HAS(permit_objection(&held, &one, 2000, text, sizeof text), "release");
  (void)snprintf(one.release, sizeof one.release, "%s", release);
  one.limits[63] = '0';
  CHECK_HAS(permit_objection(&held, &one, 2000, text, sizeof text), "limits");
}

static void file(void) {
  CHECK(!poll_at(2000));
  CHECK(!permit_holds(&held, 2000));
  place_permit(1500, 9000);
  CHECK(poll_at(2000));
  CHECK(permit_holds(&held, 8999));
  CHECK(!permit_holds(&held, 9000)); /* expiry is seen on the order path, not only by the loop */

  CHECK(truncate(path, 0) == 0); /* would be SIGBUS */
  CHECK(!permit_holds(&held, 2000));
  CHECK_EQ(*held.byte, 0);
  CHECK(!poll_at(2000));

  place_permit(1500, 9000); /* the same permit again: revoked is revoked */
  CHECK(!poll_at(2000));
  CHECK_HAS(held.reason, "arm again");
  place_permit(1600, 9000);
  CHECK(poll_at(2000));
  place_permit(1700, 9500); /* renewal: the old file loses its link, and the new one is taken up at once */
  CHECK(!permit_holds(&held, 2000));
  CHECK(poll_at(2000));
  CHECK_EQ(held.terms.expires_at_ns, 9500);

  const int raw = open(path, O_WRONLY | O_CLOEXEC);
  CHECK(raw >= 0 && pwrite(raw, "R", 1, 0) == 1 && close(raw) == 0);
  CHECK(!permit_holds(&held, 2000));
  CHECK(!poll_at(2000));
  CHECK_HAS(held.reason, "overwritten");

  const int latch = open(latch_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  CHECK(latch >= 0 && close(latch) == 0);
  place_permit(1800, 9000);
  CHECK(!poll_at(2000));
  CHECK_HAS(held.reason, "latch");
  CHECK(unlink(latch_path) == 0);
  CHECK(poll_at(2000)); /* asked again after a while: the latch is gone */
  permit_void(&held, 2000, "halted");
  CHECK(!permit_holds(&held, 2000));
  CHECK(!poll_at(2000));
  CHECK(unlink(path) == 0);
}

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  (void)snprintf(path, sizeof path, "%s/permit", directory);
  (void)snprintf(latch_path, sizeof latch_path, "%s/latch", directory);
  (void)snprintf(draft, sizeof draft, "%s/draft", directory);
  CHECK(digest_bytes("a", 1, release));
  CHECK(digest_bytes("b", 1, limits_hash));
  CHECK(strcmp(release, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb") == 0);
  CHECK(permit_init(&held, path, latch_path, release, limits_hash, 1000));
  terms();
  file();
  permit_free(&held);
  CHECK(rmdir(directory) == 0);
  return 0;
}
