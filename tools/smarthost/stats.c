#include "tools/smarthost/stats.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

static const char *const violation_names[VIOLATION_COUNT] = {
#define VIOLATION_NAME(id, name) name,
    VIOLATIONS(VIOLATION_NAME)
#undef VIOLATION_NAME
};

void
stats_violation(struct stats *s, enum violation kind, uint64_t conn_nr,
    const char *format, ...)
{
	char text[STATS_TEXT];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	s->violations++;
	s->violation_kinds[kind]++;
	(void)snprintf(s->violation_last, sizeof(s->violation_last),
	    "connection %" PRIu64 ": %s: %.120s", conn_nr,
	    violation_names[kind], text);
}

void
stats_tick(struct stats *s, int64_t now_ms)
{
	size_t at = s->ticks++ % STATS_SLICES;

	s->tick_messages[at] = s->messages;
	s->tick_ms[at] = now_ms;
}

/* Messages in the last second, from the youngest tick at least 1 s old. */
static double
rate_now(const struct stats *s, int64_t now_ms)
{
	size_t n = s->ticks < STATS_SLICES ? s->ticks : STATS_SLICES;

	for (size_t i = 1; i <= n; i++) {
		size_t at = (s->ticks - i) % STATS_SLICES;
		int64_t age = now_ms - s->tick_ms[at];

		if (age >= 1000 || (i == n && age > 0))
			return (double)(s->messages - s->tick_messages[at]) *
			       1000.0 / (double)age;
	}
	return 0;
}

static void
write_text(FILE *f, const char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c >= 0x7f)
			fprintf(f, "\\u00%02x", c);
		else if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else
			fputc(c, f);
	}
}

bool
stats_write(const struct stats *s, const char *path, int64_t now_ms)
{
	char *temp = mem_printf("%s.new", path);
	FILE *f = fopen(temp, "we");
	bool ok = f != NULL;

	if (!ok)
		goto out;
	fprintf(f, "{");
#define STATS_WRITE(name) fprintf(f, "\"" #name "\": %" PRIu64 ",\n ", s->name);
	STATS_COUNTERS(STATS_WRITE)
#undef STATS_WRITE
	fprintf(f, "\"messages_per_s\": %.1f,\n ", rate_now(s, now_ms));
	fprintf(f, "\"violations\": %" PRIu64 ",\n ", s->violations);
	fprintf(f, "\"violation_kinds\": {");
	for (size_t i = 0; i < VIOLATION_COUNT; i++)
		fprintf(f, "%s\"%s\": %" PRIu64, i ? ", " : "",
		    violation_names[i], s->violation_kinds[i]);
	fprintf(f, "},\n \"violation_last\": \"");
	write_text(f, s->violation_last);
	fprintf(f, "\"}\n");
	ok = fclose(f) == 0 && rename(temp, path) == 0;
out:
	mem_free(temp);
	return ok;
}
