/* version: which Postfix this is, for what differs on the wire and in logs.
 *
 *   "3.7.11", "3.12-20260821", "3.10-RC1": two numbers, the rest is ignored.
 *
 * A text without two numbers is taken for a current release.
 */
#ifndef VERSION_H
#define VERSION_H

#include <stdbool.h>
#include <stdio.h>

static inline bool
version_at_least(const char *mail_version, int major, int minor)
{
	int have_major, have_minor;

	if (sscanf(mail_version, "%4d.%4d", &have_major, &have_minor) != 2)
		return true;
	return have_major > major ||
	       (have_major == major && have_minor >= minor);
}

/* Greetings name the protocol on both sides since 3.6. */
static inline bool
version_has_greetings(const char *mail_version)
{
	return version_at_least(mail_version, 3, 6);
}

#endif
