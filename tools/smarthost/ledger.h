/* ledger: one line per message the simulator took, and its stored octets.
 *
 * A line is handed over before the reply goes out. Lines are collected and
 * written at least every 100 ms (the caller's timer), at 256 kB, and at the
 * end; `is_sync` writes each at once. Fields are separated by TAB; octets
 * below blank, DEL, and backslash are written \xHH.
 */
#ifndef SMARTHOST_LEDGER_H
#define SMARTHOST_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

struct ledger {
	int fd; /* -1: no ledger */
	char *dir; /* NULL: contents are not stored */
	bool is_sync;
	uint64_t count;
	struct buf pending;
};

struct ledger_line {
	int64_t wall_us;
	uint64_t conn_nr, msg_nr, octets;
	struct slice sender, rcpts, mail_params, rcpt_params, xid, login;
	const char *digest, *form;
	unsigned peer_port;
	const struct buf *body; /* used when contents are stored */
};

/* Either name may be NULL. False with errno set when one cannot be made. */
bool ledger_open(
    struct ledger *l, const char *path, const char *dir, bool is_sync);
void ledger_add(struct ledger *l, const struct ledger_line *line);
void ledger_flush(struct ledger *l);
void ledger_close(struct ledger *l);

#endif
