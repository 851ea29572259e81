#include "monitor/postlane/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* Where words go instead of stdout and stderr; NULL: there. */
static char *captured;
static size_t captured_size;

void
command_capture(char *text, size_t n)
{
	captured = text;
	captured_size = n;
}

static void
put(FILE *to, const char *text)
{
	if (captured == NULL)
		(void)fprintf(to, "%s\n", text);
	else
		(void)snprintf(captured, captured_size, "%s", text);
}

void
command_complain(const char *format, ...)
{
	va_list args, again;
	char *text, *line;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(n >= 0);
	text = mem_alloc((size_t)n + 1);
	(void)vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	log_safe(text, strlen(text));
	line = mem_printf("postlane: %s", text);
	put(stderr, line);
	mem_free(line);
	mem_free(text);
}

void
command_say(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(stdout, text);
}

void
command_print_json(struct json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT);

	CHECK(text != NULL);
	(void)puts(text);
	free(text);
	json_decref(document);
}

bool
command_open(struct command *c)
{
	char error[512];

	if (site_open(&c->site, c->directory, error, sizeof(error)))
		return true;
	command_complain("%s", error);
	return false;
}

bool
command_renew(struct command *c)
{
	if (!site_has_changed(&c->site))
		return true;
	site_close(&c->site);
	return command_open(c);
}

bool
command_wants(const struct command *c, const struct model_lane *lane)
{
	return model_is_asked_for(lane, c->lane);
}

void
look_begin(struct look *look, const struct command *c)
{
	look->m = model_read(&c->site, clock_moment());
	look->postfix = postfix_state_of(&c->site);
	backlog_read(&look->backlog, &c->site);
}

void
look_end(struct look *look)
{
	backlog_fini(&look->backlog);
	model_free(&look->m);
}

const struct backlog_share *
look_share(const struct look *look, const struct model_lane *lane)
{
	return backlog_share_of(&look->backlog, look->m, lane);
}
