#include "common/shared/fleet_lessons.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a double, which a script's numbers are, says exactly. */
#define VALUE_MAX (INT64_C(1) << 53)

static void
print_one(const struct fleet_lesson *l, int kind, bool with_host, char *out)
{
	size_t n = strlen(out);

	(void)snprintf(out + n, FLEET_LESSONS_SIZE - n,
	    "%s%d %" PRId64 " %" PRId64 "%s%s", n > 0 ? " " : "", kind + 1,
	    l->left_us, l->value, with_host ? " " : "",
	    with_host ? l->host : "");
}

void
fleet_lessons_print(const struct fleet_lesson lessons[FLEET_LESSONS],
    bool with_hosts, char out[FLEET_LESSONS_SIZE])
{
	*out = '\0';
	for (int k = 0; k < FLEET_LESSONS; k++)
		if (lessons[k].left_us > 0)
			print_one(&lessons[k], k, with_hosts, out);
}

/* The next word of *text, cut off; NULL: there is none. */
static const char *
next_word(const char **text, char out[FLEET_NAME_SIZE])
{
	size_t n = strcspn(*text, " ");

	if (n == 0 || n >= FLEET_NAME_SIZE)
		return NULL;
	memcpy(out, *text, n);
	out[n] = '\0';
	*text += n;
	if (**text == ' ' && (*text)[1] != '\0')
		(*text)++;
	return out;
}

/* Below 0: it is none, or more than that. */
static int64_t
next_number(const char **text, int64_t most)
{
	char word[FLEET_NAME_SIZE];
	int64_t n = 0;

	if (next_word(text, word) == NULL ||
	    strspn(word, "0123456789") != strlen(word))
		return -1;
	for (const char *p = word; *p != '\0'; p++) {
		n = n * 10 + (*p - '0');
		if (n > most)
			return -1;
	}
	return n;
}

static bool
parse_one(const char **text, bool with_host, struct fleet_lesson *out)
{
	int64_t kind = next_number(text, FLEET_LESSONS);
	struct fleet_lesson *l;

	if (kind < 1 || out[kind - 1].left_us > 0)
		return false;
	l = &out[kind - 1];
	l->left_us = next_number(text, FLEET_LESSON_MAX_US);
	l->value = next_number(text, VALUE_MAX);
	if (l->left_us < 1 || l->value < 0)
		return false;
	return !with_host ||
	       (next_word(text, l->host) != NULL && fleet_is_name(l->host));
}

bool
fleet_lessons_parse(
    const char *text, bool with_hosts, struct fleet_lesson out[FLEET_LESSONS])
{
	memset(out, 0, FLEET_LESSONS * sizeof(*out));
	while (*text != '\0')
		if (!parse_one(&text, with_hosts, out)) {
			memset(out, 0, FLEET_LESSONS * sizeof(*out));
			return false;
		}
	return true;
}

/* ---- a refusal --------------------------------------------------------------
 */

enum { PART = 1000 };

int64_t
fleet_refusal(const char *reply)
{
	unsigned code = 0, class = 0, subject = 0, detail = 0;
	int n = sscanf(
	    reply, "%3u%*1[ -]%1u.%3u.%3u", &code, &class, &subject, &detail);

	if (n < 1 || code < 200 || code > 599)
		return 0;
	if (n < 4 || class != code / 100)
		class = subject = detail = 0;
	return (((int64_t)code * 10 + class) * PART + subject) * PART + detail;
}

const char *
fleet_refusal_text(int64_t value, char out[FLEET_REFUSAL_SIZE])
{
	int detail = (int)(value % PART);
	int subject = (int)(value / PART % PART);
	int64_t head = value / PART / PART;

	if (head < 2000 || head > 5999)
		(void)snprintf(out, FLEET_REFUSAL_SIZE, "no");
	else if (head % 10 == 0)
		(void)snprintf(out, FLEET_REFUSAL_SIZE, "%d", (int)(head / 10));
	else
		(void)snprintf(out, FLEET_REFUSAL_SIZE, "%d %d.%d.%d",
		    (int)(head / 10), (int)(head % 10), subject, detail);
	return out;
}
