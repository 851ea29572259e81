#include "monitor/intended.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/words.h"

enum {
	TEXT_MAX = 100, /* nothing longer is understood */
	SLIPS_MAX = 3, /* letters wrong in a name */
	SLIP_EVERY = 5, /* one in so many */
};

static bool
takes(const struct param *param, const char *text)
{
	struct problems problems = {0};
	struct settings set;
	bool is_taken;

	memset(&set, 0, sizeof(set));
	params_init(&set);
	is_taken = params_set(&set, param, text, &problems);
	problems_fini(&problems);
	settings_free(&set);
	return is_taken;
}

/* ---- how much two words differ ------------------------------------------- */

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t n = a < b ? a : b;

	return n < c ? n : c;
}

/* Letters to be put in, left out or exchanged. */
static size_t
slips(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t row[TEXT_MAX + 1];

	if (a_n > TEXT_MAX || b_n > TEXT_MAX)
		return TEXT_MAX;
	for (size_t k = 0; k <= b_n; k++)
		row[k] = k;
	for (size_t i = 1; i <= a_n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b_n; k++) {
			bool is_same = tolower((unsigned char)a[i - 1]) ==
				       tolower((unsigned char)b[k - 1]);
			size_t n = least(
			    corner + !is_same, row[k] + 1, row[k - 1] + 1);

			corner = row[k];
			row[k] = n;
		}
	}
	return row[b_n];
}

static size_t
slips_allowed(size_t n)
{
	size_t allowed = n / SLIP_EVERY + 1;

	return allowed < SLIPS_MAX ? allowed : SLIPS_MAX;
}

/* ---- names --------------------------------------------------------------- */

/* The name is the beginning of it: "lane_message_rate". */
static bool
is_cut_short(const char *name, const char *whole)
{
	size_t n = strlen(name);

	return strncmp(name, whole, n) == 0 && whole[n] == '_';
}

const struct param *
intended_param(const char *name)
{
	const struct param *best = NULL;
	size_t n = strlen(name), fewest = slips_allowed(n) + 1;
	bool is_one = false;

	for (size_t i = 0; i < params_count(); i++) {
		const struct param *param = params_get(i);
		size_t differ;

		if (!params_is_ours(param))
			continue;
		differ = is_cut_short(name, param->name)
			     ? 1
			     : slips(name, n, param->name, strlen(param->name));
		if (differ < fewest) {
			best = param;
			fewest = differ;
			is_one = true;
		} else if (differ == fewest) {
			is_one = false;
		}
	}
	return is_one ? best : NULL;
}

/* ---- values -------------------------------------------------------------- */

static const char *
unit_of(const char *word, size_t n)
{
	static const struct {
		const char *words, *unit;
	} rows[] = {{"ms msec millisecond milliseconds", "ms"},
	    {"s sec secs second seconds", "s"},
	    {"m min mins minute minutes", "m"}, {"h hr hour hours", "h"},
	    {"d day days", "d"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice rest = slice_str(rows[i].words), each;

		while (words_next(&rest, &each))
			if (each.n == n && strncasecmp(each.p, word, n) == 0)
				return rows[i].unit;
	}
	return NULL;
}

static size_t
letters(const char *text)
{
	size_t n = 0;

	while (isalpha((unsigned char)text[n]))
		n++;
	return n;
}

/* "20 connections": one number, and words behind it. */
static char *
number_of(const char *text)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || text[n] == '.' || text[n] == ',' ||
	    strpbrk(text + n, "0123456789") != NULL)
		return NULL;
	return mem_strndup(text, n);
}

static char *
time_of(const char *text)
{
	size_t n = strspn(text, "0123456789");
	const char *word = text + n, *unit;

	if (n == 0)
		return NULL;
	word += strspn(word, " ");
	unit = unit_of(word, strlen(word));
	return unit != NULL ? mem_printf("%.*s%s", (int)n, text, unit) : NULL;
}

/* "5 per second", "100/day", "30 / 5 minutes". */
static char *
rate_of(const char *text)
{
	size_t n = strspn(text, "0123456789."), digits;
	const char *at = text + n, *count, *unit;

	if (n == 0)
		return NULL;
	at += strspn(at, " ");
	if (strncasecmp(at, "per ", 4) == 0)
		at += 4;
	else if (*at == '/')
		at++;
	else
		return NULL;
	at += strspn(at, " ");
	count = at;
	digits = strspn(at, "0123456789");
	at += digits;
	at += strspn(at, " ");
	unit = unit_of(at, letters(at));
	if (unit == NULL || at[letters(at)] != '\0')
		return NULL;
	return mem_printf("%.*s/%.*s%s", (int)n, text,
	    digits > 0 ? (int)digits : 1, digits > 0 ? count : "1", unit);
}

static char *
yes_or_no(const char *text)
{
	static const char *const yes[] = {
	    "true", "on", "y", "1", "enable", "enabled"};
	static const char *const no[] = {
	    "false", "off", "n", "0", "disable", "disabled"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (strcasecmp(text, yes[i]) == 0)
			return mem_strdup("yes");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcasecmp(text, no[i]) == 0)
			return mem_strdup("no");
	return NULL;
}

static char *
word_like(const struct param *param, const char *text)
{
	struct slice rest = slice_str(param->words), each, best = {0};
	size_t n = strlen(text), fewest = slips_allowed(n) + 1;
	bool is_one = false;

	while (words_next(&rest, &each)) {
		size_t differ = slips(text, n, each.p, each.n);

		if (differ < fewest) {
			best = each;
			fewest = differ;
			is_one = true;
		} else if (differ == fewest) {
			is_one = false;
		}
	}
	/* Of a short word too little would be left. */
	return is_one && fewest * 2 < n ? mem_strndup(best.p, best.n) : NULL;
}

/* One that sends nothing in clear text; DANE may, where it finds nothing. */
static char *
level_like(const struct param *param, const char *text)
{
	char *like = word_like(param, text);

	if (like != NULL && strcmp(like, "none") != 0 &&
	    strcmp(like, "may") != 0 && strncmp(like, "dane", 4) != 0)
		return like;
	mem_free(like);
	return mem_strdup("secure");
}

char *
intended_value(const struct param *param, const char *text)
{
	char *value = NULL;

	if (strlen(text) > TEXT_MAX)
		return NULL;
	if (strcmp(param->name, "smtp_tls_security_level") == 0)
		value = level_like(param, text);
	else if (param->type == PARAM_INT || param->type == PARAM_BYTES)
		value = number_of(text);
	else if (param->type == PARAM_TIME)
		value = time_of(text);
	else if (param->type == PARAM_RATE)
		value = rate_of(text);
	else if (param->type == PARAM_BOOL)
		value = yes_or_no(text);
	else if (param->type == PARAM_WORD)
		value = word_like(param, text);
	if (value != NULL && takes(param, value))
		return value;
	mem_free(value);
	return NULL;
}
