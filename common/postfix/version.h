/* version: which Postfix this is, for what differs on the wire and in logs.
 *
 *   "3.7.11", "3.12-20260821", "3.10-RC1": two numbers, the rest is ignored.
 *
 * A text without two numbers is taken for a current release.
 */
#ifndef VERSION_H
#define VERSION_H

#include <stdbool.h>

static inline bool
version_at_least(const char *mail_version, int major, int minor)
{
	const char *p = mail_version;
	int have[2] = {0};

	for (int i = 0; i < 2; i++) {
		int digits = 0;

		for (; *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
			have[i] = have[i] * 10 + (*p - '0');
		if (digits == 0 || (i == 0 && *p++ != '.'))
			return true;
	}
	return have[0] > major || (have[0] == major && have[1] >= minor);
}

/* Greetings name the protocol on both sides since 3.6. */
static inline bool
version_has_greetings(const char *mail_version)
{
	return version_at_least(mail_version, 3, 6);
}

#endif
