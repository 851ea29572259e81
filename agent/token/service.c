#include "agent/token/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/token/answer.h"
#include "agent/token/grant.h"
#include "agent/token/post.h"
#include "agent/token/refresh_file.h"
#include "agent/token/source.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/shared/tokenproto.h"

enum { PAIRS_MAX = 16, ANSWER_ATTRS_MAX = 40000, ACCEPT_REST_MS = 1000 };

/* One NAME at work. */
struct name {
	struct list link;
	struct service *service;
	struct confdir_entry *entry;
	struct source source;
	struct loop_timer *timer;
	struct post *post;
	char *used; /* the refresh token of the fetch under way; a secret */
	char *unsaved; /* one that could not be stored yet; a secret */
	int64_t clock_ahead_s; /* of the endpoint */
	int64_t failing_ms; /* since when no fetch succeeds; 0: the last did */
};

struct client {
	struct list link;
	struct service *service;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct attr_reader in;
	struct buf out;
	struct name *waits_for;
	bool is_answered;
};

struct service {
	struct service_env env;
	struct curl_loop *curl;
	struct loop_fd *watch;
	struct loop_timer *accept_timer;
	struct list names, clients;
	size_t client_count;
	bool has_accepted;
	loop_fn *on_drained; /* NULL: it is not draining */
	void *drained_ctx;
};

static void look_at(struct name *name);

static int64_t
now_ms(const struct service *s)
{
	return loop_now_ms(s->env.loop);
}

static void
drop(char **secret)
{
	if (*secret != NULL)
		mem_wipe(*secret, strlen(*secret));
	mem_free(*secret);
	*secret = NULL;
}

/* ---- a fetch ------------------------------------------------------------- */

static const char *
name_of(const struct name *n)
{
	return n->entry->conf.name;
}

static void
tell_failure(struct name *n)
{
	struct source *s = &n->source;
	int64_t now = now_ms(n->service);
	int64_t left = source_has_token(s, now) ? (s->end_ms - now) / 1000 : 0;

	log_warn("token %s: %s; next try in %lld s, the present token lives "
		 "%lld s",
	    name_of(n), s->reason,
	    (long long)(s->not_before_ms - now + 999) / 1000, (long long)left);
	if (source_is_alarming(s, now))
		alarm_raise(
		    n->service->env.alarm, ALARM_TOKEN, name_of(n), s->reason);
}

/* To who looks, after each fetch. The file is the next process's once this one
 * drains. */
static void
show_row(struct name *n, bool is_failed)
{
	const struct source *s = &n->source;
	struct token_row row = {.end_ms = s->end_ms};

	if (!is_failed)
		n->failing_ms = 0;
	else if (n->failing_ms == 0)
		n->failing_ms = now_ms(n->service);
	if (n->service->env.shown == NULL || n->service->on_drained != NULL)
		return;
	(void)snprintf(row.name, sizeof(row.name), "%s", name_of(n));
	if (is_failed)
		(void)snprintf(row.reason, sizeof(row.reason), "%s", s->reason);
	row.failing_ms = n->failing_ms;
	row.is_lasting = is_failed && s->is_lasting;
	token_store_set(n->service->env.shown, &row);
}

/* Of the refresh token, after a fetch. */
static void
let_go(struct name *n)
{
	drop(&n->used);
	if (n->entry->refresh_fd >= 0)
		refresh_file_release(n->entry->refresh_fd);
}

/* reason stands behind the endpoint's host. */
static void
fail(struct name *n, const char *reason, bool is_lasting, int64_t retry_after_s)
{
	struct slice host = conf_host(&n->entry->conf);
	char *text = mem_printf("%.*s: %s", (int)host.n, host.p, reason);

	source_failed(&n->source, text, is_lasting, retry_after_s,
	    (unsigned)random(), now_ms(n->service));
	mem_free(text);
	let_go(n);
	show_row(n, true);
	tell_failure(n);
}

/* Before the access token that came with it is used. */
static void
keep_refresh_token(struct name *n, const char *token)
{
	const struct conf *conf = &n->entry->conf;

	if (conf->flow != CONF_REFRESH_TOKEN || token == NULL ||
	    (n->used != NULL && strcmp(token, n->used) == 0))
		return;
	if (refresh_file_write(n->entry->refresh_fd, token)) {
		drop(&n->unsaved);
		return;
	}
	log_error("token %s: the new refresh token cannot be stored in %s: %s; "
		  "if this process ends, log in again (lane token %s --login)",
	    name_of(n), conf->refresh_token_file, strerror(errno), name_of(n));
	drop(&n->unsaved);
	n->unsaved = mem_strdup(token);
}

static void
grant(struct name *n, const struct answer *a)
{
	struct slice host = conf_host(&n->entry->conf);

	keep_refresh_token(n, a->refresh_token);
	let_go(n);
	source_granted(&n->source, a->access_token, a->life_s);
	show_row(n, false);
	log_info("token %s: fetched from %.*s, lives %lld s", name_of(n),
	    (int)host.n, host.p, (long long)a->life_s);
	alarm_clear(n->service->env.alarm, ALARM_TOKEN, name_of(n));
}

/* By the code; RFC 6749 5.2 has 400 and 401 for what the client does wrong. */
static bool
is_lasting(long code, const struct answer *a)
{
	if (code < 400 || code >= 500 || code == 408 || code == 425 ||
	    code == 429)
		return false;
	return a->kind != ANSWER_ERROR || answer_is_lasting(a);
}

/* An assertion with wrong times is refused whatever else is right. True: the
 * clock is news, and worth another try. */
static bool
note_clock(struct name *n, const struct post_result *r)
{
	int64_t change = r->clock_ahead_s - n->clock_ahead_s;

	if (change >= -60 && change <= 60)
		return false;
	n->clock_ahead_s = r->clock_ahead_s;
	log_warn("token %s: the clock of this machine is %lld s %s the "
		 "endpoint's, which is used instead",
	    name_of(n), llabs((long long)n->clock_ahead_s),
	    n->clock_ahead_s > 0 ? "behind" : "ahead of");
	return *n->entry->conf.key != '\0';
}

static void
on_answer(void *ctx, const struct post_result *r)
{
	struct name *n = ctx;
	const struct conf *conf = &n->entry->conf;
	const char *secrets[] = {
	    n->used, conf->client_secret, conf->authorization, n->source.token};
	struct answer a;
	char text[ANSWER_TEXT_SIZE + 40];
	bool is_clock;

	n->post = NULL;
	if (r->error != NULL) {
		fail(n, r->error, false, 0);
		look_at(n);
		return;
	}
	is_clock = note_clock(n, r);
	answer_parse(
	    &a, r->body, secrets, sizeof(secrets) / sizeof(secrets[0]));
	if (r->code == 200 && a.kind == ANSWER_TOKEN) {
		grant(n, &a);
	} else {
		(void)snprintf(text, sizeof(text), "%ld %s", r->code,
		    a.kind == ANSWER_TOKEN || a.kind == ANSWER_DEVICE
			? "with an answer that is not an error"
			: a.text);
		fail(n, text, !is_clock && is_lasting(r->code, &a),
		    r->retry_after_s);
	}
	answer_free(&a);
	look_at(n);
}

/* What is stored, or could not be. False: the fetch has failed. */
static bool
take_refresh_token(struct name *n)
{
	const struct conf *conf = &n->entry->conf;
	struct service *s = n->service;
	char text[200];

	if (!refresh_file_hold(n->entry->refresh_fd)) {
		(void)snprintf(text, sizeof(text), "%.60s: %s",
		    conf->refresh_token_file,
		    errno == EAGAIN ? "another process is using it"
				    : strerror(errno));
		fail(n, text, false, 0);
		return false;
	}
	if (n->unsaved != NULL) {
		if (refresh_file_write(n->entry->refresh_fd, n->unsaved)) {
			log_info("token %s: the refresh token is stored now",
			    name_of(n));
			n->used = n->unsaved;
			n->unsaved = NULL;
		} else {
			n->used = mem_strdup(n->unsaved);
		}
		return true;
	}
	switch (refresh_file_read(n->entry->refresh_fd, &n->used)) {
	case REFRESH_OK:
		return true;
	case REFRESH_NONE:
		(void)snprintf(text, sizeof(text),
		    "no refresh token is stored: run lane token %s --login",
		    name_of(n));
		fail(n, text, true, 0);
		return false;
	case REFRESH_BAD:
		(void)snprintf(text, sizeof(text),
		    "the refresh token in %.60s cannot be read: %s",
		    conf->refresh_token_file, strerror(errno));
		fail(n, text, errno == EILSEQ, 0);
		return false;
	case REFRESH_REPLACED:
		log_info("token %s: %s was replaced, starting anew", name_of(n),
		    conf->refresh_token_file);
		fail(n, "starting anew", false, 0);
		s->env.on_stale(s->env.ctx);
		return false;
	}
	return false;
}

static void
begin_fetch(struct name *n)
{
	const struct conf *conf = &n->entry->conf;
	char error[CONF_ERROR_SIZE] = "";
	struct buf form;

	source_began(&n->source, now_ms(n->service));
	if (conf->flow == CONF_REFRESH_TOKEN && !take_refresh_token(n))
		return;
	buf_init(&form, POST_FORM_MAX);
	(void)buf_reserve(&form, POST_FORM_MAX);
	if (!grant_form(conf, n->used, time(NULL) + n->clock_ahead_s, &form,
		error, sizeof(error)))
		fail(n, error, true, 0);
	else if ((n->post = post_start(n->service->curl, conf,
		      conf->token_endpoint, buf_slice(&form), on_answer, n)) ==
		 NULL)
		fail(n, "libcurl cannot be initialized", false, 0);
	buf_fini_secret(&form);
}

/* ---- clients --------------------------------------------------------------
 */

static void
client_free(struct client *c)
{
	list_remove(&c->link);
	c->service->client_count--;
	loop_unwatch(&c->watch);
	loop_timer_free(&c->timer);
	(void)close(c->fd);
	attr_reader_fini(&c->in);
	buf_fini_secret(&c->out);
	if (c->service->watch != NULL)
		loop_timer_at(c->service->accept_timer, now_ms(c->service));
	loop_defer(c->service->env.loop, mem_free, c);
}

static void
answer_with(struct client *c, enum tokenproto_status status, const char *reason)
{
	CHECK(!c->is_answered);
	c->waits_for = NULL;
	c->is_answered = true;
	attr_put_int(&c->out, "status", (int)status);
	attr_put_str(&c->out, "reason", slice_str(reason));
	attr_put_end(&c->out);
	loop_want(c->watch, true, true);
}

static void
give_token(struct client *c, const struct source *s)
{
	CHECK(!c->is_answered && s->token != NULL);
	c->waits_for = NULL;
	c->is_answered = true;
	(void)buf_reserve(&c->out, strlen(s->token) + 200);
	attr_put_int(&c->out, "status", TOKENPROTO_OK);
	attr_put_long(&c->out, "serial", s->serial);
	attr_put_str(&c->out, "token", slice_str(s->token));
	attr_put_end(&c->out);
	loop_want(c->watch, true, true);
}

static void
serve(struct client *c, struct name *n, int64_t refused)
{
	struct source *s = &n->source;

	switch (source_ask(s, refused, now_ms(c->service))) {
	case SOURCE_TOKEN:
		give_token(c, s);
		break;
	case SOURCE_WAIT:
		c->waits_for = n;
		break;
	case SOURCE_NONE:
		answer_with(c,
		    s->is_lasting ? TOKENPROTO_WRONG : TOKENPROTO_LATER,
		    s->reason);
		break;
	}
}

static void
on_name_timer(void *ctx)
{
	look_at(ctx);
}

/* A refresh token is under way. */
static bool
is_busy(const struct service *s)
{
	list_each (link, &s->names) {
		const struct name *n = list_entry(link, struct name, link);

		if (n->post != NULL && n->used != NULL)
			return true;
	}
	return false;
}

/* Whatever is due is begun, whoever can be answered is. */
static void
look_at(struct name *n)
{
	struct service *s = n->service;
	int64_t due;

	if (s->on_drained == NULL && source_is_due(&n->source, now_ms(s)))
		begin_fetch(n);
	list_each_safe (link, &s->clients) {
		struct client *c = list_entry(link, struct client, link);

		if (c->waits_for == n)
			serve(c, n, 0);
	}
	due = source_due_ms(&n->source);
	if (due == INT64_MAX || s->on_drained != NULL)
		loop_timer_cancel(n->timer);
	else
		loop_timer_at(n->timer, due);
	if (s->on_drained != NULL && !is_busy(s))
		s->on_drained(s->drained_ctx);
}

static struct name *
find_name(struct service *s, struct confdir_entry *entry)
{
	struct name *n;

	list_each (link, &s->names) {
		n = list_entry(link, struct name, link);
		if (n->entry == entry)
			return n;
	}
	n = mem_zalloc(sizeof(*n));
	n->service = s;
	n->entry = entry;
	source_init(&n->source);
	n->timer = loop_timer_new(s->env.loop, on_name_timer, n);
	list_push(&s->names, &n->link);
	return n;
}

static void
show(struct client *c, struct name *n)
{
	const struct source *s = &n->source;
	int64_t now = now_ms(c->service);

	attr_put_long(&c->out, "lives",
	    source_has_token(s, now) ? (s->end_ms - now) / 1000 : 0);
	answer_with(c, TOKENPROTO_OK, s->reason);
}

/* The entry, or the reason why there is none was told. */
static struct confdir_entry *
find_entry(struct client *c, const char *name)
{
	const struct service_env *env = &c->service->env;
	struct confdir_entry *entry = NULL;
	char text[700];

	if (env->problem != NULL || env->dir->error != NULL) {
		answer_with(c, TOKENPROTO_WRONG,
		    env->problem != NULL ? env->problem : env->dir->error);
		return NULL;
	}
	if (tokenproto_name_is_valid(name))
		entry = confdir_find(env->dir, name);
	if (entry != NULL && entry->error == NULL)
		return entry;
	if (entry == NULL)
		(void)snprintf(text, sizeof(text),
		    "no %.64s.conf in %.400s (after a change: postfix reload)",
		    name, env->dir->path);
	else
		(void)snprintf(text, sizeof(text), "%.400s: %s", env->dir->path,
		    entry->error);
	log_safe(text, strlen(text));
	log_warn(
	    "token %s: %s", tokenproto_name_is_valid(name) ? name : "?", text);
	if (entry != NULL)
		alarm_raise(env->alarm, ALARM_TOKEN, name, text);
	answer_with(c, TOKENPROTO_WRONG, text);
	return NULL;
}

static void
take_question(struct client *c)
{
	struct confdir_entry *entry;
	struct slice request, name;
	int64_t refused = 0;
	struct name *n;

	if (!attr_find(&c->in, "request", &request) ||
	    !attr_find(&c->in, "name", &name)) {
		client_free(c);
		return;
	}
	entry = find_entry(c, name.p);
	if (entry == NULL)
		return;
	n = find_name(c->service, entry);
	if (slice_eq(request, "status")) {
		show(c, n);
	} else if (slice_eq(request, "token") &&
		   attr_get_long(&c->in, "refused", &refused)) {
		serve(c, n, refused);
		if (c->waits_for != NULL)
			look_at(n);
	} else {
		client_free(c);
	}
}

static void
on_client_timer(void *ctx)
{
	client_free(ctx);
}

/* False: the client is gone. */
static bool
give_output(struct client *c)
{
	struct slice s = buf_slice(&c->out);
	ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_free(c);
		return false;
	}
	if (n > 0) {
		mem_wipe(c->out.data + c->out.off, (size_t)n);
		buf_consume(&c->out, (size_t)n);
	}
	if (buf_len(&c->out) == 0)
		loop_want(c->watch, true, false);
	return true;
}

static void
take_input(struct client *c)
{
	char chunk[SERVICE_QUESTION_MAX];
	size_t used = 0;
	ssize_t n = read(c->fd, chunk, sizeof(chunk));
	enum attr_result result;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* One question each; who says more, or nothing, has finished. */
	if (n <= 0 || c->is_answered || c->waits_for != NULL) {
		client_free(c);
		return;
	}
	result = attr_reader_feed(&c->in, chunk, (size_t)n, &used);
	if (result == ATTR_BAD || used < (size_t)n)
		client_free(c);
	else if (result == ATTR_LIST)
		take_question(c);
}

static void
on_ready(void *ctx, bool readable, bool writable)
{
	struct client *c = ctx;

	if (writable && buf_len(&c->out) > 0 && !give_output(c))
		return;
	if (readable)
		take_input(c);
}

static void
greet(struct service *s, int fd)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->service = s;
	c->fd = fd;
	c->timer = loop_timer_new(s->env.loop, on_client_timer, c);
	loop_timer_at(c->timer, now_ms(s) + SERVICE_CLIENT_MS);
	attr_reader_init(&c->in, SERVICE_QUESTION_MAX, PAIRS_MAX);
	buf_init(&c->out, ANSWER_ATTRS_MAX);
	attr_put_str(&c->out, "protocol", slice_str(TOKENPROTO_PROTOCOL));
	attr_put_end(&c->out);
	c->watch = loop_watch(s->env.loop, fd, on_ready, c);
	list_push(&s->clients, &c->link);
	s->client_count++;
	loop_want(c->watch, true, true);
}

/* Directories keep others away from the socket, unless somebody changed their
 * rights; nothing does when master.cf has a service of type inet. */
static bool
may_ask(int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Until nobody waits, or as many as there may be are here. */
static void
accept_all(struct service *s)
{
	bool is_full = false;

	while (s->client_count < SERVICE_CLIENTS_MAX) {
		int fd = accept4(
		    s->env.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			is_full = errno != EAGAIN;
			break;
		}
		if (!may_ask(fd)) {
			log_warn("a connection of neither mail_owner nor root "
				 "to the service was refused");
			(void)close(fd);
			continue;
		}
		greet(s, fd);
		if (!s->has_accepted) {
			s->has_accepted = true;
			s->env.on_first_accept(s->env.ctx);
		}
	}
	is_full = is_full || s->client_count >= SERVICE_CLIENTS_MAX;
	loop_want(s->watch, !is_full, false);
	if (is_full)
		loop_timer_at(s->accept_timer, now_ms(s) + ACCEPT_REST_MS);
}

static void
on_connection(void *ctx, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	accept_all(ctx);
}

static void
on_accept_timer(void *ctx)
{
	accept_all(ctx);
}

/* ---- life ------------------------------------------------------------------
 */

/* Names of which nothing is known yet; those that cannot be used at all. */
static void
show_names(const struct service *s)
{
	for (size_t i = 0; i < s->env.dir->count; i++) {
		const struct confdir_entry *e = &s->env.dir->entries[i];
		struct token_row row = {.is_lasting = e->error != NULL};

		(void)snprintf(row.name, sizeof(row.name), "%s", e->conf.name);
		if (e->error != NULL) {
			row.failing_ms = now_ms(s);
			(void)snprintf(
			    row.reason, sizeof(row.reason), "%s", e->error);
		}
		token_store_set(s->env.shown, &row);
	}
}

struct service *
service_new(const struct service_env *env)
{
	struct service *s = mem_zalloc(sizeof(*s));

	s->env = *env;
	list_init(&s->names);
	list_init(&s->clients);
	s->curl = curl_loop_new(env->loop);
	if (s->curl == NULL)
		s->env.problem = "libcurl cannot be initialized";
	s->accept_timer = loop_timer_new(env->loop, on_accept_timer, s);
	s->watch = loop_watch(env->loop, env->listen_fd, on_connection, s);
	loop_want(s->watch, true, false);
	if (s->env.shown != NULL)
		show_names(s);
	return s;
}

static void
name_free(struct name *n)
{
	list_remove(&n->link);
	post_cancel(&n->post);
	source_fini(&n->source);
	loop_timer_free(&n->timer);
	drop(&n->used);
	drop(&n->unsaved);
	mem_free(n);
}

void
service_drain(struct service *s, loop_fn *on_done, void *ctx)
{
	CHECK(on_done != NULL);
	if (s->on_drained != NULL)
		return;
	s->on_drained = on_done;
	s->drained_ctx = ctx;
	loop_unwatch(&s->watch);
	loop_timer_cancel(s->accept_timer);
	if (!is_busy(s))
		on_done(ctx);
}

void
service_free(struct service **service)
{
	struct service *s = *service;

	*service = NULL;
	if (s == NULL)
		return;
	list_each_safe (link, &s->clients)
		client_free(list_entry(link, struct client, link));
	list_each_safe (link, &s->names)
		name_free(list_entry(link, struct name, link));
	curl_loop_free(&s->curl);
	loop_unwatch(&s->watch);
	loop_timer_free(&s->accept_timer);
	mem_free(s);
}
