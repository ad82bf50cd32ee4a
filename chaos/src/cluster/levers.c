/* Preloaded into a node: makes its disk and its wall clock misbehave as a shared file says. Needs no privileges.
 *
 * The file named by RAFTWORK_LEVERS holds, in the machine's byte order: two 32-bit numbers (sync fails with EIO if not 0;
 * milliseconds that every sync takes longer), two more (writes to regular files fail with ENOSPC if not 0; times that any
 * of this took effect, counted here) and a 64-bit one (milliseconds that the wall clock is ahead). The monotonic clock is
 * never touched: it is what timers of all kinds stand on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct levers {
  volatile uint32_t sync_fails;
  volatile uint32_t sync_delay_ms;
  volatile uint32_t disk_full;
  volatile uint32_t effects;
  volatile int64_t clock_ahead_ms;
};

static struct levers idle;
static struct levers *levers = &idle;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("RAFTWORK_LEVERS");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *map = mmap(NULL, sizeof(struct levers), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (map != MAP_FAILED) levers = map;
  close(file);
}

static void took_effect(void) { __atomic_fetch_add(&levers->effects, 1, __ATOMIC_RELAXED); }

#define NEXT(type, name) \
  static type next; \
  if (!next) next = (type)dlsym(RTLD_NEXT, name)

typedef int (*sync_fn)(int);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_fn)(int, const struct iovec *, int);
typedef int (*fallocate_fn)(int, int, off_t, off_t);
typedef int (*gettime_fn)(clockid_t, struct timespec *);
typedef int (*wait_fn)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static int before_sync(void) {
  uint32_t delay = levers->sync_delay_ms;
  if (delay) {
    took_effect();
    struct timespec span = {delay / 1000, (long)(delay % 1000) * 1000000};
    nanosleep(&span, NULL);
  }
  if (!levers->sync_fails) return 0;
  took_effect();
  errno = EIO;
  return -1;
}

int fdatasync(int file) {
  NEXT(sync_fn, "fdatasync");
  return before_sync() ? -1 : next(file);
}

int fsync(int file) {
  NEXT(sync_fn, "fsync");
  return before_sync() ? -1 : next(file);
}

/* RocksDB's log for people: it goes on without, and a node that has nothing else to write owes nobody an end. */
static int is_for_people(int file) {
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path);
  return length >= 4 && !memcmp(path + length - 4, "/LOG", 4);
}

/* Sockets, pipes and the standard streams have room, whatever the disk has. */
static int is_full(int file) {
  struct stat about;
  if (!levers->disk_full || file <= 2 || fstat(file, &about) || !S_ISREG(about.st_mode)) return 0;
  if (!is_for_people(file)) took_effect();
  errno = ENOSPC;
  return 1;
}

ssize_t write(int file, const void *bytes, size_t length) {
  NEXT(write_fn, "write");
  return is_full(file) ? -1 : next(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
  NEXT(pwrite_fn, "pwrite");
  return is_full(file) ? -1 : next(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t at) {
  NEXT(pwrite_fn, "pwrite64");
  return is_full(file) ? -1 : next(file, bytes, length, at);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  NEXT(writev_fn, "writev");
  return is_full(file) ? -1 : next(file, parts, count);
}

int fallocate(int file, int mode, off_t at, off_t length) {
  NEXT(fallocate_fn, "fallocate");
  return is_full(file) ? -1 : next(file, mode, at, length);
}

static void shift(struct timespec *time, int64_t ms) {
  time->tv_sec += ms / 1000;
  time->tv_nsec += (long)(ms % 1000) * 1000000;
  if (time->tv_nsec >= 1000000000) time->tv_sec += 1, time->tv_nsec -= 1000000000;
  if (time->tv_nsec < 0) time->tv_sec -= 1, time->tv_nsec += 1000000000;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *time) {
  NEXT(gettime_fn, "clock_gettime");
  int failed = next(clock, time);
  if (!failed && is_wall(clock) && levers->clock_ahead_ms) {
    took_effect();
    shift(time, levers->clock_ahead_ms);
  }
  return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  if (failed || !time) return failed;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

/* Deadlines on the wall clock were made of the time that is told here, and are waited for on the true one. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
  NEXT(wait_fn, "pthread_cond_timedwait");
  struct timespec moved = *deadline;
  /* Deadlines on the monotonic clock count from the start of the machine: decades before any on the wall clock. */
  if (moved.tv_sec > 1000000000 && levers->clock_ahead_ms) shift(&moved, -levers->clock_ahead_ms);
  return next(condition, mutex, &moved);
}
