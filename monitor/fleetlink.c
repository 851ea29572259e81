#include "monitor/fleetlink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/settings/config.h"
#include "common/base/clock.h"
#include "common/base/log.h"

enum {
	WAIT_S = 3,
	READS_MAX =
	    256, /* of 16 kB at most; a fleet has not that much to say */
};

static void
note(char out[FLEETLINK_WHY_SIZE], const char *what, const char *why)
{
	(void)snprintf(out, FLEETLINK_WHY_SIZE, "%s%s%s", what,
	    *what != '\0' ? ": " : "", why);
	log_safe(out, strlen(out));
}

/* The connection is over. */
static bool
lose(struct fleetlink *l, const char *what)
{
	const char *error = l->redis == NULL ? "out of memory"
			    : l->redis->err == REDIS_ERR_IO && errno == EAGAIN
				? "no answer in time"
				: l->redis->errstr;

	note(l->why, what, error);
	if (l->redis != NULL)
		redisFree(l->redis);
	l->redis = NULL;
	return false;
}

static bool
connect_to(struct fleetlink *l, const struct fleet_access *a)
{
	struct timeval wait = {.tv_sec = WAIT_S};

	errno = 0;
	l->redis = a->path[0] != '\0'
		       ? redisConnectUnixWithTimeout(a->path, wait)
		       : redisConnectWithTimeout(a->host, a->port, wait);
	if (l->redis == NULL || l->redis->err != 0)
		return lose(l, "connect");
	if (redisSetTimeout(l->redis, wait) != REDIS_OK)
		return lose(l, "connect");
	return true;
}

static bool
log_in(struct fleetlink *l, const struct fleet_access *a)
{
	const char *auth[] = {"AUTH", a->user, a->password};
	redisReply *reply;

	if (a->password[0] == '\0')
		return true;
	if (a->user[0] == '\0')
		auth[1] = a->password;
	reply = fleetlink_ask(l, "AUTH", a->user[0] == '\0' ? 2 : 3, auth);
	freeReplyObject(reply);
	if (reply != NULL)
		return true;
	if (l->redis == NULL)
		return false;
	note(l->why, "", l->refused);
	redisFree(l->redis);
	l->redis = NULL;
	return false;
}

bool
fleetlink_open(struct fleetlink *l, const struct settings *set)
{
	struct fleet_access *a = &l->access;
	char error[FLEETLINK_WHY_SIZE] = "";
	bool is_open = false;

	*l = (struct fleetlink){.redis = NULL};
	if (!fleet_access_parse(set->lane_fleet, a, error, sizeof(error)))
		note(l->why, "lane_fleet", error);
	else if (!fleet_access_password(
		     set->lane_fleet_password_file, a, error, sizeof(error)))
		note(l->why, "lane_fleet_password_file", error);
	else
		is_open = connect_to(l, a) && log_in(l, a);
	return is_open;
}

void
fleetlink_close(struct fleetlink *l)
{
	if (l->redis != NULL)
		redisFree(l->redis);
	l->redis = NULL;
	fleet_access_forget(&l->access);
}

/* NULL: the connection's error says why. One read waits WAIT_S at most; what
 * comes octet by octet, or without end, has no more than that, either. */
static redisReply *
read_reply(redisContext *redis)
{
	int64_t end_ms = clock_mono_ms() + INT64_C(1000) * WAIT_S;
	void *reply = NULL;

	for (int reads = 0;
	     redisGetReplyFromReader(redis, &reply) == REDIS_OK &&
	     reply == NULL;
	     reads++) {
		if (reads == READS_MAX) {
			(void)snprintf(redis->errstr, sizeof(redis->errstr),
			    "a reply without end");
			return NULL;
		}
		if (clock_mono_ms() >= end_ms) {
			redis->err = REDIS_ERR_IO;
			errno = EAGAIN;
			return NULL;
		}
		if (redisBufferRead(redis) != REDIS_OK)
			return NULL;
	}
	return reply;
}

static redisReply *
exchange(redisContext *redis, int argc, const char **argv)
{
	int is_done = 0;

	if (redisAppendCommandArgv(redis, argc, argv, NULL) != REDIS_OK)
		return NULL;
	while (is_done == 0)
		if (redisBufferWrite(redis, &is_done) != REDIS_OK)
			return NULL;
	return read_reply(redis);
}

redisReply *
fleetlink_ask(
    struct fleetlink *l, const char *what, int argc, const char **argv)
{
	redisReply *reply;

	if (l->redis == NULL)
		return NULL;
	errno = 0;
	reply = exchange(l->redis, argc, argv);
	if (reply == NULL) {
		(void)lose(l, what);
		return NULL;
	}
	if (reply->type != REDIS_REPLY_ERROR)
		return reply;
	fleet_access_hide(&l->access, reply->str);
	if (l->refused[0] == '\0')
		note(l->refused, what, reply->str);
	freeReplyObject(reply);
	return NULL;
}

bool
fleetlink_load(
    struct fleetlink *l, const char *script, char sha[FLEETLINK_SHA_SIZE])
{
	const char *load[] = {"SCRIPT", "LOAD", script};
	redisReply *reply = fleetlink_ask(l, "SCRIPT LOAD", 3, load);
	bool is_sha =
	    reply != NULL &&
	    (reply->type == REDIS_REPLY_STRING ||
		reply->type == REDIS_REPLY_STATUS) &&
	    strspn(reply->str, "0123456789abcdef") == FLEETLINK_SHA_SIZE - 1 &&
	    strlen(reply->str) == FLEETLINK_SHA_SIZE - 1;

	if (is_sha)
		memcpy(sha, reply->str, FLEETLINK_SHA_SIZE);
	else if (reply != NULL && l->refused[0] == '\0')
		note(l->refused, "SCRIPT LOAD", "unexpected reply");
	freeReplyObject(reply);
	return is_sha;
}
