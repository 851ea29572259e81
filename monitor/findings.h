/* findings: what a check of a configuration found, each with its cure.
 *
 * A finding has a code that stays (WINDOW, LOGIN-KEY), what is wrong in one
 * line, and, where one is known, a command for the shell that repairs it as it
 * is pasted. All are read-only until somebody pastes.
 */
#ifndef FINDINGS_H
#define FINDINGS_H

#include <stddef.h>

struct json_t;

/* In the order of their weight. */
enum finding_severity {
	FINDING_NOTE, /* could be better */
	FINDING_WARNING, /* mail goes, but slower or less safely than it could
			  */
	FINDING_ERROR, /* mail waits, or goes where it should not */
};

struct finding {
	const char *code; /* constant */
	enum finding_severity severity;
	char *lane; /* "": of the whole */
	char *text, *fix; /* fix "": nobody but a person knows one */
};

/* A zeroed struct is an empty list. */
struct findings {
	struct finding *v;
	size_t count;
};

/* Adds one; lane and fix may be NULL. Returns it until the next is added. */
struct finding *findings_add(struct findings *f, const char *code,
    enum finding_severity severity, const char *lane, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The command of the one added last. */
void findings_fix(struct findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What a person has to do where no command can: behind the text of the one
 * added last. */
void findings_advise(struct findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void findings_fini(struct findings *f);

/* note, warning, error */
const char *finding_severity_name(enum finding_severity severity);

/* 0: nothing but notes, 1: a warning, 2: an error. */
int findings_status(const struct findings *f);

/* [{"code", "severity", "lane", "text", "fix"}]; the caller's. */
struct json_t *findings_json(const struct findings *f);

/* text between ', for a shell; the caller frees. */
char *findings_quoted(const char *text);

#endif
