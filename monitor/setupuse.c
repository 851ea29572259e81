#include "monitor/setupuse.h"

#include <ctype.h>
#include <string.h>

#include "common/base/mem.h"

#define BLANKS " \t\r\n"
#define BEFORE_WORD BLANKS ",{}="
#define FILTER "FILTER"

static bool
ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), e = strlen(end);

	return n >= e && strcmp(text + n - e, end) == 0;
}

/* Also for the end of the text. */
static bool
is_one_of(char c, const char *set)
{
	return strchr(set, c) != NULL;
}

bool
setupuse_is_of_transports(const char *name)
{
	return ends_with(name, "transport_maps");
}

static bool
is_transport(const char *name)
{
	return ends_with(name, "_transport") ||
	       ends_with(name, "content_filter");
}

/* Where lane is a word; before: what may stand in front of it, which the
 * beginning of the text is, too. */
static bool
has_word(const char *text, const char *lane, const char *before)
{
	size_t n = strlen(lane);

	for (const char *at = text; (at = strstr(at, lane)) != NULL; at++)
		if ((at == text || is_one_of(at[-1], before)) &&
		    is_one_of(at[n], BLANKS ":,}"))
			return true;
	return false;
}

/* FILTER lane:..., an action of access(5) and header_checks(5). */
static bool
has_filter(const char *text, const char *lane)
{
	size_t n = strlen(lane);

	for (const char *at = text; (at = strcasestr(at, FILTER)) != NULL;) {
		const char *to = at + strlen(FILTER);

		at = to;
		to += strspn(to, BLANKS);
		if (to > at && strncmp(to, lane, n) == 0 && to[n] == ':')
			return true;
	}
	return false;
}

bool
setupuse_value_names(const char *name, const char *value, const char *lane)
{
	size_t n = strlen(lane);

	if (is_transport(name) && strncmp(value, lane, n) == 0 &&
	    is_one_of(value[n], BLANKS ":"))
		return true;
	if (setupuse_is_of_transports(name) &&
	    has_word(value, lane, BEFORE_WORD ":"))
		return true;
	return has_filter(value, lane);
}

/* Of a line the key is left out; one that goes on has none. */
static bool
line_names(const char *line, const char *lane, bool is_of_transports)
{
	const char *found = line + strcspn(line, BLANKS);

	if (line[strspn(line, BLANKS)] == '#')
		return false;
	return has_filter(found, lane) ||
	       (is_of_transports && has_word(found, lane, BLANKS));
}

bool
setupuse_table_names(const char *text, const char *lane, bool is_of_transports)
{
	bool is_named = false;

	while (*text != '\0' && !is_named) {
		size_t n = strcspn(text, "\n");
		char *line = mem_strndup(text, n);

		is_named = line_names(line, lane, is_of_transports);
		mem_free(line);
		text += n + (text[n] == '\n');
	}
	return is_named;
}

/* ---- tables, paths, parameters --------------------------------------------
 */

static bool
is_in(struct slice word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(word, words[i]))
			return true;
	return false;
}

static enum setupuse_table
kind_of(struct slice type)
{
	static const char *const of_text[] = {"texthash", "hash", "btree",
	    "lmdb", "cdb", "dbm", "sdbm", "regexp", "pcre", "cidr"};
	static const char *const opaque[] = {"ldap", "memcache", "mongodb",
	    "mysql", "nis", "nisplus", "pgsql", "socketmap", "sqlite", "tcp"};

	if (is_in(type, of_text, sizeof(of_text) / sizeof(of_text[0])))
		return SETUPUSE_TEXT;
	if (is_in(type, opaque, sizeof(opaque) / sizeof(opaque[0])))
		return SETUPUSE_OPAQUE;
	return SETUPUSE_END;
}

enum setupuse_table
setupuse_next_table(const char **value, struct slice *table, struct slice *path)
{
	static const char proxy[] = "proxy:";

	for (const char *word = *value; *word != '\0';) {
		size_t n, type;
		enum setupuse_table kind;

		word += strspn(word, BEFORE_WORD);
		if (strncmp(word, proxy, strlen(proxy)) == 0)
			word += strlen(proxy);
		n = strcspn(word, BEFORE_WORD);
		type = strcspn(word, ":" BEFORE_WORD);
		*table = slice_of(word, n);
		word += n;
		*value = word;
		if (type + 1 >= n)
			continue;
		*path = slice_of(table->p + type + 1, n - type - 1);
		kind = kind_of(slice_of(table->p, type));
		if (kind != SETUPUSE_END)
			return kind;
	}
	return SETUPUSE_END;
}

bool
setupuse_has_path(const char *value, const char *path)
{
	size_t n = strlen(path);

	for (const char *at = value; (at = strstr(at, path)) != NULL; at++)
		if ((at == value || is_one_of(at[-1], BEFORE_WORD ":")) &&
		    is_one_of(at[n], BLANKS ",}"))
			return true;
	return false;
}

static bool
goes_on(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

bool
setupuse_refers(const char *value, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = value; (at = strchr(at, '$')) != NULL;) {
		bool is_braced;

		at++;
		if (*at == '$') {
			at++;
			continue;
		}
		is_braced = *at == '{' || *at == '(';
		at += is_braced;
		at += is_braced ? strspn(at, BLANKS) : 0;
		if (strncmp(at, name, n) != 0 || goes_on(at[n]))
			continue;
		at += n;
		at += is_braced ? strspn(at, BLANKS) : 0;
		if (!is_braced || (*at != '?' && *at != ':'))
			return true;
	}
	return false;
}
