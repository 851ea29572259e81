#include "monitor/setupmerge.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "monitor/mastercf.h"
#include "monitor/setupspan.h"

#define BLANKS " \t\r"
#define SEPARATORS BLANKS ",\n"
#define SENDER_TRANSPORTS "sender_dependent_default_transport_maps"
#define RELAYS "pipemap:{unionmap:{" /* setupplan_sender_maps() */

/* ---- main.cf --------------------------------------------------------------
 */

struct setting {
	const char *name;
	size_t n;
	char *line; /* "name = value", squeezed */
};

static void
tell(const struct setupplan *plan, struct buf *told, const char *line,
    const char *what)
{
	(void)buf_addf(told, "%s/main.cf: %s: was changed by hand since, %s\n",
	    plan->directory, line, what);
}

/* It means nothing without the lane. */
static bool
is_of_lane(const struct setupplan *plan, const struct setting *s)
{
	const char *const lanes[] = {plan->fast, plan->slow};

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(lanes[i]);

		if (s->n > n && strncmp(s->name, lanes[i], n) == 0 &&
		    s->name[n] == '_')
			return true;
	}
	return false;
}

static bool
is_in_comment(struct setupspan s, const char *at)
{
	while (at > s.start && at[-1] != '\n')
		at--;
	return setupspan_is_passed_over(at);
}

/* A word with what separates it from the next one on its line; of the last on
 * its line, from the one before; its line, where it is alone there. */
static struct setupspan
with_separators(const char *from, const char *to)
{
	const char *next = to + strspn(to, BLANKS ",");

	if (*next != '\n' && *next != '\0')
		return (struct setupspan){from, (size_t)(next - from)};
	while (strchr(BLANKS ",", from[-1]) != NULL)
		from--;
	if (from[-1] == '\n')
		next += *next == '\n';
	return (struct setupspan){from, (size_t)(next - from)};
}

/* Where word stands in a list. */
static struct setupspan
find_word(struct setupspan list, const char *word)
{
	size_t n = strlen(word);
	const char *end = list.start + list.n, *at = list.start;

	while ((at = strstr(at, word)) != NULL && at + n <= end) {
		const char *from = at, *to = at + n;

		at++;
		if (strchr(SEPARATORS "=", from[-1]) != NULL &&
		    strchr(SEPARATORS, *to) != NULL &&
		    !is_in_comment(list, from))
			return with_separators(from, to);
	}
	return (struct setupspan){NULL, 0};
}

static char *
take_word(const struct setupplan *plan, const char *name, const char *word,
    char *text, struct buf *told)
{
	size_t n = strlen(name);
	bool is_taken = false;
	size_t at = 0;
	struct setupspan list;
	char *line;

	while ((list = setupspan_find_first(text + at, name, n, BLANKS "="))
		   .start != NULL) {
		struct setupspan cut = find_word(list, word);

		at = (size_t)(list.start - text);
		if (cut.start == NULL) {
			at += list.n;
			continue;
		}
		text = setupspan_without(text, cut);
		is_taken = true;
	}
	if (!is_taken)
		return text;
	line = setupspan_squeezed(setupspan_find(text, name, n, BLANKS "="));
	(void)buf_addf(told,
	    "%s/main.cf: %s was changed by hand since; without the lanes: "
	    "%s\n",
	    plan->directory, name, line);
	mem_free(line);
	return text;
}

/* The part of a list that is of setup, which adds to two. */
static char *
take_words(const struct setupplan *plan, const char *added, char *text,
    struct buf *told)
{
	const char *relays = strstr(added, RELAYS);
	char *word = relays != NULL
			 ? mem_strndup(relays, strcspn(relays, "\n"))
			 : mem_printf("texthash:%s", plan->transport);

	text = take_word(plan,
	    relays != NULL ? SENDER_TRANSPORTS : "transport_maps", word, text,
	    told);
	mem_free(word);
	return text;
}

static bool
is_named(const struct setting *s, const char *name)
{
	return s->n == strlen(name) && strncmp(s->name, name, s->n) == 0;
}

/* Of a squeezed line. */
static const char *
value_of(const struct setting *s, const char *line)
{
	return line + s->n + strspn(line + s->n, " =");
}

/* Each that is as it was added, also where a later one counts; of a lane, each.
 */
static char *
take_own(const struct setupplan *plan, const struct setting *s, char *text,
    struct buf *told)
{
	size_t at = 0;
	struct setupspan found;

	while (
	    (found = setupspan_find_first(text + at, s->name, s->n, BLANKS "="))
		.start != NULL) {
		char *now = setupspan_squeezed(found);
		bool is_same =
		    strcmp(value_of(s, now), value_of(s, s->line)) == 0;

		at = (size_t)(found.start - text);
		if (!is_same && is_of_lane(plan, s))
			tell(plan, told, now, "and goes with its lane");
		if (is_same || is_of_lane(plan, s))
			text = setupspan_without(text, found);
		else
			at += found.n;
		mem_free(now);
	}
	return text;
}

static char *
take_setting(const struct setupplan *plan, const struct setting *s, char *text,
    struct buf *told)
{
	struct setupspan left;
	char *now;

	text = take_own(plan, s, text, told);
	if (is_named(s, "transport_maps") || is_named(s, SENDER_TRANSPORTS))
		return take_words(plan, s->line, text, told);
	left = setupspan_find(text, s->name, s->n, BLANKS "=");
	if (left.start == NULL)
		return text;
	now = setupspan_squeezed(left);
	tell(plan, told, now, "and stays");
	mem_free(now);
	return text;
}

char *
setupmerge_main_cf(const struct setupplan *plan, const char *added, char *text,
    struct buf *told)
{
	bool has_settings = false;

	for (const char *line = added; *line != '\0';
	     line = setupspan_next_line(line)) {
		struct setting s = {
		    .name = line, .n = strcspn(line, SEPARATORS "=")};
		const char *behind = line + s.n + strspn(line + s.n, BLANKS);

		if (s.n == 0 || *behind != '=')
			continue;
		has_settings = true;
		s.line = setupspan_squeezed(
		    (struct setupspan){line, setupspan_size(line)});
		text = take_setting(plan, &s, text, told);
		mem_free(s.line);
	}
	return has_settings ? text : take_words(plan, added, text, told);
}

/* ---- master.cf ------------------------------------------------------------
 */

char *
setupmerge_master_cf(const struct setupplan *plan, const char *added,
    char *text, struct buf *told)
{
	const char *name = added + strspn(added, "\n");
	size_t n = strcspn(name, SEPARATORS);
	struct setupspan found = setupspan_find(text, name, n, BLANKS);
	struct mastercf_entry entry;
	bool is_lane;
	char *line;

	if (n == 0 || found.start == NULL)
		return text;
	line = setupspan_squeezed(found);
	is_lane = mastercf_parse(&entry, line) && mastercf_is_lane(&entry);
	mastercf_fini(&entry);
	if (is_lane) {
		(void)buf_addf(told,
		    "%s/master.cf: %.*s was changed by hand since; it is taken "
		    "out, and was:\n%.*s",
		    plan->directory, (int)n, name, (int)found.n, found.start);
		text = setupspan_without(text, found);
	} else {
		(void)buf_addf(told,
		    "%s/master.cf: %.*s is not a lane any more, and stays\n",
		    plan->directory, (int)n, name);
	}
	mem_free(line);
	return text;
}

/* ---- files that are named -------------------------------------------------
 */

bool
setupmerge_names(const char *text, const char *path)
{
	size_t n = strlen(path);

	for (const char *line = text; *line != '\0';
	     line = setupspan_next_line(line)) {
		const char *end = line + strcspn(line, "\n"), *at = line;

		if (setupspan_is_passed_over(line))
			continue;
		while ((at = strstr(at, path)) != NULL && at < end) {
			if (strchr(SEPARATORS "}", at[n]) != NULL &&
			    (at == text ||
				strchr(SEPARATORS ":={", at[-1]) != NULL))
				return true;
			at++;
		}
	}
	return false;
}
