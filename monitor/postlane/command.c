#include "monitor/postlane/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"

void
command_complain(const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_safe(text, strlen(text));
	(void)fprintf(stderr, "postlane: %s\n", text);
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
