#include "agent/engine/trace.h"

#include <string.h>

#include "common/base/log.h"

static void
each_line(const struct peer *peer, char way, struct slice lines)
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
		log_info("%c %s[%s]:%s: %s", way, peer->host, peer->addr,
		    peer->port, text);
		lines = slice_of(lines.p + skip, lines.n - skip);
	}
}

void
trace_sent(const struct peer *peer, struct slice lines)
{
	if (peer->is_traced)
		each_line(peer, '>', lines);
}

void
trace_sent_octets(const struct peer *peer, size_t octets, const char *what)
{
	if (peer->is_traced)
		log_info("> %s[%s]:%s: <%zu octets of %s>", peer->host,
		    peer->addr, peer->port, octets, what);
}

void
trace_received(const struct peer *peer, const struct reply *reply)
{
	if (peer->is_traced)
		each_line(peer, '<', buf_slice(&reply->text));
}

void
trace_received_hidden(const struct peer *peer, int code)
{
	if (peer->is_traced)
		log_info("< %s[%s]:%s: %d <hidden>", peer->host, peer->addr,
		    peer->port, code);
}
