/* delay: the delay fields of the delivery log line, as Postfix prints them.
 *
 *   delay=0.12, delays=0.01/0.01/0.04/0.06
 *                      a    b    c    d
 *   a before the active queue   b in the active queue, until the agent had it
 *   c connection set-up         d transmission
 *
 * Two significant digits, at most max_decimals decimals (Postfix:
 * delay_logging_resolution_limit, 0..6, default 2), half rounds up, trailing
 * zeros are dropped. Wall times; a difference below zero counts as zero.
 */
#ifndef DELAY_H
#define DELAY_H

#include <stddef.h>
#include <sys/time.h>

enum { DELAY_TEXT_SIZE = 160, DELAY_DECIMALS = 2 };

struct delay_times {
	struct timeval arrival; /* of the message, at the first Postfix */
	struct timeval active; /* into the active queue */
	struct timeval handoff; /* request read by this agent */
	struct timeval conn_done; /* session ready; zero: no session */
	struct timeval deliver_done; /* zero: use the time of logging */
};

/* One difference. n of 32 is enough. */
void delay_format(
    char *out, size_t n, struct timeval difference, int max_decimals);

/* "delay=..., delays=a/b/c/d"; n of DELAY_TEXT_SIZE is enough. */
void delay_to_text(const struct delay_times *times, struct timeval now,
    int max_decimals, char *out, size_t n);

#endif
