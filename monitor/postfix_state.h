/* postfix_state: does this Postfix run?
 *
 * By the process number in its pid/master.pid and what the kernel says of that
 * process. The lock on the file would tell as well, but can only be asked by
 * taking it, which a master(8) that starts in that moment would not survive.
 */
#ifndef POSTFIX_STATE_H
#define POSTFIX_STATE_H

#include "monitor/site.h"

enum postfix_state {
	POSTFIX_RUNS,
	POSTFIX_STOPPED,
	POSTFIX_UNKNOWN, /* the file cannot be read by this user */
};

enum postfix_state postfix_state_of(const struct site *site);

#endif
