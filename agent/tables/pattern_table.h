/* pattern_table: a regexp: or pcre: table of Postfix, evaluated here.
 *
 *   /pattern/flags result          the first pattern that matches decides
 *   !/pattern/flags result         ... that does not match
 *   if /pattern/flags  ...  endif  lines that are skipped unless it matches
 *
 * Flags toggle what holds without them: letters are compared without case
 * (i), regexp patterns are extended ones (x), and in pcre a dot matches a
 * newline (s). In the result $n, ${n} and $(n) are what the n-th pair of
 * parentheses matched, $$ is a dollar sign. Sources: regexp_table(5) and
 * pcre_table(5); the patterns themselves are those of regcomp(3) and libpcre2,
 * as they are for Postfix.
 *
 * Everything is compiled once. A table is good as a whole or not used at all:
 * Postfix skips a rule that it cannot read with a warning, so that the next
 * one decides, perhaps with the login of somebody else. What a pattern costs
 * is bounded (PATTERN_MATCH_MAX steps of libpcre2; regexec(3) needs no bound
 * but that of the key, unless a pattern refers back); a rule that exceeds it
 * is an error of the look-up, where Postfix goes on with the next rule.
 *
 * Results may be passwords: they are wiped when freed, and no error repeats
 * anything that stands behind a pattern.
 */
#ifndef PATTERN_TABLE_H
#define PATTERN_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/tables/logical_lines.h"
#include "common/base/buf.h"
#include "common/base/slice.h"

enum pattern_kind { PATTERN_REGEXP, PATTERN_PCRE };

enum pattern_result {
	PATTERN_FOUND,
	PATTERN_NONE,
	PATTERN_ERROR, /* limit exceeded, no memory, key or result too long */
};

enum {
	PATTERN_TEXT_MAX = LOGICAL_LINES_MAX, /* octets of a table */
	PATTERN_KEY_MAX = 128 << 10, /* of a key: more than any header has */
	PATTERN_RESULT_MAX = 256 << 10,
	PATTERN_MATCH_MAX = 1000000, /* steps; tens of milliseconds */
	PATTERN_HEAP_KIB_MAX = 16384,
	PATTERN_ERROR_SIZE = 512,
};

struct pattern_table;

/* Compiles text, the content of the file that errors call path. NULL: error
 * has one line, "PATH, line N: ...". */
struct pattern_table *pattern_table_new(enum pattern_kind kind,
    const char *path, struct slice text, char *error, size_t error_size);
void pattern_table_free(struct pattern_table **table);

/* Looks key up and puts the result, which may be empty, at the end of out. On
 * PATTERN_ERROR error has one line. Not reentrant for one table. */
enum pattern_result pattern_table_find(struct pattern_table *table,
    const char *key, struct buf *out, char *error, size_t error_size);

#endif
