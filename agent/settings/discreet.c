#include "agent/settings/discreet.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

#define HIDDEN "..."

enum { TEXT_MAX = 65536 };

/* Octets of the type's name and its colon, 0: no table that is its own
 * content begins here. */
static size_t
own_content(const char *at)
{
	static const char *const types[] = {"inline:", "static:", "randmap:"};
	/* Of a file, but for those that begin with a brace. */
	static const char *const rules[] = {"regexp:", "pcre:", "cidr:"};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strncmp(at, types[i], strlen(types[i])) == 0)
			return strlen(types[i]);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strncmp(at, rules[i], strlen(rules[i])) == 0 &&
		    at[strlen(rules[i])] == '{')
			return strlen(rules[i]);
	return 0;
}

/* Up to the brace that closes the one at the beginning, or to the next blank
 * or comma; all of it where the brace is never closed. */
static size_t
content_length(const char *at)
{
	int depth = 0;
	size_t n = 0;

	if (*at != '{')
		return strcspn(at, ", \t\r\n}");
	do {
		depth += at[n] == '{' ? 1 : at[n] == '}' ? -1 : 0;
		n++;
	} while (depth > 0 && at[n] != '\0');
	return n;
}

static void
add_tables(struct buf *out, const char *text)
{
	bool is_begin = true;

	while (*text != '\0') {
		size_t n = is_begin ? own_content(text) : 0;

		if (n > 0) {
			(void)buf_add(out, text, n);
			(void)buf_add_str(out, HIDDEN);
			text += n + content_length(text + n);
			is_begin = false;
			continue;
		}
		is_begin = strchr(", \t\r\n{:=", *text) != NULL;
		(void)buf_add_char(out, *text++);
	}
}

/* https://user:pass@host/path -> https://host... */
static void
add_url(struct buf *out, const char *text)
{
	const char *host = strstr(text, "://"), *at;
	size_t n;

	if (host == NULL) {
		(void)buf_add_str(out, *text != '\0' ? HIDDEN : "");
		return;
	}
	host += 3;
	(void)buf_add(out, text, (size_t)(host - text));
	/* A password may have any of them in it. */
	at = strrchr(host, '@');
	if (at != NULL)
		host = at + 1;
	n = strcspn(host, "/?#");
	(void)buf_add(out, host, n);
	if (host[n] != '\0')
		(void)buf_add_str(out, "/" HIDDEN);
}

static void
add_command(struct buf *out, const char *text)
{
	size_t n = strcspn(text, " \t\r\n");

	(void)buf_add(out, text, n);
	if (text[n] != '\0')
		(void)buf_add_str(out, " " HIDDEN);
}

char *
discreet_value(const struct settings *set, const struct param *param)
{
	char *text = params_text(set, param), *shown;
	struct buf out;

	buf_init(&out, TEXT_MAX);
	if (strcmp(param->name, "lane_alert_url") == 0)
		add_url(&out, text);
	else if (strcmp(param->name, "lane_alert_command") == 0)
		add_command(&out, text);
	else
		add_tables(&out, text);
	shown = mem_strdup(buf_ok(&out) ? buf_str(&out) : HIDDEN);
	buf_fini(&out);
	mem_free(text);
	return shown;
}
