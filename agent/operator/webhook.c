#include "agent/operator/webhook.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/curl_loop.h"
#include "agent/io/resolver.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	RETRY_FACTOR = 4,
	PIN_MAX = 4096, /* "host:port:address,..." for libcurl */
	HTTP_TIMEOUT = 408,
	HTTP_TOO_MANY = 429,
};

#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"

/* What is being done with the first that waits. */
enum hook_state {
	HOOK_IDLE, /* none waits */
	HOOK_LOOKING_UP,
	HOOK_POSTING,
	HOOK_PAUSED, /* till the next try */
	HOOK_DRAINED, /* another process's, from now on */
};

#define TO(state) (1U << HOOK_##state)

static const unsigned moves[] = {
    [HOOK_IDLE] = TO(LOOKING_UP) | TO(POSTING) | TO(DRAINED),
    [HOOK_LOOKING_UP] = TO(POSTING) | TO(PAUSED) | TO(IDLE) | TO(DRAINED),
    [HOOK_POSTING] = TO(PAUSED) | TO(IDLE) | TO(DRAINED),
    [HOOK_PAUSED] = TO(LOOKING_UP) | TO(POSTING) | TO(DRAINED),
    [HOOK_DRAINED] = 0,
};

struct body {
	struct list link;
	char *text;
	int tries;
};

struct webhook {
	struct loop *loop;
	char *url, *host, *port;
	int64_t retry_ms, timeout_ms;
	loop_fn *on_done; /* may be NULL */
	bool is_telling; /* on_done is being called */
	void *ctx;
	struct buf authorities;
	struct resolver *resolver; /* NULL: the host is an address */
	struct list queue; /* struct body; the first is being sent */
	size_t pending;
	enum hook_state state; /* written by set_state() */

	struct resolver_query *query;
	struct loop_timer *pause;
	struct curl_loop *curl;
	CURL *easy; /* the transfer */
	struct curl_loop_call call;
	struct curl_slist *headers, *pin;
	char error[CURL_ERROR_SIZE];
};

static void start_try(struct webhook *w);

static void
set_state(struct webhook *w, enum hook_state state)
{
	CHECK((moves[w->state] & 1U << state) != 0);
	/* Each is about the first of the queue. */
	CHECK(w->pending > 0 || state == HOOK_IDLE || state == HOOK_DRAINED);
	w->state = state;
}

/* ---- the queue --------------------------------------------------------- */

static void
drop(struct webhook *w, struct body *b)
{
	list_remove(&b->link);
	w->pending--;
	mem_free(b->text);
	mem_free(b);
}

static struct body *
head(struct webhook *w)
{
	CHECK(w->pending > 0);
	return list_entry(w->queue.next, struct body, link);
}

static void
kick(struct webhook *w)
{
	if (w->state == HOOK_IDLE && w->pending > 0)
		start_try(w);
}

void
webhook_post(struct webhook *hook, const char *body)
{
	struct body *b;

	CHECK(hook->pending <= WEBHOOK_QUEUE_MAX);
	if (hook->state == HOOK_DRAINED)
		return;
	if (hook->pending == WEBHOOK_QUEUE_MAX) {
		/* The newest say how things stand; the first is under way. */
		log_warn("lane_alert_url: too many alarms for %s wait, one is "
			 "dropped",
		    hook->host);
		drop(hook,
		    list_entry(hook->queue.next->next, struct body, link));
	}
	b = mem_zalloc(sizeof(*b));
	b->text = mem_strdup(body);
	list_push(&hook->queue, &b->link);
	hook->pending++;
	kick(hook);
}

size_t
webhook_pending(const struct webhook *hook)
{
	return hook->pending;
}

/* ---- the end of a try -------------------------------------------------- */

static void
end_transfer(struct webhook *w)
{
	if (w->easy == NULL)
		return;
	curl_loop_end(w->curl, w->easy);
	curl_easy_cleanup(w->easy);
	w->easy = NULL;
	curl_slist_free_all(w->pin);
	w->pin = NULL;
}

static void
succeed(struct webhook *w)
{
	drop(w, head(w));
	set_state(w, HOOK_IDLE);
	w->is_telling = true;
	if (w->on_done != NULL)
		w->on_done(w->ctx);
	w->is_telling = false;
	kick(w);
}

static void
fail(struct webhook *w, const char *why, bool is_final)
{
	struct body *b = head(w);
	int64_t wait_ms = w->retry_ms;

	b->tries++;
	if (is_final || b->tries == WEBHOOK_TRIES) {
		log_warn("lane_alert_url: an alarm for %s is not posted, given "
			 "up at try %d: %s",
		    w->host, b->tries, why);
		succeed(w);
		return;
	}
	for (int i = 1; i < b->tries; i++)
		wait_ms *= RETRY_FACTOR;
	log_warn("lane_alert_url: an alarm for %s is not posted yet, next try "
		 "in %.3g s: %s",
	    w->host, (double)wait_ms / 1000, why);
	set_state(w, HOOK_PAUSED);
	loop_timer_at(w->pause, loop_now_ms(w->loop) + wait_ms);
}

static void
on_pause_over(void *ctx)
{
	start_try(ctx);
}

/* Only what may be different the next time is worth one. */
static bool
is_lasting(long code)
{
	return code >= 300 && code < 500 && code != HTTP_TIMEOUT &&
	       code != HTTP_TOO_MANY;
}

static void
on_transferred(void *ctx, CURLcode result)
{
	struct webhook *w = ctx;
	char why[CURL_ERROR_SIZE + 32];
	long code = 0;

	(void)curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &code);
	if (result != CURLE_OK)
		(void)snprintf(why, sizeof(why), "%s",
		    w->error[0] != '\0' ? w->error
					: curl_easy_strerror(result));
	else
		(void)snprintf(why, sizeof(why), "it answers %ld", code);
	end_transfer(w);
	if (result == CURLE_OK && code >= 200 && code < 300)
		succeed(w);
	else
		fail(w, why, result == CURLE_OK && is_lasting(code));
}

static size_t
ignore_answer(char *octets, size_t size, size_t count, void *ctx)
{
	(void)octets;
	(void)ctx;
	return size * count;
}

/* ---- a try ------------------------------------------------------------- */

#define SET(option, value) (curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool
set_security(struct webhook *w, CURL *easy)
{
	struct slice ca = buf_slice(&w->authorities);
	/* libcurl does not write to it. */
	union {
		const char *in;
		char *out;
	} octets = {ca.p};
	struct curl_blob blob = {octets.out, ca.n, CURL_BLOB_NOCOPY};

	if (ca.n > 0 && !SET(CURLOPT_CAINFO_BLOB, &blob))
		return false;
	return SET(CURLOPT_CAPATH, NULL) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
	       SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
	       SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, "");
}

static bool
set_options(struct webhook *w, CURL *easy)
{
	const struct body *b = head(w);

	return SET(CURLOPT_URL, w->url) && SET(CURLOPT_ERRORBUFFER, w->error) &&
	       SET(CURLOPT_TIMEOUT_MS, (long)w->timeout_ms) &&
	       /* An alarm is rare: no connection is kept for the next. */
	       SET(CURLOPT_FORBID_REUSE, 1L) &&
	       SET(CURLOPT_USERAGENT, "postlane") &&
	       SET(CURLOPT_HTTPHEADER, w->headers) &&
	       SET(CURLOPT_WRITEFUNCTION, ignore_answer) &&
	       SET(CURLOPT_POSTFIELDS, b->text) &&
	       (w->pin == NULL || SET(CURLOPT_RESOLVE, w->pin)) &&
	       set_security(w, easy);
}

#undef SET

static void
start_transfer(struct webhook *w)
{
	set_state(w, HOOK_POSTING);
	w->error[0] = '\0';
	w->easy = curl_easy_init();
	if (w->easy == NULL || !set_options(w, w->easy) ||
	    !curl_loop_begin(w->curl, w->easy, &w->call)) {
		end_transfer(w);
		fail(w, "libcurl cannot be initialized", false);
	}
}

static bool
add_address(struct buf *pin, const struct sockaddr_storage *addr)
{
	/* Copied: a cast would promise an alignment nobody has checked. */
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (addr->ss_family == AF_INET) {
		memcpy(&in4, addr, sizeof(in4));
		return inet_ntop(AF_INET, &in4.sin_addr, text, sizeof(text)) !=
			   NULL &&
		       buf_addf(pin, "%s,", text);
	}
	memcpy(&in6, addr, sizeof(in6));
	return inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text)) !=
		   NULL &&
	       buf_addf(pin, "[%s],", text);
}

static void
on_addrs(void *ctx, const struct resolver_answer *answer)
{
	struct webhook *w = ctx;
	struct buf pin;

	w->query = NULL;
	if (answer->status != RESOLVER_OK || answer->count == 0) {
		fail(w, answer->reason, false);
		return;
	}
	buf_init(&pin, PIN_MAX);
	(void)buf_addf(&pin, "%s:%s:", w->host, w->port);
	for (size_t i = 0; i < answer->count; i++)
		if (!add_address(&pin, &answer->addrs[i]))
			break;
	/* Without the last comma. */
	pin.len--;
	w->pin = curl_slist_append(NULL, buf_str(&pin));
	buf_fini(&pin);
	start_transfer(w);
}

static void
start_try(struct webhook *w)
{
	if (w->resolver == NULL) {
		start_transfer(w);
		return;
	}
	set_state(w, HOOK_LOOKING_UP);
	w->query = resolver_addrs(w->resolver, w->host, on_addrs, w);
}

/* ---- life -------------------------------------------------------------- */

static bool
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd < 0)
		return false;
	do {
		char *to = buf_reserve(out, 65536);

		if (to == NULL) {
			n = -1;
			errno = EFBIG;
			break;
		}
		n = read(fd, to, 65536);
		if (n > 0)
			buf_commit(out, (size_t)n);
	} while (n > 0);
	(void)close(fd);
	return n == 0;
}

static void
read_authorities(struct webhook *w, const char *path)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (strncasecmp(w->url, "https:", 6) != 0)
		return;
	if (path == NULL)
		path = info->cainfo != NULL ? info->cainfo : CA_FILE;
	if (!read_file(path, &w->authorities))
		log_warn("lane_alert_url: cannot read the authorities in %s: "
			 "%s",
		    path, strerror(errno));
}

/* Host and port, as libcurl understands the URL. */
static bool
take_apart(struct webhook *w)
{
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL;
	bool ok;

	ok = url != NULL &&
	     curl_url_set(url, CURLUPART_URL, w->url, 0) == CURLUE_OK &&
	     curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	     curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ==
		 CURLUE_OK;
	if (ok) {
		w->host = mem_strdup(host);
		w->port = mem_strdup(port);
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return ok;
}

static bool
is_address(const char *host)
{
	struct in_addr in4;

	return host[0] == '[' || inet_pton(AF_INET, host, &in4) == 1;
}

static bool
set_up_curl(struct webhook *w)
{
	w->curl = curl_loop_new(w->loop);
	w->call = (struct curl_loop_call){.fn = on_transferred, .ctx = w};
	w->headers = curl_slist_append(NULL, "Content-Type: application/json");
	return w->curl != NULL && w->headers != NULL;
}

struct webhook *
webhook_new(struct loop *loop, const struct settings *set,
    const struct webhook_config *config)
{
	struct webhook *w = mem_zalloc(sizeof(*w));

	CHECK(config->retry_ms > 0 && config->timeout_ms > 0);
	w->loop = loop;
	w->url = mem_strdup(config->url);
	w->retry_ms = config->retry_ms;
	w->timeout_ms = config->timeout_ms;
	w->on_done = config->on_done;
	w->ctx = config->ctx;
	buf_init(&w->authorities, WEBHOOK_CA_MAX);
	list_init(&w->queue);
	w->pause = loop_timer_new(loop, on_pause_over, w);
	if (!set_up_curl(w) || !take_apart(w)) {
		log_warn("lane_alert_url: libcurl cannot use it");
		webhook_free(&w);
		return NULL;
	}
	read_authorities(w, config->ca_file);
	if (!is_address(w->host))
		w->resolver = resolver_new(loop, set);
	return w;
}

/* Ends what is under way and forgets what waits. */
static void
let_go(struct webhook *w)
{
	if (w->pending > 0)
		log_warn("lane_alert_url: %zu not posted to %s yet, the next "
			 "process tries",
		    w->pending, w->host);
	resolver_cancel(&w->query);
	end_transfer(w);
	loop_timer_cancel(w->pause);
	while (w->pending > 0)
		drop(w, head(w));
}

void
webhook_drain(struct webhook *hook)
{
	let_go(hook);
	set_state(hook, HOOK_DRAINED);
}

void
webhook_free(struct webhook **hook)
{
	struct webhook *w = *hook;

	*hook = NULL;
	if (w == NULL)
		return;
	CHECK(!w->is_telling);
	let_go(w);
	curl_slist_free_all(w->headers);
	curl_loop_free(&w->curl);
	resolver_free(&w->resolver);
	loop_timer_free(&w->pause);
	buf_fini(&w->authorities);
	mem_free(w->url);
	mem_free(w->host);
	mem_free(w->port);
	mem_free(w);
}
