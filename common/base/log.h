/* log: leveled log lines in Postfix's words, to one sink.
 *
 * The text is what follows the tag: "warning: ", "error: ", "fatal: " and
 * "panic: " are put in front as Postfix does, info lines carry no word. Every
 * line is made printable and cut at LOG_LINE_MAX octets, so untrusted text
 * may be passed as an argument (never as the format). Where lines go is
 * decided once, with log_set_sink(); until then they go to stderr.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum { LOG_LINE_MAX = 2000 }; /* Postfix cuts log text at 2000 octets */

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL,
	LOG_LEVEL_PANIC,
};

/* line: NUL-terminated, printable, with the level's word already in front. */
typedef void log_sink_fn(void *ctx, enum log_level level, const char *line);

void log_set_sink(log_sink_fn *sink, void *ctx);

/* Changes what must not be told, in place, in size octets (with the NUL).
 * about: an address that all of text is about, or NULL. */
typedef void log_filter_fn(
    void *ctx, char *text, size_t size, const char *about);

/* Every line goes through it from now on; NULL: none does. */
void log_set_filter(log_filter_fn *filter, void *ctx);

/* The same for texts that leave by another way than the log. */
void log_filter(char *text, size_t size, const char *about);

/* 0: no debug lines (the default); n > 0: as many -v options. */
void log_set_verbose(int level);
bool log_is_verbose(void);

#define LOG_PRINTF __attribute__((format(printf, 1, 2)))
void log_debug(const char *format, ...) LOG_PRINTF;
void log_info(const char *format, ...) LOG_PRINTF;
void log_warn(const char *format, ...) LOG_PRINTF;
void log_error(const char *format, ...) LOG_PRINTF;

/* As severe as log_fatal, where to exit would do more harm. */
void log_lasting_fatal(const char *format, ...) LOG_PRINTF;

/* Environment is unusable at start-up: logs and exits with status 1. */
void log_fatal(const char *format, ...) LOG_PRINTF __attribute__((noreturn));

/* A broken invariant of ours: logs and aborts. Use CHECK(). */
void log_panic(const char *format, ...) LOG_PRINTF __attribute__((noreturn));

#define CHECK(cond)                                                            \
	((cond) ? (void)0                                                      \
		: log_panic(                                                   \
		      "%s:%d: check failed: %s", __FILE__, __LINE__, #cond))

/* Replaces, in place, every octet that is not printable by '?'. UTF-8
 * sequences stay as they are when well-formed. */
void log_safe(char *text, size_t n);

#endif
