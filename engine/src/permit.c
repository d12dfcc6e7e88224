/* permit.c: see permit.h. */
#include "permit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "closed_json.h"

#define ARMED 'A'
#define LOOK_EVERY_NS (2 * NS_PER_MS)
#define ASK_AGAIN_NS NS_PER_S   /* a refused file is read again: the latch or the clock may have moved */
#define AHEAD_NS (5 * NS_PER_S) /* a permit from further in the future means a clock is wrong */
#define MAP_BYTES ((size_t)4096)

/* The one page that may raise SIGBUS; read by the handler. */
static void *volatile mapped_page;

static void on_bus_error(int number, siginfo_t *about, void *context) {
  (void)context;
  void *page = mapped_page;
  const char *at = about->si_addr;
  if (page != NULL && at >= (const char *)page && at < (const char *)page + MAP_BYTES &&
      mmap(page, MAP_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
    return; /* the page now reads as zeros, which is "revoked" */
  }
  (void)signal(number, SIG_DFL);
  (void)raise(number);
}

bool permit_parse(const char *bytes, size_t length, permit_terms *terms, char *error, size_t error_size) {
  static const char *const keys[] = {"release", "limits", "armed_by", "armed_at_ns", "expires_at_ns"};
  memset(terms, 0, sizeof *terms);
  if (length == 0 || bytes[0] != ARMED) {
    (void)snprintf(error, error_size, "permit: its first byte is not 'A' (revoked or not a permit)");
    return false;
  }
  document about = {.file = "permit", .error = error, .error_size = error_size};
  json_t *root = NULL;
  if (!document_parse(&about, bytes + 1, length - 1, &root)) {
    return false;
  }
  const place at = place_root(&about, root);
  bool ok = read_object(&at, keys, sizeof keys / sizeof keys[0]);
  if (ok) {
    const place release = place_key(&at, "release");
    const place limits = place_key(&at, "limits");
    const place armed_by = place_key(&at, "armed_by");
    const place armed_at = place_key(&at, "armed_at_ns");
    const place expires_at = place_key(&at, "expires_at_ns");
    ok = read_text(&release, terms->release, sizeof terms->release) &&
         read_text(&limits, terms->limits, sizeof terms->limits) &&
         read_text(&armed_by, terms->armed_by, sizeof terms->armed_by) &&
         read_integer(&armed_at, 1, INT64_MAX, &terms->armed_at_ns) &&
         read_integer(&expires_at, 1, INT64_MAX, &terms->expires_at_ns);
    if (ok && !digest_valid(terms->release)) {
      ok = place_refuse(&release, "64 lower-case hexadecimal digits");
    }
    if (ok && !digest_valid(terms->limits)) {
      ok = place_refuse(&limits, "64 lower-case hexadecimal digits");
    }
  }
  json_decref(root);
  return ok;
}

const char *permit_objection(const permit *self, const permit_terms *terms, int64_t wall_ns, char *text,
                             size_t size) {
  if (strcmp(terms->release, self->release) != 0) {
    (void)snprintf(text, size, "permit is for release %.12s…, this executable is %.12s…", terms->release,
                   self->release);
    return text;
  }
  if (strcmp(terms->limits, self->limits) != 0) {
    (void)snprintf(text, size, "permit is for limits %.12s…, loaded limits are %.12s…", terms->limits,
                   self->limits);
    return text;
  }
  if (terms->expires_at_ns <= wall_ns) {
    return "permit has expired";
  }
  if (terms->armed_at_ns > wall_ns && terms->armed_at_ns - wall_ns > AHEAD_NS) {
    return "permit was armed in the future: check the clocks";
  }
  if (terms->armed_at_ns <= self->floor_ns) {
    return "permit is older than this engine's start or last halt: arm again";
  }
  return NULL;
}

bool permit_init(permit *self, const char *path, const char *latch, const char *release, const char *limits,
                 int64_t floor_ns) {
  memset(self, 0, sizeof *self);
  self->file = -1;
  self->floor_ns = floor_ns;
  (void)snprintf(self->path, sizeof self->path, "%s", path);
  (void)snprintf(self->latch, sizeof self->latch, "%s", latch);
  (void)snprintf(self->release, sizeof self->release, "%s", release);
  (void)snprintf(self->limits, sizeof self->limits, "%s", limits);
  (void)snprintf(self->reason, sizeof self->reason, "no permit");
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  (void)sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, NULL) == 0;
}

static void let_go(permit *self) {
  if (self->byte != NULL) {
    mapped_page = NULL;
    (void)munmap((void *)(uintptr_t)self->byte, MAP_BYTES);
    self->byte = NULL;
  }
  if (self->file >= 0) {
    (void)close(self->file);
    self->file = -1;
  }
}

void permit_free(permit *self) { let_go(self); }

bool permit_holds(const permit *self, int64_t wall_ns) {
  struct stat about;
  return self->file >= 0 && wall_ns < self->terms.expires_at_ns && fstat(self->file, &about) == 0 &&
         about.st_nlink > 0 && about.st_size > 0 && *self->byte == ARMED;
}

static void refuse(permit *self, const struct stat *about, int64_t mono_ns, const char *reason) {
  self->refused_mono_ns = mono_ns;
  self->refused_device = about->st_dev;
  self->refused_inode = about->st_ino;
  self->refused_changed = about->st_ctim;
  (void)snprintf(self->reason, sizeof self->reason, "%s", reason);
}

static bool known_refusal(const permit *self, const struct stat *about, int64_t mono_ns) {
  return mono_ns - self->refused_mono_ns < ASK_AGAIN_NS && self->refused_inode == about->st_ino &&
         self->refused_device == about->st_dev && self->refused_changed.tv_sec == about->st_ctim.tv_sec &&
         self->refused_changed.tv_nsec == about->st_ctim.tv_nsec;
}

static const char *file_objection(const struct stat *about) {
  if (!S_ISREG(about->st_mode)) {
    return "permit is not a regular file";
  }
  if (about->st_size < 2 || about->st_size > PERMIT_BYTES_MAX) {
    return "permit is empty or too large";
  }
  if ((about->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return "permit may be written by group or others";
  }
  if (about->st_uid != 0 && about->st_uid != geteuid()) {
    return "permit is not owned by root";
  }
  return NULL;
}

/* A latch that cannot be looked for counts as one that is there. */
static bool latched(const permit *self) { return access(self->latch, F_OK) == 0 || errno != ENOENT; }

static bool take_up(permit *self, int64_t mono_ns, int64_t wall_ns) {
  const int file = open(self->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat about;
  if (file < 0) {
    (void)snprintf(self->reason, sizeof self->reason,
                   errno == ENOENT ? "no permit" : "permit: cannot open: %s", strerror(errno));
    self->refused_inode = 0;
    return false;
  }
  char bytes[PERMIT_BYTES_MAX + 1];
  char text[PERMIT_TEXT_MAX];
  permit_terms terms;
  if (fstat(file, &about) != 0 || known_refusal(self, &about, mono_ns)) {
    (void)close(file);
    return false;
  }
  const char *objection = file_objection(&about);
  if (objection == NULL && latched(self)) {
    objection = "an automatic halt is latched: lift the latch first";
  }
  if (objection == NULL) {
    const ssize_t length = pread(file, bytes, sizeof bytes, 0);
    if (length != about.st_size) {
      objection = "permit: cannot read it whole";
    } else if (!permit_parse(bytes, (size_t)length, &terms, text, sizeof text)) {
      objection = text;
    } else {
      objection = permit_objection(self, &terms, wall_ns, text, sizeof text);
    }
  }
  void *page = MAP_FAILED;
  if (objection == NULL) {
    page = mmap(NULL, MAP_BYTES, PROT_READ, MAP_SHARED, file, 0);
    objection = page == MAP_FAILED ? "permit: cannot map it" : NULL;
  }
  if (objection != NULL) {
    refuse(self, &about, mono_ns, objection);
    (void)close(file);
    return false;
  }
  self->file = file;
  self->byte = page;
  mapped_page = page;
  self->terms = terms;
  self->reason[0] = '\0';
  return true;
}

static const char *revocation(const permit *self, int64_t wall_ns) {
  struct stat about;
  if (wall_ns >= self->terms.expires_at_ns) {
    return "permit has expired";
  }
  return fstat(self->file, &about) == 0 && about.st_nlink == 0 ? "permit was removed"
                                                               : "permit was overwritten";
}

bool permit_poll(permit *self, int64_t mono_ns, int64_t wall_ns) {
  if (self->file >= 0) {
    if (permit_holds(self, wall_ns)) {
      return true;
    }
    const char *why = revocation(self, wall_ns);
    self->floor_ns = self->terms.armed_at_ns > self->floor_ns ? self->terms.armed_at_ns : self->floor_ns;
    let_go(self);
    if (take_up(self, mono_ns, wall_ns)) {
      return true; /* renewed in place by a newer one */
    }
    (void)snprintf(self->reason, sizeof self->reason, "%s", why);
    self->looked_mono_ns = mono_ns;
    return false;
  }
  if (mono_ns - self->looked_mono_ns < LOOK_EVERY_NS && self->looked_mono_ns != 0) {
    return false;
  }
  self->looked_mono_ns = mono_ns;
  return take_up(self, mono_ns, wall_ns) && permit_holds(self, wall_ns);
}

void permit_void(permit *self, int64_t wall_ns, const char *reason) {
  self->floor_ns = wall_ns > self->floor_ns ? wall_ns : self->floor_ns;
  let_go(self);
  (void)snprintf(self->reason, sizeof self->reason, "%s", reason);
}
