/* alarm_kind: what may be wrong at a smarthost, for somebody to look at.
 *
 *   ALARM_LOGIN        it refuses the login        } the lane stops there until
 *   ALARM_BLOCKED      it refuses our mail         } a message is accepted
 *   ALARM_CERTIFICATE  its certificate is not good } over when there is a
 *   ALARM_OUTAGE       no host can be reached      } session
 *   ALARM_TOKEN        no access token is to be had; the token service says it,
 *                      for the NAME of the token in place of a smarthost
 *
 * The words are what operators see, and what files of the state directory and
 * their scripts know: they stay as they are.
 */
#ifndef ALARM_KIND_H
#define ALARM_KIND_H

#include <stdbool.h>

enum alarm_kind {
	ALARM_LOGIN,
	ALARM_BLOCKED,
	ALARM_CERTIFICATE,
	ALARM_OUTAGE,
	ALARM_TOKEN,
};

enum { ALARM_KINDS = ALARM_TOKEN + 1 };

/* "login", ...: static text. */
const char *alarm_kind_name(enum alarm_kind kind);

/* False: no kind has this name, and *kind_out is as it was. */
bool alarm_kind_find(const char *name, enum alarm_kind *kind_out);

#endif
