#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/smarthost/link.h"
#include "common/base/mem.h"
#include "test/support/fakeserver.h"

enum {
	BIG = 3000000,
	/* Data that lies in the socket at once. */
	HEAP_LINE = 60000,
	HEAP_LINES = 5,
	TURN_BYTES = 65536, /* of a link; two of its turns may fall in one */
	TURNS_BLOCKED = 1000,
};

struct user {
	struct link *link;
	int fd; /* the link's */
	struct buf in;
	struct buf to_send;
	size_t big_left; /* octets of a long output still to be made */
	size_t written;
	bool is_closed, is_tls_done, tls_ok, free_on_input, unread_once;
	bool enough; /* want_in octets came */
	size_t want_in;
	enum link_end end;
	char text[256];
	SSL *starts_tls; /* when something has come, which is given back */
};

static void on_tls(void *ctx, bool ok, enum link_end end, const char *text);

static void
on_input(void *ctx, const char *p, size_t n)
{
	struct user *u = ctx;

	if (u->starts_tls != NULL) {
		link_unread(u->link, p, n);
		link_start_tls(u->link, u->starts_tls, on_tls, u);
		u->starts_tls = NULL;
		return;
	}
	if (u->unread_once) {
		u->unread_once = false;
		link_unread(u->link, p + 1, n - 1);
		n = 1;
	}
	assert_true(buf_add(&u->in, p, n));
	if (u->want_in > 0 && buf_len(&u->in) >= u->want_in)
		u->enough = true;
	if (u->free_on_input) {
		link_free(&u->link);
		u->enough = true;
	}
}

static void
on_output(void *ctx, struct buf *out)
{
	struct user *u = ctx;
	size_t n = u->big_left < LINK_PULL_MAX ? u->big_left : LINK_PULL_MAX;

	(void)buf_add_slice(out, buf_slice(&u->to_send));
	buf_reset(&u->to_send);
	for (size_t i = 0; i < n; i++)
		(void)buf_add_char(out, 'x');
	u->big_left -= n;
}

static void
on_written(void *ctx, size_t n)
{
	struct user *u = ctx;

	u->written += n;
	if (u->written >= BIG)
		u->enough = true;
}

static void
on_closed(void *ctx, enum link_end end, const char *text)
{
	struct user *u = ctx;

	assert_false(u->is_closed);
	u->is_closed = true;
	u->end = end;
	(void)snprintf(u->text, sizeof(u->text), "%s", text);
}

static const struct link_ops ops = {on_input, on_output, on_written, on_closed};

static void
on_tls(void *ctx, bool ok, enum link_end end, const char *text)
{
	struct user *u = ctx;

	u->is_tls_done = true;
	u->tls_ok = ok;
	u->end = end;
	(void)snprintf(u->text, sizeof(u->text), "%s", text);
}

static struct loop *loop;
static struct fake *fake;
static SSL_CTX *ctx;
static struct fake_cert *cert;

static void
begin(struct user *u, const char *const *script)
{
	memset(u, 0, sizeof(*u));
	buf_init(&u->in, 8 << 20);
	buf_init(&u->to_send, 8 << 20);
	loop = loop_new();
	fake = fake_start(script, cert);
	u->fd = fake_connect(fake_port(fake));
	u->link = link_new(loop, u->fd);
}

/* which: NULL: nothing is read once the handshake is over. */
static void
begin_tls_with(
    struct user *u, const char *const *script, const struct link_ops *which)
{
	SSL *ssl = SSL_new(ctx);

	begin(u, script);
	SSL_set_connect_state(ssl);
	link_set_ops(u->link, which, u);
	link_start_tls(u->link, ssl, on_tls, u);
	assert_true(fake_run_until(loop, &u->is_tls_done));
}

static void
begin_tls(struct user *u, const char *const *script)
{
	begin_tls_with(u, script, &ops);
}

static void
finish(struct user *u)
{
	const char *error;

	link_free(&u->link);
	error = fake_finish(fake);
	if (error != NULL)
		fail_msg("server: %s", error);
	fake_free(&fake);
	loop_free(&loop);
	buf_fini(&u->in);
	buf_fini(&u->to_send);
}

/* Counts the turns of the loop: a timer that is always due. */
struct ticker {
	struct loop_timer *timer;
	int turns;
	bool is_full;
	bool is_to_block; /* is_full: it takes no more for many turns */
	int blocked; /* for so many so far */
	int fd;
	int wanted; /* octets in the socket */
	const struct buf *in; /* NULL, or what came */
	size_t before, most; /* of it: so far, in one turn */
};

static void
on_tick(void *arg)
{
	struct ticker *t = arg;
	struct pollfd p = {.fd = t->fd, .events = POLLOUT};
	int n = 0;

	t->turns++;
	if (t->is_to_block) {
		t->blocked = poll(&p, 1, 0) == 0 ? t->blocked + 1 : 0;
		t->is_full = t->blocked > TURNS_BLOCKED;
		loop_timer_at(t->timer, 0);
		return;
	}
	if (t->in != NULL) {
		if (buf_len(t->in) - t->before > t->most)
			t->most = buf_len(t->in) - t->before;
		t->before = buf_len(t->in);
	}
	if (ioctl(t->fd, FIONREAD, &n) == 0 && n >= t->wanted)
		t->is_full = true;
	loop_timer_at(t->timer, 0);
}

static void
link_gives_input_and_then_the_end(void **state)
{
	static const char *const script[] = {">one", ">two", "close", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_string_equal(buf_str(&u.in), "one\r\ntwo\r\n");
	assert_int_equal(u.end, LINK_EOF);
	finish(&u);
}

static void
link_writes_what_it_pulled_when_kicked(void **state)
{
	static const char *const script[] = {"<hello", ">ok", "close", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	link_set_ops(u.link, &ops, &u);
	(void)buf_add_str(&u.to_send, "hello\r\n");
	link_kick(u.link);
	assert_int_equal(u.written, 0);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_int_equal(u.written, 7);
	assert_string_equal(buf_str(&u.in), "ok\r\n");
	finish(&u);
}

static void
link_counts_every_octet_of_a_long_output(void **state)
{
	static const char *const script[] = {
	    "<go", "sink 3000000", ">done", "close", NULL};

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		static const char *const tls_script[] = {
		    "tls", "<go", "sink 3000000", ">done", "close", NULL};
		struct user u;

		if (tls) {
			begin_tls(&u, tls_script);
			assert_true(u.tls_ok);
		} else {
			begin(&u, script);
			link_set_ops(u.link, &ops, &u);
		}
		(void)buf_add_str(&u.to_send, "go\r\n");
		u.big_left = BIG;
		link_kick(u.link);
		assert_true(fake_run_until(loop, &u.is_closed));
		assert_int_equal(u.written, BIG + 4);
		assert_int_equal(link_unsent(u.link), 0);
		assert_string_equal(buf_str(&u.in), "done\r\n");
		finish(&u);
	}
}

static void
link_reads_replies_after_a_failed_write(void **state)
{
	static const char *const script[] = {
	    "<go", ">421 closing", "reset", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	link_set_ops(u.link, &ops, &u);
	(void)buf_add_str(&u.to_send, "go\r\n");
	/* Reading is off, so the write meets the reset first. */
	link_kick(u.link);
	while (u.written == 0)
		loop_once(loop);
	link_set_ops(u.link, NULL, NULL);
	assert_null(fake_finish(fake));
	u.big_left = BIG;
	link_kick(u.link);
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_int_equal(u.end, LINK_RESET);
	assert_string_equal(buf_str(&u.in), "421 closing\r\n");
	finish(&u);
}

/* More of them than a turn reads, and among them what is no data. */
static void
link_reads_all_replies_of_tls_after_a_failed_write(void **state)
{
	static char line[HEAP_LINE + 2] = ">";
	static const char *const script[] = {"tls", "<go", line, line, "key 3",
	    line, "key 3", ">421 closing", "await", "reset", NULL};
	int room = 4 * HEAP_LINE * HEAP_LINES;
	struct ticker t = {.wanted = 3 * HEAP_LINE + 13};
	struct user u;

	(void)state;
	memset(line + 1, 'x', HEAP_LINE);
	begin_tls(&u, script);
	assert_int_equal(
	    setsockopt(u.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	(void)buf_add_str(&u.to_send, "go\r\n");
	link_kick(u.link);
	while (u.written == 0)
		loop_once(loop);
	/* Reading is off, so the write meets the reset first. */
	link_set_ops(u.link, NULL, NULL);
	t.fd = u.fd;
	t.timer = loop_timer_new(loop, on_tick, &t);
	loop_timer_at(t.timer, 0);
	assert_true(fake_run_until(loop, &t.is_full));
	loop_timer_free(&t.timer);
	fake_go_on(fake);
	assert_null(fake_finish(fake));
	u.big_left = BIG;
	link_kick(u.link);
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_int_equal(u.end, LINK_RESET);
	assert_int_equal(buf_len(&u.in), 3 * (HEAP_LINE + 2) + 13);
	finish(&u);
}

/* The peer takes nothing for a while, and answers what it has. */
static void
link_reads_replies_while_its_writes_wait(void **state)
{
	static const char *const script[] = {"<go", "await", ">one", "await",
	    "sink 3000000", ">done", "close", NULL};
	static const char *const tls_script[] = {"tls", "<go", "await", ">one",
	    "await", "sink 3000000", ">done", "close", NULL};

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct ticker t = {.is_to_block = true};
		int room = 65536;
		struct user u;

		if (tls) {
			begin_tls(&u, tls_script);
		} else {
			begin(&u, script);
			link_set_ops(u.link, &ops, &u);
		}
		(void)buf_add_str(&u.to_send, "go\r\n");
		link_kick(u.link);
		while (u.written == 0)
			loop_once(loop);
		assert_int_equal(setsockopt(u.fd, SOL_SOCKET, SO_SNDBUF, &room,
				     sizeof(room)),
		    0);
		u.big_left = BIG;
		link_kick(u.link);
		t.fd = u.fd;
		t.timer = loop_timer_new(loop, on_tick, &t);
		loop_timer_at(t.timer, 0);
		assert_true(fake_run_until(loop, &t.is_full));
		loop_timer_free(&t.timer);
		assert_true(u.written < BIG);
		u.want_in = 5;
		fake_go_on(fake);
		assert_true(fake_run_until(loop, &u.enough));
		fake_go_on(fake);
		assert_true(fake_run_until(loop, &u.is_closed));
		assert_int_equal(u.written, BIG + 4);
		assert_string_equal(buf_str(&u.in), "one\r\ndone\r\n");
		finish(&u);
	}
}

static void
link_survives_being_freed_by_its_handler(void **state)
{
	static const char *const script[] = {">one", "hang", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	u.free_on_input = true;
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.enough));
	assert_null(u.link);
	finish(&u);
}

static void
link_gives_unread_octets_first(void **state)
{
	static const char *const script[] = {">abcdef", "close", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	u.unread_once = true;
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_string_equal(buf_str(&u.in), "abcdef\r\n");
	finish(&u);
}

static void
link_tls_reads_until_again(void **state)
{
	static const char *const script[] = {"tls", ">one", ">two", ">three",
	    "dribble", ">four", "<bye", "close", NULL};
	struct user u;

	(void)state;
	begin_tls(&u, script);
	u.want_in = 5 + 5 + 7 + 6;
	u.enough = buf_len(&u.in) >= u.want_in;
	assert_true(fake_run_until(loop, &u.enough));
	(void)buf_add_str(&u.to_send, "bye\r\n");
	link_kick(u.link);
	assert_true(fake_run_until(loop, &u.is_closed));
	assert_string_equal(buf_str(&u.in), "one\r\ntwo\r\nthree\r\nfour\r\n");
	finish(&u);
}

static const struct flood {
	const char *script[6];
	int version, record_bytes;
} floods[] = {
    {{"tls", "key 300", ">after", "hang"}, TLS1_3_VERSION, 27},
    {{"tls", "ticket 300", ">after", "hang"}, TLS1_3_VERSION, 100},
    {{"tls", "hello 300", ">after", "hang"}, TLS1_2_VERSION, 33},
};

/* All lies in the socket before the first octet is read, so that nothing but
 * the turns decides how much is done at once, and no event comes later. */
static void
link_reads_past_messages_without_data_a_few_a_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct ticker t = {0};
		struct user u;

		(void)SSL_CTX_set_max_proto_version(ctx, floods[i].version);
		begin_tls_with(&u, floods[i].script, NULL);
		t.fd = u.fd;
		t.wanted = 300 * floods[i].record_bytes;
		t.timer = loop_timer_new(loop, on_tick, &t);
		loop_timer_at(t.timer, 0);
		assert_true(fake_run_until(loop, &t.is_full));
		t.turns = 0;
		u.want_in = 7;
		link_set_ops(u.link, &ops, &u);
		assert_true(fake_run_until(loop, &u.enough));
		assert_string_equal(buf_str(&u.in), "after\r\n");
		/* Without the bound: one or two. */
		assert_true(t.turns >= 100);
		loop_timer_free(&t.timer);
		finish(&u);
	}
	(void)SSL_CTX_set_max_proto_version(ctx, 0);
}

/* Data, too, is read so much a turn, whatever SSL_read() would take. */
static void
link_reads_no_more_of_tls_than_a_turns_worth(void **state)
{
	static char line[HEAP_LINE + 2] = ">";
	const char *script[HEAP_LINES + 3] = {"tls"};
	struct ticker t = {.wanted = HEAP_LINE * HEAP_LINES};
	struct user u;
	int room = 4 * HEAP_LINE * HEAP_LINES;

	(void)state;
	memset(line + 1, 'x', HEAP_LINE);
	for (int i = 1; i <= HEAP_LINES; i++)
		script[i] = line;
	script[HEAP_LINES + 1] = "hang";
	begin_tls_with(&u, script, NULL);
	t.fd = u.fd;
	assert_int_equal(
	    setsockopt(t.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	t.timer = loop_timer_new(loop, on_tick, &t);
	loop_timer_at(t.timer, 0);
	assert_true(fake_run_until(loop, &t.is_full));
	t.in = &u.in;
	t.before = buf_len(&u.in);
	u.want_in = HEAP_LINES * (HEAP_LINE + 2);
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.enough));
	on_tick(&t);
	assert_true(t.most <= 2 * TURN_BYTES);
	loop_timer_free(&t.timer);
	finish(&u);
}

/* Fifty megabytes of it, were they taken. */
static void
link_cuts_a_peer_that_sends_no_data(void **state)
{
	static const struct flood endless[] = {
	    {{"tls", "key 2000000"}, TLS1_3_VERSION, 0},
	    {{"tls", "ticket 300000"}, TLS1_3_VERSION, 0},
	    {{"tls", "hello 1500000"}, TLS1_2_VERSION, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		struct user u;

		(void)SSL_CTX_set_max_proto_version(ctx, endless[i].version);
		begin_tls(&u, endless[i].script);
		assert_true(fake_run_until(loop, &u.is_closed));
		assert_int_equal(u.end, LINK_TLS_ERROR);
		assert_string_equal(
		    u.text, "too many TLS messages without data");
		finish(&u);
	}
	(void)SSL_CTX_set_max_proto_version(ctx, 0);
}

static void
link_refuses_tls_after_plain_octets(void **state)
{
	static const char *const script[] = {">250 injected", "hang", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	u.starts_tls = SSL_new(ctx);
	link_set_ops(u.link, &ops, &u);
	assert_true(fake_run_until(loop, &u.is_tls_done));
	assert_false(u.tls_ok);
	assert_int_equal(u.end, LINK_TLS_ERROR);
	assert_int_equal(buf_len(&u.in), 0);
	finish(&u);
}

static void
link_reports_a_close_during_the_handshake(void **state)
{
	static const char *const script[] = {"close", NULL};
	struct user u;

	(void)state;
	begin_tls(&u, script);
	assert_false(u.tls_ok);
	assert_int_not_equal(u.end, LINK_TLS_ERROR);
	assert_true(strlen(u.text) > 0);
	finish(&u);
}

static void
link_knows_its_round_trip(void **state)
{
	static const char *const script[] = {">a", "hang", NULL};
	struct user u;

	(void)state;
	begin(&u, script);
	assert_true(link_rtt_us(u.link) > 0);
	assert_null(link_ssl(u.link));
	finish(&u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(link_gives_input_and_then_the_end),
	    cmocka_unit_test(link_writes_what_it_pulled_when_kicked),
	    cmocka_unit_test(link_counts_every_octet_of_a_long_output),
	    cmocka_unit_test(link_reads_replies_after_a_failed_write),
	    cmocka_unit_test(
		link_reads_all_replies_of_tls_after_a_failed_write),
	    cmocka_unit_test(link_reads_replies_while_its_writes_wait),
	    cmocka_unit_test(link_survives_being_freed_by_its_handler),
	    cmocka_unit_test(link_gives_unread_octets_first),
	    cmocka_unit_test(link_tls_reads_until_again),
	    cmocka_unit_test(
		link_reads_past_messages_without_data_a_few_a_turn),
	    cmocka_unit_test(link_reads_no_more_of_tls_than_a_turns_worth),
	    cmocka_unit_test(link_cuts_a_peer_that_sends_no_data),
	    cmocka_unit_test(link_refuses_tls_after_plain_octets),
	    cmocka_unit_test(link_reports_a_close_during_the_handshake),
	    cmocka_unit_test(link_knows_its_round_trip),
	};
	int rc;

	(void)signal(SIGPIPE, SIG_IGN);
	ctx = SSL_CTX_new(TLS_client_method());
	(void)SSL_CTX_set_options(
	    ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	cert = fake_cert_new(NULL, "server.example");
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	fake_cert_free(&cert);
	SSL_CTX_free(ctx);
	return rc;
}
