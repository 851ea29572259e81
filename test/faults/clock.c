/* clock: a preloaded library that makes the wall clock wrong.
 *
 *   LD_PRELOAD=build/clock.so CLOCK_AHEAD_S=-3600 CLOCK_WORD=token lane token
 *
 * time(), gettimeofday() and clock_gettime(CLOCK_REALTIME) are so many seconds
 * ahead, in a program that has CLOCK_WORD among its arguments. The monotonic
 * clock is what it is.
 */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ts);
int gettimeofday(struct timeval *restrict tv, void *restrict zone);
time_t time(time_t *out);

static bool
is_meant(void)
{
	const char *word = getenv("CLOCK_WORD");
	char words[4096] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, words, sizeof(words) - 1) : 0;

	if (fd >= 0)
		(void)close(fd);
	for (char *p = words; word != NULL && p < words + n; p += strlen(p) + 1)
		if (strcmp(p, word) == 0)
			return true;
	return false;
}

static long
ahead_s(void)
{
	static long seconds;
	static bool is_known;
	const char *text = getenv("CLOCK_AHEAD_S");

	if (!is_known) {
		is_known = true;
		seconds =
		    text != NULL && is_meant() ? strtol(text, NULL, 10) : 0;
	}
	return seconds;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, ts);

	if (rc == 0 &&
	    (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ts->tv_sec += ahead_s();
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts = {0};

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
