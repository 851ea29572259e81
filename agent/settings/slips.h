/* slips: words of a master.cf entry that were cut where their writer did not
 * mean it.
 *
 *   -o lane_connection_limit = 2       is three words, and the option is one
 *   -o smtp_tls_exclude_ciphers=aNULL, DES
 *   -o "lane_message_rate_limit = 5/1s"
 *   -o {lane_connection_limit=2},
 *   class = slow
 *   # two connections                  behind an option, in its line
 *
 * master(8) cuts a line at blanks that are not within braces, and knows neither
 * quotes nor comments within it. Pure. What is found is never obeyed: it is
 * told, with what was meant.
 */
#ifndef SLIPS_H
#define SLIPS_H

#include <stdbool.h>
#include <stddef.h>

enum slip_kind {
	SLIP_BLANKS, /* between a name, its = and its value */
	SLIP_QUOTES,
	SLIP_BRACES, /* a comma behind } */
	SLIP_COMMENT,
};

struct slip {
	enum slip_kind kind;
	size_t words; /* that belong to it behind the first */
	char *written; /* with one blank between words */
	char *meant; /* name=value or { name = value }; NULL: nothing */
};

/* first: the argument of an -o; more: the words behind it. False: it is none,
 * and nothing has to be freed. */
bool slip_find_option(
    struct slip *out, const char *first, char *const *more, size_t count);

/* first: a word that is no option and no argument of one. */
bool slip_find_word(
    struct slip *out, const char *first, char *const *more, size_t count);

void slip_fini(struct slip *slip);

/* The problem, as "bad option: ...: must be ..."; the caller's. */
char *slip_text(const struct slip *slip);

/* The word is name=value of a parameter: -o is missing in front of it. */
bool slip_lacks_option(const char *word);

#endif
