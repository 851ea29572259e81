/* agent: one lane at work: intake, lane, upstreams and report wired together.
 *
 *   qmgr -> intake -> lane -> session -> link -> smarthost
 *             ^                  |
 *             '---- report <- verdicts
 *
 * Owns the loop's life: serving, reload (drain in a forked child), stop, and
 * the same hand-over to a new process when a table has changed.
 */
#ifndef AGENT_H
#define AGENT_H

#include "agent/engine/domains.h"
#include "agent/engine/rules.h"
#include "agent/engine/settings.h"
#include "agent/fleet/speaker.h"
#include "agent/io/descriptors.h"
#include "agent/io/loop.h"
#include "agent/operator/alarm.h"
#include "agent/postfix/master.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dialer.h"
#include "agent/state/board_writer.h"
#include "agent/state/statefile.h"
#include "agent/tables/content_tables.h"
#include "agent/tables/mapwatch.h"

struct agent;

struct agent_env {
	struct loop *loop;
	const struct settings *set;
	struct master *master;
	struct dialer *dialer;
	struct credentials *credentials;
	struct board_writer *board; /* may be NULL */
	struct alarm *alarm;
	const struct rules *rules;
	struct domains *domains;
	const struct statefile_dir *state; /* may be NULL */
	struct mapwatch *tables;
	const struct rewriter *verdicts; /* smtp_delivery_status_filter */
	const struct content_tables *content;
	const char *lane_name;
	struct speaker *speaker; /* NULL: hosts share nothing */
	struct descriptors descriptors; /* as they are planned */
	/* The configuration cannot be used: mail is deferred with this text
	 * (4.3.5), since to exit would throttle the service. NULL: none. */
	const char *problem;
};

/* Privileges are dropped, the working directory is the queue directory.
 * Never NULL. */
struct agent *agent_new(const struct agent_env *env);

/* Serves until reload or stop is complete. */
void agent_run(struct agent *agent);

void agent_free(struct agent **agent);

#endif
