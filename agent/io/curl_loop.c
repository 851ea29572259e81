#include "agent/io/curl_loop.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct sock {
	struct list link;
	struct curl_loop *curl;
	struct loop_fd *watch;
	curl_socket_t fd;
};

struct curl_loop {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	size_t begun; /* and not ended */
	struct list socks;
};

static void
hand_over(struct curl_loop *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct curl_loop_call *call = NULL;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE ||
		    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
			(char **)&call) != CURLE_OK ||
		    call == NULL)
			continue;
		CHECK(call->is_begun);
		call->fn(call->ctx, result);
	}
}

static void
on_fd(void *ctx, bool readable, bool writable)
{
	struct sock *s = ctx;
	struct curl_loop *c = s->curl;
	int what = (readable ? CURL_CSELECT_IN : 0) |
		   (writable ? CURL_CSELECT_OUT : 0);
	int running;

	(void)curl_multi_socket_action(c->multi, s->fd, what, &running);
	hand_over(c);
}

static void
on_timer(void *ctx)
{
	struct curl_loop *c = ctx;
	int running;

	(void)curl_multi_socket_action(
	    c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	hand_over(c);
}

static int
set_timer(CURLM *multi, long wait_ms, void *ctx)
{
	struct curl_loop *c = ctx;

	(void)multi;
	if (wait_ms < 0)
		loop_timer_cancel(c->timer);
	else
		loop_timer_at(c->timer, clock_mono_ms() + wait_ms);
	return 0;
}

static void
sock_free(struct sock *s)
{
	list_remove(&s->link);
	loop_unwatch(&s->watch);
	loop_defer(s->curl->loop, mem_free, s);
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct curl_loop *c = ctx;
	struct sock *s = known;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			sock_free(s);
		return 0;
	}
	if (s == NULL) {
		s = mem_zalloc(sizeof(*s));
		s->curl = c;
		s->fd = fd;
		s->watch = loop_watch(c->loop, fd, on_fd, s);
		list_push(&c->socks, &s->link);
		(void)curl_multi_assign(c->multi, fd, s);
	}
	loop_want(
	    s->watch, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
	return 0;
}

struct curl_loop *
curl_loop_new(struct loop *loop)
{
	struct curl_loop *c = mem_zalloc(sizeof(*c));

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	c->loop = loop;
	list_init(&c->socks);
	c->timer = loop_timer_new(loop, on_timer, c);
	c->multi = curl_multi_init();
	if (c->multi != NULL &&
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket) ==
		CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer) ==
		CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK)
		return c;
	curl_loop_free(&c);
	return NULL;
}

void
curl_loop_free(struct curl_loop **curl)
{
	struct curl_loop *c = *curl;

	*curl = NULL;
	if (c == NULL)
		return;
	CHECK(c->begun == 0);
	if (c->multi != NULL)
		(void)curl_multi_cleanup(c->multi);
	list_each_safe (it, &c->socks)
		sock_free(list_entry(it, struct sock, link));
	loop_timer_free(&c->timer);
	curl_global_cleanup();
	mem_free(c);
}

bool
curl_loop_begin(struct curl_loop *c, CURL *easy, struct curl_loop_call *call)
{
	CHECK(call->fn != NULL && !call->is_begun);
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, call) != CURLE_OK ||
	    curl_multi_add_handle(c->multi, easy) != CURLM_OK)
		return false;
	call->is_begun = true;
	c->begun++;
	return true;
}

void
curl_loop_end(struct curl_loop *c, CURL *easy)
{
	struct curl_loop_call *call = NULL;

	(void)curl_multi_remove_handle(c->multi, easy);
	if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call) !=
		CURLE_OK ||
	    call == NULL || !call->is_begun)
		return; /* it was refused */
	CHECK(c->begun > 0);
	call->is_begun = false;
	c->begun--;
}
