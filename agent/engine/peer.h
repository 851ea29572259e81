/* peer: whom a session talks to, as plain values for any layer.
 *
 * Filled by the dialer once the connection is ready; the engine words its log
 * lines with it and decides what may be sent.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/requiretls.h"
#include "common/base/rewriter.h"
#include "common/shared/session_id.h"

struct tracer;

/* Whom we talk to; copied strings, owned by who holds the struct. */
struct peer {
	char host[256]; /* name tried, literal without brackets */
	char addr[64]; /* numeric address */
	char port[16]; /* numeric port */
	char tls[64]; /* word for `tls=` in the log line, "none" without */
	/* The name by which its lines in the log are found; "" without. */
	char session[SESSION_ID_SIZE];
	bool is_tls;
	bool is_matched; /* it has shown what the TLS level asks for */
	bool is_verified; /* ... and is who mail is meant for */
	enum requiretls requiretls; /* what REQUIRETLS means for it */
	bool is_resumed;
	int64_t certificate_end_s; /* since the epoch; 0: not known */
	bool is_traced; /* its dialogue goes to the log */
	const struct tracer *tracer; /* hears it; borrowed, NULL: nobody */
	int others; /* addresses that are as good as this one */
	/* has a say over each line of its replies; borrowed, NULL: none */
	const struct rewriter *replies;
	int64_t rtt_us; /* measured while dialling, at least 0 */
};

#endif
