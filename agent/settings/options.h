/* options: the command line, as master(8) passes it (master.cf(5)).
 *
 *   lane -n fast -t unix -u class=slow -o lane_connection_limit=2 -v
 *
 * Options and words may follow each other in any order. postconf -P reads and
 * writes the "-o" in front of the first word and does not see those behind it;
 * a name that is given twice is a problem. "-o" takes name=value or {name =
 * value}; blanks around both are dropped. The only words are class=NAME and
 * token (token_main.h). What is wrong here is put into the problems and the
 * rest is still read: the process has to stay and defer mail.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/problems.h"

struct option_override {
	char *name, *value; /* trimmed; value not yet expanded */
};

struct options {
	char *process_name; /* basename of argv[0] */
	char *service_name; /* -n, else process_name */
	char *service_type; /* -t, "unix" by default */
	char *class; /* class=NAME, "" when not given */
	bool alone; /* -l: process limit 1 */
	bool unlimited; /* -z: process limit 0 */
	bool unprivileged; /* -u: run as mail_owner */
	bool is_token; /* the word token */
	bool chroot; /* -c: into queue_directory */
	bool log_to_stderr; /* -V */
	bool debug; /* -D */
	int verbose; /* number of -v */
	int socket_count; /* -s, 1 by default */
	struct option_override *overrides; /* -o, in order */
	size_t override_count;
};

/* Fills *opt; adds what is wrong to problems. argv is only read. */
void options_parse(struct options *opt, int argc, char *const *argv,
    struct problems *problems);
void options_fini(struct options *opt);

/* What -o says of a name, unexpanded; NULL: nothing. The last counts. */
const char *options_override(const struct options *opt, const char *name);

#endif
