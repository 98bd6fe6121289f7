/* Loaded into a server under test before the C library: makes writes to its database fail, and its wall clock wrong.
 *
 * What is wrong stands in the file that HELIOSTAT_TEST_FAULTS names, three numbers of 64 bits that the test changes at
 * any time: the errno that writing to the database ends with (0 for none), the milliseconds that are added to the wall clock,
 * and the errno that forcing the database to disk ends with. The monotonic clock is left alone, as by whoever sets a clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *faults;

__attribute__((constructor)) static void look_at_faults(void) {
  const char *path = getenv("HELIOSTAT_TEST_FAULTS");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    fputs("HELIOSTAT_TEST_FAULTS cannot be read\n", stderr);
    _exit(99);
  }
  close(fd);
  faults = mapped;
}

enum { WRITING = 0, CLOCK = 1, SYNCING = 2 };

/* Whether doing this to a descriptor is to fail; sets errno. */
static int fails(int fd, int kind) {
  long long error = faults ? faults[kind] : 0;
  if (error == 0) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!strstr(path, "/heliostat.db")) return 0;
  errno = (int)error;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
  return fails(fd, WRITING) ? -1 : REAL(write)(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
  return fails(fd, WRITING) ? -1 : REAL(pwrite)(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  return fails(fd, WRITING) ? -1 : REAL(pwrite64)(fd, bytes, length, at);
}

int fsync(int fd) { return fails(fd, SYNCING) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails(fd, SYNCING) ? -1 : REAL(fdatasync)(fd); }

int ftruncate(int fd, off_t length) { return fails(fd, WRITING) ? -1 : REAL(ftruncate)(fd, length); }

int ftruncate64(int fd, off64_t length) { return fails(fd, WRITING) ? -1 : REAL(ftruncate64)(fd, length); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int done = REAL(clock_gettime)(clock, now);
  if (done == 0 && faults && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    long long millis = faults[CLOCK];
    now->tv_sec += millis / 1000;
  }
  return done;
}
