#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"

/* What is cut off a line is not seen by the filter. */
enum { RAW_LINE_MAX = 4 * LOG_LINE_MAX };

static void
to_stderr(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)fprintf(stderr, "%s\n", line);
}

/* The sink is the one mutable global of the program: every module logs, and
 * threading a handle through each of them would say nothing new. */
static struct {
	log_sink_fn *sink;
	void *ctx;
	log_filter_fn *filter;
	void *filter_ctx;
	int verbose;
} state = {.sink = to_stderr};

void
log_set_sink(log_sink_fn *sink, void *ctx)
{
	state.sink = sink != NULL ? sink : to_stderr;
	state.ctx = ctx;
}

void
log_set_filter(log_filter_fn *filter, void *ctx)
{
	state.filter = filter;
	state.filter_ctx = ctx;
}

void
log_filter(char *text, size_t size, const char *about)
{
	if (state.filter != NULL)
		state.filter(state.filter_ctx, text, size, about);
}

void
log_set_verbose(int level)
{
	state.verbose = level;
}

bool
log_is_verbose(void)
{
	return state.verbose > 0;
}

void
log_safe(char *text, size_t n)
{
	unsigned char *p = (unsigned char *)text;

	for (size_t i = 0; i < n;) {
		size_t len;

		if (p[i] >= 0x20 && p[i] < 0x7f) {
			i++;
			continue;
		}
		len = 0;
		if (p[i] >= 0x80) {
			len = utf8_length(text + i, n - i);
			/* U+0080..U+009F are C1 controls. */
			if (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)
				len = 0;
		}
		if (len == 0) {
			p[i] = '?';
			len = 1;
		}
		i += len;
	}
}

static void emit(enum log_level level, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
emit(enum log_level level, const char *format, va_list ap)
{
	static const char *const word[] = {
	    "debug: ", "", "warning: ", "error: ", "fatal: ", "panic: "};
	char line[RAW_LINE_MAX + 1];
	size_t at = strlen(word[level]);

	memcpy(line, word[level], at);
	(void)vsnprintf(line + at, sizeof(line) - at, format, ap);
	log_filter(line, sizeof(line), NULL);
	line[LOG_LINE_MAX] = '\0';
	log_safe(line, strlen(line));
	state.sink(state.ctx, level, line);
}

#define DEFINE_LOG(name, level)                                                \
	void name(const char *format, ...)                                     \
	{                                                                      \
		va_list ap;                                                    \
		va_start(ap, format);                                          \
		emit(level, format, ap);                                       \
		va_end(ap);                                                    \
	}

DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_lasting_fatal, LOG_LEVEL_FATAL)

void
log_debug(const char *format, ...)
{
	va_list ap;

	if (state.verbose == 0)
		return;
	va_start(ap, format);
	emit(LOG_LEVEL_DEBUG, format, ap);
	va_end(ap);
}

void
log_fatal(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	emit(LOG_LEVEL_FATAL, format, ap);
	va_end(ap);
	exit(1);
}

void
log_panic(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	emit(LOG_LEVEL_PANIC, format, ap);
	va_end(ap);
	abort();
}
