/* say: quantities as one reads them. All write at most n octets of text. */
#ifndef SAY_H
#define SAY_H

#include <stddef.h>
#include <stdint.h>

enum { SAY_SIZE = 40 }; /* enough for each */

/* 400us, 12ms, 3.2s, 45s, 3m 20s, 2h 5m, 3d 4h; below 0 is 0s. */
const char *say_time(int64_t us, char *text, size_t n);
static inline const char *
say_ms(int64_t ms, char *text, size_t n)
{
	if (ms > INT64_MAX / 1000)
		return say_time(INT64_MAX, text, n);
	return say_time(ms > 0 ? ms * 1000 : 0, text, n);
}

/* Of the day, in local time, with the date when that is another than now_ms
 * has: 14:05:09, 2026-11-28 14:05. */
const char *say_clock(
    int64_t wall_ms, int64_t now_wall_ms, char *text, size_t n);

/* 0, 0.04, 4.3, 120 */
const char *say_rate(double per_s, char *text, size_t n);

#endif
