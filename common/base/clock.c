#include "common/base/clock.h"

#include <time.h>

int64_t
clock_mono_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_ms_from_us(int64_t us)
{
	if (us == INT64_MAX)
		return INT64_MAX;
	return us / US_PER_MS + (us % US_PER_MS > 0);
}

int64_t
clock_us_from_ms(int64_t ms)
{
	return ms > INT64_MAX / US_PER_MS ? INT64_MAX : ms * US_PER_MS;
}

struct timeval
clock_wall(void)
{
	struct timeval tv;

	(void)gettimeofday(&tv, NULL);
	return tv;
}

struct moment
clock_moment(void)
{
	return (struct moment){clock_mono_us(), clock_wall()};
}
