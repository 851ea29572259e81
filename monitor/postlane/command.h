/* command: what the verbs of postlane share.
 *
 * A verb is a function in a file of its own and a row in main.c. It looks at
 * the site anew for each run of -w, prints to stdout, and returns the exit
 * status: of its own, or one of sysexits(3).
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/backlog.h"
#include "monitor/health.h"
#include "monitor/model.h"
#include "monitor/site.h"

struct command {
	bool is_json, is_quiet;
	int64_t for_s; /* --for; 0: it was not given */
	bool is_apply, is_undo; /* setup: --apply, --undo */
	const char *setup_name; /* --name; NULL: it was not given */
	const char *provider; /* --provider; NULL: it was not given */
	bool is_loginless; /* --no-login */
	const char *tls_level; /* --tls; NULL: it was not given */
	const char *lane; /* the argument LANE; NULL: all */
	char domain[STEER_DOMAIN_SIZE]; /* the argument DOMAIN; "": none */
	const char *to; /* --to; or NULL */
	size_t count; /* --count; 0: it was not given */
	const char *const *overrides; /* -o, of override_count */
	int override_count;
	const char *directory; /* -c; or NULL */
	int argc; /* arguments behind the verb */
	char **argv;
	struct site site;
};

/* One look at everything. */
struct look {
	struct model *m;
	struct backlog backlog;
	enum postfix_state postfix;
};

void look_begin(struct look *look, const struct command *c);
void look_end(struct look *look);

/* Is this lane asked for? */
bool command_wants(const struct command *c, const struct model_lane *lane);

/* The lane's part of the backlog; NULL: it is not known. */
const struct backlog_share *look_share(
    const struct look *look, const struct model_lane *lane);

/* Prints and frees the document, in one line. */
struct json_t;
void command_print_json(struct json_t *document);

/* "postlane: ..." to stderr. */
void command_complain(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* What LANE|DOMAIN [LANE] means, into c->lane and c->domain: a lane if there is
 * one of that name; else, with a dot in it or "domain:" before it, a recipient
 * domain. False: neither, which was told. */
bool command_target(struct command *c, const struct model *m);

/* A line to stdout. */
void command_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is complained of and said goes to text from now on (the last line of it;
 * NULL: as usual again). */
void command_capture(char *text, size_t n);

/* Reads the configuration, / again if it is another by now. False: it cannot be
 * read, which was told. */
bool command_open(struct command *c);
bool command_renew(struct command *c);

/* Only root and mail_owner may; false: this is somebody else, who was told. */
bool command_may_steer(const struct model_lane *lane);

/* Takes --for; false: it is no time, which was told. */
bool command_for(struct command *c, const char *text);

/* Likewise of --until: 08:00, the next one; 2026-12-31, 2026-12-31T08:00. */
bool command_until(struct command *c, const char *text);

int pause_run(struct command *c);
int resume_run(struct command *c);
int drain_run(struct command *c);
int rate_run(struct command *c);
int connections_run(struct command *c);
int retry_run(struct command *c);
int doctor_run(struct command *c);
int probe_run(struct command *c);
int trace_run(struct command *c);
int top_run(struct command *c);
int replay_run(struct command *c);
int why_run(struct command *c);
int setup_run(struct command *c);
int anonymize_run(struct command *c);
int fleet_run(struct command *c);
int status_run(struct command *c);
int sessions_run(struct command *c);
int forecast_run(struct command *c);

#endif
