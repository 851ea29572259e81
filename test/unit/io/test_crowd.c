/* Descriptors that are watched until they are closed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/io/crowd.h"
#include "common/base/log.h"

enum { MOST = 200 };

struct world;

struct end {
	struct world *world;
	int fd, peer_fd;
	int calls;
	struct end *closes; /* when it is called */
	bool is_quiet; /* reads nothing when it is called */
};

struct world {
	struct loop *loop;
	struct crowd *crowd;
	struct end ends[MOST];
	int warnings;
};

/* In place of the C library's: how many of the next fail for want of memory. */
static int refusals;

int
epoll_ctl(int set_fd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && refusals > 0) {
		refusals--;
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, set_fd, op, fd, event);
}

static void
on_line(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;

	(void)line;
	if (level == LOG_LEVEL_WARN)
		w->warnings++;
}

static void
on_readable(void *ctx)
{
	struct end *e = ctx;
	char octets[16];

	e->calls++;
	if (!e->is_quiet)
		(void)recv(e->fd, octets, sizeof(octets), MSG_DONTWAIT);
	if (e->closes != NULL)
		crowd_close(e->world->crowd, &e->closes->fd);
}

static struct end *
join(struct world *w, size_t i)
{
	struct end *e = &w->ends[i];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	*e = (struct end){.world = w, .fd = pair[0], .peer_fd = pair[1]};
	crowd_add(w->crowd, e->fd, e);
	return e;
}

static void
say(const struct end *e)
{
	assert_int_equal(send(e->peer_fd, "x", 1, 0), 1);
}

/* A turn that waits for nothing. */
static void
nothing(void *ctx)
{
	(void)ctx;
}

static void
turn(struct world *w)
{
	loop_defer(w->loop, nothing, NULL);
	loop_once(w->loop);
}

static int
setup(void **state)
{
	static struct world w;

	w = (struct world){.loop = loop_new()};
	for (size_t i = 0; i < MOST; i++)
		w.ends[i].fd = w.ends[i].peer_fd = -1;
	w.crowd = crowd_new(w.loop, on_readable);
	log_set_sink(on_line, &w);
	refusals = 0;
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < MOST; i++) {
		crowd_close(w->crowd, &w->ends[i].fd);
		if (w->ends[i].peer_fd >= 0)
			(void)close(w->ends[i].peer_fd);
	}
	crowd_free(&w->crowd);
	loop_free(&w->loop);
	log_set_sink(NULL, NULL);
	return 0;
}

static void
crowd_tells_of_octets_until_they_are_read_and_of_an_end(void **state)
{
	struct world *w = *state;
	struct end *a = join(w, 0), *b = join(w, 1);

	turn(w);
	assert_int_equal(a->calls + b->calls, 0);
	a->is_quiet = true;
	say(a);
	turn(w);
	turn(w);
	assert_int_equal(a->calls, 2);
	assert_int_equal(b->calls, 0);
	a->is_quiet = false;
	turn(w);
	turn(w);
	assert_int_equal(a->calls, 3);
	(void)close(b->peer_fd);
	b->peer_fd = -1;
	turn(w);
	assert_int_equal(b->calls, 1);
}

static void
crowd_tells_of_more_than_fit_a_turn(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < MOST; i++)
		say(join(w, i));
	for (size_t i = 0; i < 8; i++)
		turn(w);
	for (size_t i = 0; i < MOST; i++)
		assert_int_equal(w->ends[i].calls, 1);
}

static void
crowd_tells_nobody_of_what_is_closed(void **state)
{
	struct world *w = *state;
	struct end *a = join(w, 0), *b = join(w, 1), *c = join(w, 2);

	/* both are ready when one of them closes the other */
	a->closes = b;
	b->closes = a;
	say(a);
	say(b);
	turn(w);
	assert_int_equal(a->calls + b->calls, 1);
	assert_true((a->fd < 0) != (b->fd < 0));
	/* itself */
	c->closes = c;
	say(c);
	turn(w);
	turn(w);
	assert_int_equal(c->calls, 1);
	assert_int_equal(c->fd, -1);
}

static void
crowd_forgets_a_number_with_its_descriptor(void **state)
{
	struct world *w = *state;
	struct end *a = join(w, 0), *b;
	int number = a->fd;

	a->is_quiet = true;
	say(a);
	turn(w);
	assert_int_equal(a->calls, 1);
	crowd_close(w->crowd, &a->fd);
	b = join(w, 1);
	assert_int_equal(b->fd, number);
	turn(w);
	assert_int_equal(b->calls, 0);
	say(b);
	turn(w);
	assert_int_equal(b->calls, 1);
	assert_int_equal(a->calls, 1);
}

/* The copy is what a parent has behind fork(). */
static void
crowd_forgets_what_its_parent_has_still(void **state)
{
	struct world *w = *state;
	struct end *a = join(w, 0), *b;
	int number = a->fd, copy = dup(a->fd);

	crowd_share(w->crowd);
	a->is_quiet = true;
	say(a);
	turn(w);
	assert_int_equal(a->calls, 1);
	crowd_close(w->crowd, &a->fd);
	b = join(w, 1);
	assert_int_equal(b->fd, number);
	turn(w);
	turn(w);
	assert_int_equal(b->calls, 0);
	say(b);
	turn(w);
	assert_int_equal(b->calls, 1);
	(void)close(copy);
}

static void
crowd_does_without_memory_for_its_set(void **state)
{
	struct world *w = *state;
	struct end *a, *b;
	int number;

	refusals = 1;
	a = join(w, 0);
	say(a);
	turn(w);
	assert_int_equal(a->calls, 1);
	assert_int_equal(w->warnings, 0);
	number = a->fd;
	a->closes = a;
	say(a);
	turn(w);
	assert_int_equal(a->calls, 2);
	assert_int_equal(a->fd, -1);
	b = join(w, 1);
	assert_int_equal(b->fd, number);
	turn(w);
	assert_int_equal(b->calls, 0);
	/* none for the loop either: it says so, and tries again */
	refusals = 2;
	a = join(w, 2);
	assert_int_equal(w->warnings, 1);
	say(a);
	loop_once(w->loop); /* waits for the loop's own timer */
	loop_once(w->loop);
	assert_int_equal(a->calls, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		crowd_tells_of_octets_until_they_are_read_and_of_an_end, setup,
		teardown),
	    cmocka_unit_test_setup_teardown(
		crowd_tells_of_more_than_fit_a_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		crowd_tells_nobody_of_what_is_closed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		crowd_forgets_a_number_with_its_descriptor, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		crowd_forgets_what_its_parent_has_still, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		crowd_does_without_memory_for_its_set, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
