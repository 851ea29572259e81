#include "agent/tables/inline_table.h"

#include <ctype.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/words.h"

enum { TEXT_MAX = 1 << 20 };

static void
wipe(char *text)
{
	mem_wipe(text, strlen(text));
	mem_free(text);
}

char *
inline_next(const char **list)
{
	struct slice rest = slice_str(*list), item;

	if (!words_cut_braced(&rest, &item))
		return NULL;
	*list = rest.p;
	return mem_strndup(item.p, item.n);
}

/* Octets up to the brace that closes the first one, 0: there is none. */
static size_t
balanced(const char *text)
{
	int depth = 0;

	for (size_t n = 0; text[n] != '\0'; n++) {
		depth += text[n] == '{';
		depth -= text[n] == '}';
		if (depth == 0)
			return n + 1;
	}
	return 0;
}

/* "{ text }" without braces and the blanks inside of them; NULL: *why_out. */
static char *
strip(const char *text, const char **why_out)
{
	size_t n = *text == '{' ? balanced(text) : 0;

	if (n == 0)
		*why_out = *text == '{' ? "a closing brace is missing"
					: "must begin with a brace";
	else if (text[n] != '\0')
		*why_out = "there is text behind the closing brace";
	if (n == 0 || text[n] != '\0')
		return NULL;
	text++;
	n -= 2;
	while (n > 0 && isspace((unsigned char)*text)) {
		text++;
		n--;
	}
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	return mem_strndup(text, n);
}

/* Octets of the key: a quoted one may hold blanks and '='. */
static size_t
key_length(const char *p)
{
	bool is_quoted = false;
	size_t n = 0;

	for (; p[n] != '\0'; n++) {
		if (p[n] == '\\') {
			if (p[++n] == '\0')
				break;
		} else if (p[n] == '"') {
			is_quoted = !is_quoted;
		} else if (!is_quoted &&
			   (isspace((unsigned char)p[n]) || p[n] == '=')) {
			break;
		}
	}
	return n;
}

/* text begins and ends with no blank, and is changed. */
static bool
give_entry(char *text, inline_entry_fn *fn, void *ctx, const char **why_out)
{
	size_t n = key_length(text);
	char *value = text + n;

	while (isspace((unsigned char)*value))
		value++;
	if (n == 0 || *value != '=') {
		*why_out = "an entry must be key = value";
		return false;
	}
	value++;
	while (isspace((unsigned char)*value))
		value++;
	text[n] = '\0';
	fn(ctx, text, value);
	return true;
}

static bool
take_entry(
    const char *item, inline_entry_fn *fn, void *ctx, const char **why_out)
{
	char *text = *item == '{' ? strip(item, why_out) : mem_strdup(item);
	size_t n;
	bool is_good;

	if (text == NULL)
		return false;
	n = strlen(text);
	is_good = give_entry(text, fn, ctx, why_out);
	mem_wipe(text, n);
	mem_free(text);
	return is_good;
}

bool
inline_entries(
    const char *text, inline_entry_fn *fn, void *ctx, const char **why_out)
{
	char *list = strip(text, why_out), *item;
	const char *p = list;
	bool is_good = list != NULL;
	size_t count = 0;

	while (is_good && (item = inline_next(&p)) != NULL) {
		is_good = take_entry(item, fn, ctx, why_out);
		wipe(item);
		count++;
	}
	if (list != NULL)
		wipe(list);
	if (is_good && count == 0)
		*why_out = "the table is empty";
	return is_good && count > 0;
}

char *
inline_list(const char *text, const char **why_out)
{
	return strip(text, why_out);
}

char *
inline_static(const char *text, const char **why_out)
{
	return *text == '{' ? strip(text, why_out) : mem_strdup(text);
}

char *
inline_rules(const char *text, const char **why_out)
{
	char *list = strip(text, why_out), *item, *rule, *result = NULL;
	const char *p = list;
	bool is_good = list != NULL;
	struct buf lines;

	buf_init(&lines, TEXT_MAX);
	while (is_good && (item = inline_next(&p)) != NULL) {
		rule = strip(item, why_out);
		is_good = rule != NULL;
		if (is_good) {
			(void)buf_addf(&lines, "%s\n", rule);
			wipe(rule);
		}
		wipe(item);
	}
	if (is_good)
		result = mem_strdup(buf_str(&lines));
	buf_fini_secret(&lines);
	if (list != NULL)
		wipe(list);
	return result;
}
