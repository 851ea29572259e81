/* dryrun: what a lane would do, told without doing it.
 *
 *   lane -R STAGE 'REPLY' [options]   which rule a reply hits, from which file
 *                                     and line, and what follows
 *   lane -R FILE.replies [options]    whether each reply there is judged as it
 *                                     says (reply_examples.h)
 *   lane -P [options]                 the parameters, limits and rules in
 *                                     force, and where each comes from
 *
 * Options are those of master.cf (-o name=value, class=NAME, -n name); main.cf
 * is read as far as it can be. Needs neither root nor master(8).
 */
#ifndef DRYRUN_H
#define DRYRUN_H

#include <stdbool.h>

#include "agent/engine/settings.h"

/* What -P tells at its end: how things stand that others know of. */
typedef void dryrun_more_fn(const struct settings *set);

/* -R or -P is the first word. */
bool dryrun_is_wanted(int argc, char *const *argv);

/* Prints to stdout; problems go to stderr, and then there is no answer (but an
 * unreadable main.cf is none of them). The exit status: 0, 1 when no rule hits
 * or a reply of the file is judged otherwise, 2 for wrong words or a wrong
 * configuration. */
int dryrun_main(int argc, char *const *argv, dryrun_more_fn *more);

#endif
