#include "monitor/say.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

enum { MS = 1000, S = 1000000 };

const char *
say_time(int64_t us, char *text, size_t n)
{
	int64_t s = us / S;

	if (us <= 0)
		(void)snprintf(text, n, "0s");
	else if (us < MS)
		(void)snprintf(text, n, "%lldus", (long long)us);
	else if (us < S)
		(void)snprintf(text, n, "%lldms", (long long)(us / MS));
	else if (s < 10)
		(void)snprintf(text, n, "%lld.%llds", (long long)s,
		    (long long)(us % S / (S / 10)));
	else if (s < 60)
		(void)snprintf(text, n, "%llds", (long long)s);
	else if (s < 3600)
		(void)snprintf(text, n, "%lldm %llds", (long long)(s / 60),
		    (long long)(s % 60));
	else if (s < 86400)
		(void)snprintf(text, n, "%lldh %lldm", (long long)(s / 3600),
		    (long long)(s / 60 % 60));
	else
		(void)snprintf(text, n, "%lldd %lldh", (long long)(s / 86400),
		    (long long)(s / 3600 % 24));
	return text;
}

const char *
say_clock(int64_t wall_ms, int64_t now_wall_ms, char *text, size_t n)
{
	time_t at = (time_t)(wall_ms / 1000);
	time_t now = (time_t)(now_wall_ms / 1000);
	struct tm tm, today;

	if (localtime_r(&at, &tm) == NULL ||
	    localtime_r(&now, &today) == NULL) {
		(void)snprintf(text, n, "?");
		return text;
	}
	if (tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year)
		(void)strftime(text, n, "%H:%M:%S", &tm);
	else
		(void)strftime(text, n, "%Y-%m-%d %H:%M", &tm);
	return text;
}

const char *
say_rate(double per_s, char *text, size_t n)
{
	if (!isfinite(per_s) || per_s <= 0)
		(void)snprintf(text, n, "0");
	else if (per_s < 1)
		(void)snprintf(text, n, "%.2g", per_s);
	else if (per_s < 100)
		(void)snprintf(text, n, "%.1f", per_s);
	else
		(void)snprintf(text, n, "%.0f", per_s);
	return text;
}
