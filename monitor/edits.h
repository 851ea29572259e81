/* edits: settings to be changed in master.cf and main.cf, as one command for a
 * shell that does it by postconf(1).
 *
 *   postconf -PX fast/unix/A && postconf -P fast/unix/B=1 && postconf -e 'C =
 * 2'
 *
 * A name that only lanes, or the queue manager for them, know is called "unused
 * parameter" by postconf, unless it is referred to. An entry that refers to
 * such names where master.cf.example does (smtpd_log_access_permit_actions)
 * gets a reference to a new one, and loses that to one that goes. The command
 * reads that list when it runs, so that any two commands can follow each other.
 */
#ifndef EDITS_H
#define EDITS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/main_cf.h"
#include "monitor/site.h"

enum edit_kind {
	EDIT_UNSET_OPTION, /* -o of the lane's entry */
	EDIT_OPTION,
	EDIT_UNSET_MAIN, /* main.cf */
	EDIT_MAIN,
	EDIT_MENTION, /* nothing is set: it is only referred to */
};

struct edit {
	enum edit_kind kind;
	const struct site_lane *lane; /* of options */
	char *name, *value;
};

/* A zeroed struct has none. */
struct edits {
	struct edit *v;
	size_t count;
};

/* lane NULL: in main.cf. False: postconf -P has no way to write the value
 * (blanks within braces); nothing is added. Between the words of a list "," is
 * put for a blank. */
bool edits_set(struct edits *e, const struct site_lane *lane, const char *name,
    const char *value);
void edits_unset(
    struct edits *e, const struct site_lane *lane, const char *name);

/* Refers to each name that is set, that postconf calls unused, and whose entry
 * has a list for it; to those of main.cf in the first list that there is. */
void edits_mention_all(
    struct edits *e, const struct site *site, const struct main_cf *cf);

/* conf: "-c DIR " or "". The caller's. */
char *edits_command(const struct edits *e, const struct site *site,
    const struct main_cf *cf, const char *conf);

void edits_fini(struct edits *e);

#endif
