/* service: gives lanes their access tokens.
 *
 *   lane --- tokenproto.h ---> service --- source.h: now? ---> post.h
 *        <-- token or reason --    '--- refresh_file.h: before it is used
 *
 * One fetch for all that wait, for each NAME. What lanes are told, is logged
 * and is told the operator (alarm "token", whose place is NAME) is the
 * endpoint's host and its words, never a token or a secret.
 *
 * The master process has opened the socket. Processes of mail_owner (the one
 * that the service itself has become) and of root get tokens, nobody else.
 */
#ifndef TOKEN_SERVICE_H
#define TOKEN_SERVICE_H

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/operator/alarm.h"
#include "agent/state/token_store.h"
#include "agent/token/confdir.h"

enum {
	SERVICE_CLIENTS_MAX = 200,
	SERVICE_QUESTION_MAX = 1024,
	SERVICE_CLIENT_MS = 90000, /* a connection's longest life */
};

struct service;

struct service_env {
	struct loop *loop;
	int listen_fd;
	struct confdir *dir; /* read; borrowed */
	struct alarm *alarm;
	struct token_store *shown; /* borrowed; NULL: nothing is shown */
	const char *problem; /* nothing can be fetched: why; else NULL */
	loop_fn *on_first_accept;
	loop_fn
	    *on_stale; /* files were replaced: to be read by a new process */
	void *ctx;
};

struct service *service_new(const struct service_env *env);
void service_free(struct service **service);

/* Takes nobody in any more and begins no fetch. on_done is called, perhaps from
 * inside, when no refresh token is out that the endpoint may just be replacing.
 */
void service_drain(struct service *service, loop_fn *on_done, void *ctx);

#endif
