#include "agent/settings/slips.h"

#include <ctype.h>
#include <string.h>

#include "agent/settings/assignment.h"
#include "agent/settings/params.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

enum { TEXT_MAX = 65536 };

static bool
is_option(const char *word)
{
	return word[0] == '-' && isalpha((unsigned char)word[1]);
}

bool
slip_lacks_option(const char *word)
{
	const char *eq = strchr(word, '=');
	char *name;
	bool is_known;

	if (eq == NULL || eq == word)
		return false;
	name = mem_strndup(word, (size_t)(eq - word));
	is_known = params_find(name) != NULL;
	mem_free(name);
	return is_known;
}

/* It is no part of a value in front of it. */
static bool
begins_another(const char *word)
{
	return is_option(word) || word[0] == '#' ||
	       strcmp(word, "token") == 0 || strcmp(word, "class") == 0 ||
	       strncmp(word, "class=", 6) == 0 || slip_lacks_option(word);
}

static size_t
count_until_another(char *const *more, size_t count)
{
	size_t n = 0;

	while (n < count && !begins_another(more[n]))
		n++;
	return n;
}

static char *
joined(const char *first, char *const *more, size_t n)
{
	struct buf text;
	char *out;

	buf_init(&text, TEXT_MAX);
	(void)buf_add_str(&text, first);
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(&text, " %s", more[i]);
	out = buf_ok(&text) ? mem_strdup(buf_str(&text)) : NULL;
	buf_fini(&text);
	return out;
}

/* "name = value", without the quotes and blanks that nobody obeys. */
static char *
meant_by(const char *text)
{
	char *name, *value, *out;

	if (!assignment_split(text, &name, &value))
		return NULL;
	out = strpbrk(value, " \t") != NULL
		  ? mem_printf("{ %s = %s }", name, value)
		  : mem_printf("%s=%s", name, value);
	mem_free(name);
	mem_free(value);
	return out;
}

/* False: it cannot be told what was meant; then it is no slip. */
static bool
make(struct slip *out, enum slip_kind kind, const char *first,
    char *const *more, size_t n, const char *text)
{
	*out = (struct slip){.kind = kind, .words = n};
	out->written = joined(first, more, n);
	out->meant = text != NULL ? meant_by(text) : NULL;
	if (out->written != NULL && out->meant != NULL)
		return true;
	slip_fini(out);
	return false;
}

/* name = value, name =value, name= value, name=value, value */
static bool
find_blanks(
    struct slip *out, const char *first, char *const *more, size_t count)
{
	const char *eq = strchr(first, '=');
	size_t n = count_until_another(more, count);
	char *text;
	bool is_found, is_cut;

	if (n == 0 || strpbrk(first, "{}\"'") != NULL)
		return false;
	if (eq == NULL)
		is_cut = more[0][0] == '=';
	else
		is_cut = eq[1] == '\0' || more[0][0] == ',' ||
			 first[strlen(first) - 1] == ',';
	if (!is_cut)
		return false;
	text = joined(first, more, n);
	is_found = make(out, SLIP_BLANKS, first, more, n, text);
	mem_free(text);
	return is_found;
}

static bool
ends_with(const char *word, char c)
{
	size_t n = strlen(word);

	return n > 0 && word[n - 1] == c;
}

/* "name=value", "name = value", name="some words" */
static bool
find_quotes(
    struct slip *out, const char *first, char *const *more, size_t count)
{
	const char *quote = strpbrk(first, "\"'");
	char *text, *to;
	size_t n = 0;
	bool is_found;

	if (quote == NULL || (quote > first && quote[-1] != '='))
		return false;
	if (!(ends_with(first, *quote) && quote[1] != '\0')) {
		while (n < count && !ends_with(more[n], *quote))
			n++;
		if (n == count)
			return false;
		n++;
	}
	text = joined(first, more, n);
	if (text == NULL)
		return false;
	to = text;
	for (const char *p = text; *p != '\0'; p++)
		if (p != text + (quote - first) && p[1] != '\0')
			*to++ = *p;
	*to = '\0';
	is_found = make(out, SLIP_QUOTES, first, more, n, text);
	mem_free(text);
	return is_found;
}

/* {name=value}, */
static bool
find_braces(struct slip *out, const char *first)
{
	size_t n = strlen(first);
	char *text;
	bool is_found;

	while (n > 0 && strchr(",;", first[n - 1]) != NULL)
		n--;
	if (first[0] != '{' || n < 2 || first[n - 1] != '}' || first[n] == '\0')
		return false;
	text = mem_strndup(first, n);
	is_found = make(out, SLIP_BRACES, first, NULL, 0, text);
	mem_free(text);
	return is_found;
}

bool
slip_find_option(
    struct slip *out, const char *first, char *const *more, size_t count)
{
	return find_braces(out, first) ||
	       find_quotes(out, first, more, count) ||
	       find_blanks(out, first, more, count);
}

bool
slip_find_word(
    struct slip *out, const char *first, char *const *more, size_t count)
{
	if (first[0] == '#') {
		size_t n = count_until_another(more, count);

		*out = (struct slip){.kind = SLIP_COMMENT, .words = n};
		out->written = joined(first, more, n);
		if (out->written == NULL)
			out->written = mem_strdup(first);
		return true;
	}
	if (strcmp(first, "class") == 0 || strcmp(first, "class=") == 0)
		return find_blanks(out, first, more, count);
	return false;
}

void
slip_fini(struct slip *slip)
{
	mem_free(slip->written);
	mem_free(slip->meant);
	slip->written = slip->meant = NULL;
}

/* What is right, where it is no option's argument but a word. */
static bool
is_word(const struct slip *slip)
{
	return slip->meant != NULL && strncmp(slip->meant, "class=", 6) == 0;
}

char *
slip_text(const struct slip *slip)
{
	const char *meant = slip->meant, *eq;
	char *braced, *text;

	if (slip->kind == SLIP_COMMENT)
		return mem_printf("bad word: %s: must not be there: a comment "
				  "has lines of its own in master.cf",
		    slip->written);
	if (is_word(slip))
		return mem_printf("bad word: %s: must be %s, without blanks",
		    slip->written, meant);
	if (slip->kind == SLIP_BRACES)
		return mem_printf("bad option: -o %s: must be -o %s, with "
				  "nothing behind a }",
		    slip->written, meant);
	if (slip->kind == SLIP_QUOTES)
		return mem_printf("bad option: -o %s: must be -o %s, without "
				  "quotes",
		    slip->written, meant);
	if (meant[0] == '{')
		return mem_printf("bad option: -o %s: must be -o %s: with "
				  "blanks only within braces",
		    slip->written, meant);
	eq = strchr(meant, '=');
	braced = mem_printf("{ %.*s =%s%s }", (int)(eq - meant), meant,
	    eq[1] != '\0' ? " " : "", eq + 1);
	text = mem_printf("bad option: -o %s: must be -o %s, with no blanks "
			  "round =, or -o %s",
	    slip->written, meant, braced);
	mem_free(braced);
	return text;
}
