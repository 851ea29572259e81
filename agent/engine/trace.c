#include "agent/engine/trace.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/request.h"
#include "agent/engine/transaction.h"
#include "common/base/log.h"

bool
trace_is_on(const struct peer *peer)
{
	return peer->is_traced ||
	       (peer->tracer != NULL && peer->tracer->is_wanted);
}

/* So many recipients of a transaction are looked for in a reply. */
enum { FILTERED_MAX = 8 };

/* A server may repeat a local part alone. */
static void
filter_reply(const struct transaction *about, char *text, size_t size)
{
	for (size_t i = 0; i < about->count && i < FILTERED_MAX; i++)
		log_filter(
		    text, size, about->req->rcpts[about->rcpts[i]].address);
}

static void
tell(const struct peer *peer, const struct transaction *about, char way,
    const char *text)
{
	if (peer->is_traced)
		log_info("%c %s[%s]:%s: %s", way, peer->host, peer->addr,
		    peer->port, text);
	if (peer->tracer != NULL && peer->tracer->is_wanted)
		peer->tracer->hear(peer->tracer->ctx, peer, about, way, text);
}

static void
each_line(const struct peer *peer, const struct transaction *about, char way,
    struct slice lines)
{
	while (lines.n > 0) {
		const char *end = memchr(lines.p, '\n', lines.n);
		size_t n = end != NULL ? (size_t)(end - lines.p) : lines.n;
		size_t skip = n + (end != NULL);
		char text[REPLY_LINE_MAX + 1];

		if (n > 0 && lines.p[n - 1] == '\r')
			n--;
		if (n > REPLY_LINE_MAX)
			n = REPLY_LINE_MAX;
		memcpy(text, lines.p, n);
		text[n] = '\0';
		log_safe(text, n);
		if (way == '<' && about != NULL)
			filter_reply(about, text, sizeof(text));
		tell(peer, about, way, text);
		lines = slice_of(lines.p + skip, lines.n - skip);
	}
}

void
trace_sent(const struct peer *peer, const struct transaction *about,
    struct slice lines)
{
	if (trace_is_on(peer))
		each_line(peer, about, '>', lines);
}

void
trace_sent_octets(const struct peer *peer, const struct transaction *about,
    size_t octets, const char *what)
{
	char text[100];

	if (!trace_is_on(peer))
		return;
	(void)snprintf(text, sizeof(text), "<%zu octets of %s>", octets, what);
	tell(peer, about, '>', text);
}

void
trace_received(const struct peer *peer, const struct transaction *about,
    const struct reply *reply)
{
	if (trace_is_on(peer))
		each_line(peer, about, '<', buf_slice(&reply->text));
}

void
trace_received_text(const struct peer *peer, const char *text)
{
	if (trace_is_on(peer))
		tell(peer, NULL, '<', text);
}

void
trace_remark(const struct peer *peer, const char *text)
{
	const struct tracer *tracer = peer->tracer;

	if (tracer != NULL && tracer->is_wanted)
		tracer->hear(tracer->ctx, peer, NULL, '!', text);
}

void
trace_received_hidden(const struct peer *peer, int code)
{
	char text[40];

	if (!trace_is_on(peer))
		return;
	(void)snprintf(text, sizeof(text), "%d <hidden>", code);
	tell(peer, NULL, '<', text);
}
