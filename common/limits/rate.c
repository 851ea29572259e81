#include "common/limits/rate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/slice.h"

static const char allowed[] =
    "none, N/period, N/period:burst or N/period!, such as 14/1s, 0.5/1s, "
    "30/1m:5 or 50000/1d! (N up to three decimals, whole for a quota; period "
    "in ms, s, m, h or d, up to 400d)";

/* Longest first: "ms" begins with "m". */
static const struct {
	const char *word;
	int64_t us;
} units[] = {
    {"ms", 1000},
    {"s", INT64_C(1000000)},
    {"m", INT64_C(60000000)},
    {"h", INT64_C(3600000000)},
    {"d", INT64_C(86400000000)},
};
enum { UNITS = sizeof units / sizeof units[0] };

static bool
is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
take_char(struct slice *text, char c)
{
	if (text->n == 0 || text->p[0] != c)
		return false;
	*text = slice_of(text->p + 1, text->n - 1);
	return true;
}

/* Takes digits; their number, and how many there were. False above max. */
static bool
take_digits(struct slice *text, int64_t max, int64_t *value, size_t *digits)
{
	size_t i = 0;

	*value = 0;
	for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++) {
		*value = *value * 10 + (text->p[i] - '0');
		if (*value > max)
			return false;
	}
	*digits = i;
	*text = slice_of(text->p + i, text->n - i);
	return true;
}

/* "14" or "0.5", in thousandths. */
static bool
take_count(struct slice *text, int64_t *milli)
{
	int64_t whole, part = 0;
	size_t digits, decimals = 0;

	if (!take_digits(text, RATE_COUNT_MAX - 1, &whole, &digits))
		return false;
	if (take_char(text, '.')) {
		if (!take_digits(text, 999, &part, &decimals) || decimals < 1 ||
		    decimals > 3)
			return false;
		for (; decimals < 3; decimals++)
			part *= 10;
	}
	*milli = whole * 1000 + part;
	return digits > 0 && *milli > 0;
}

/* "1s", "500ms" or "s". */
static bool
take_period(struct slice *text, int64_t *us)
{
	int64_t value;
	size_t digits;

	if (!take_digits(text, RATE_PERIOD_MAX_US, &value, &digits))
		return false;
	if (digits == 0)
		value = 1;
	for (size_t i = 0; i < UNITS; i++) {
		size_t n = strlen(units[i].word);

		if (text->n < n || memcmp(text->p, units[i].word, n) != 0)
			continue;
		*text = slice_of(text->p + n, text->n - n);
		if (value == 0 || value > RATE_PERIOD_MAX_US / units[i].us)
			return false;
		*us = value * units[i].us;
		return true;
	}
	return false;
}

int64_t
rate_default_burst(int64_t count_milli, int64_t period_us)
{
	__extension__ __int128 units_in_50_ms =
	    (__int128)count_milli * 50000 / period_us / 1000;

	if (units_in_50_ms < 1)
		return 1;
	if (units_in_50_ms > RATE_COUNT_MAX)
		return RATE_COUNT_MAX;
	return (int64_t)units_in_50_ms;
}

/* A burst must refill within 25 years: bucket reckons in nanoseconds. */
static bool
burst_is_sane(const struct rate *rate)
{
	const int64_t max_us = INT64_C(25) * 366 * 86400 * 1000000;
	__extension__ __int128 refill_us =
	    (__int128)rate->burst * 1000 * rate->period_us / rate->count_milli;

	return rate->burst > 0 && refill_us <= max_us;
}

static bool
parse(struct slice text, struct rate *rate)
{
	bool is_whole;
	size_t digits;

	*rate = (struct rate){.burst = 0, .is_quota = false};
	if (!take_count(&text, &rate->count_milli) || !take_char(&text, '/') ||
	    !take_period(&text, &rate->period_us))
		return false;
	is_whole = rate->count_milli % 1000 == 0;
	if (take_char(&text, '!')) {
		rate->is_quota = true;
		return is_whole && text.n == 0;
	}
	if (take_char(&text, ':'))
		return take_digits(
			   &text, RATE_COUNT_MAX, &rate->burst, &digits) &&
		       burst_is_sane(rate) && text.n == 0;
	rate->is_quota = is_whole && rate->period_us >= 3600 * INT64_C(1000000);
	if (!rate->is_quota)
		rate->burst =
		    rate_default_burst(rate->count_milli, rate->period_us);
	return (rate->is_quota || burst_is_sane(rate)) && text.n == 0;
}

bool
rate_parse(struct slice text, struct rate *out, char *error, size_t error_size)
{
	while (text.n > 0 && is_separator(text.p[0]))
		text = slice_of(text.p + 1, text.n - 1);
	while (text.n > 0 && is_separator(text.p[text.n - 1]))
		text.n--;
	if (text.n > 0 && parse(text, out))
		return true;
	(void)snprintf(error, error_size, "bad rate \"%.*s\": must be %s",
	    text.n > 100 ? 100 : (int)text.n, text.n > 0 ? text.p : "",
	    allowed);
	return false;
}

bool
rate_list_parse(struct slice text, struct rate *out, size_t max,
    size_t *count_out, char *error, size_t error_size)
{
	size_t at = 0, end;

	*count_out = 0;
	for (;; at = end) {
		struct slice word;

		while (at < text.n && is_separator(text.p[at]))
			at++;
		if (at == text.n)
			return true;
		for (end = at; end < text.n && !is_separator(text.p[end]);)
			end++;
		word = slice_of(text.p + at, end - at);
		if (slice_eq_nocase(word, "none"))
			continue;
		if (*count_out == max) {
			(void)snprintf(error, error_size,
			    "must be a list of up to %zu rates", max);
			return false;
		}
		if (!rate_parse(word, &out[*count_out], error, error_size))
			return false;
		++*count_out;
	}
}

void
rate_to_text(const struct rate *rate, char *out, size_t n)
{
	char count[32], rest[32];
	size_t len, unit = UNITS - 1;

	/* The largest unit that the period is a multiple of; periods come in
	 * whole milliseconds. */
	while (unit > 0 && rate->period_us % units[unit].us != 0)
		unit--;
	len = (size_t)snprintf(count, sizeof count, "%" PRId64 ".%03d",
	    rate->count_milli / 1000, (int)(rate->count_milli % 1000));
	while (count[len - 1] == '0')
		count[--len] = '\0';
	if (count[len - 1] == '.')
		count[--len] = '\0';
	if (rate->is_quota)
		(void)snprintf(rest, sizeof rest, "!");
	else
		(void)snprintf(rest, sizeof rest, ":%" PRId64, rate->burst);
	(void)snprintf(out, n, "%s/%" PRId64 "%s%s", count,
	    rate->period_us / units[unit].us, units[unit].word, rest);
}

void
rate_scale(struct rate *rate, int percent)
{
	int64_t most_milli = RATE_COUNT_MAX * 1000 - 1;
	bool has_default = rate->burst == rate_default_burst(rate->count_milli,
					      rate->period_us);

	CHECK(!rate->is_quota && percent > 0 && percent <= RATE_PERCENT_MAX);
	rate->count_milli = rate->count_milli * percent / 100;
	if (rate->count_milli < 1)
		rate->count_milli = 1;
	if (rate->count_milli > most_milli)
		rate->count_milli = most_milli;
	if (has_default)
		rate->burst =
		    rate_default_burst(rate->count_milli, rate->period_us);
}
