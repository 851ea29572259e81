/* sim: what all connections of one simulator share. One thread, one loop. */
#ifndef SMARTHOST_SIM_H
#define SMARTHOST_SIM_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "common/base/list.h"
#include "tools/smarthost/ledger.h"
#include "tools/smarthost/options.h"
#include "tools/smarthost/script.h"
#include "tools/smarthost/stats.h"

struct sim {
	struct options options;
	struct event_base *base;
	SSL_CTX *tls;
	struct script *script; /* NULL: no rules */
	struct stats stats;
	struct ledger ledger;
	FILE *transcript; /* NULL: none */
	struct list conns; /* struct conn */
	uint64_t *flood_octets; /* shared with the processes that send them */
	double rate_tat_us; /* GCRA: theoretical arrival time, monotonic */
};

/* Takes one message from the account's rate; false when it is used up. */
bool sim_take_rate(struct sim *sim);

#endif
