#include "agent/state/board_hosts.h"

#include "agent/state/board_state.h"
#include "common/base/log.h"

enum { LEARNED_MAX = 10000, PACKED_BITS = 56, PORT_SHIFT = 48 };

#define TIME_MASK ((UINT64_C(1) << PORT_SHIFT) - 1)

/* A row once taken by a host stays its own until all are taken; then the one
 * not heard of longest gives way. */
static struct board_host *
find_host(struct board_writer *w, const char *host, bool make)
{
	struct board_account *a = board_writer_account(w);
	uint64_t key = board_hash(host);
	struct board_host *best;

	if (a == NULL)
		return NULL;
	best = &a->hosts[0];
	for (int i = 0; i < BOARD_HOSTS; i++) {
		struct board_host *h = &a->hosts[i];

		if (board_load(&h->key) == key)
			return h;
		if (board_load(&h->updated_wall_ms) <
		    board_load(&best->updated_wall_ms))
			best = h;
	}
	if (!make)
		return NULL;
	board_store(&best->key, 0);
	board_store(&best->depth, 0);
	board_store(&best->messages, 0);
	board_store(&best->messages_wall_ms, 0);
	board_store(&best->manner, 0);
	board_store(&best->manner_wall_ms, 0);
	board_store(&best->rtt_us, 0);
	board_store(&best->certificate_wall_ms, 0);
	board_store(&best->login_fault_wall_ms, 0);
	board_store(&best->login_led_wall_ms, 0);
	for (int i = 0; i < BOARD_PORTS; i++)
		board_store(&best->stranger_taken[i], 0);
	board_store(&best->wordings[0], 0);
	board_store(&best->wordings[1], 0);
	board_store_text(best->host, sizeof(best->host), host);
	board_store(&best->key, key);
	return best;
}

static int
learned(const uint64_t *word)
{
	uint64_t value = board_load(word);

	return value < LEARNED_MAX ? (int)value : LEARNED_MAX;
}

int
board_hosts_depth(struct board_writer *w, const char *host)
{
	const struct board_host *h = find_host(w, host, false);

	return h != NULL ? learned(&h->depth) : 0;
}

static int64_t
age_ms(const uint64_t *wall_ms)
{
	uint64_t now = board_now_wall_ms(), then = board_load(wall_ms);

	return then < now ? (int64_t)(now - then) : 0;
}

int
board_hosts_messages(
    struct board_writer *w, const char *host, int64_t *age_ms_out)
{
	const struct board_host *h = find_host(w, host, false);

	*age_ms_out = h != NULL ? age_ms(&h->messages_wall_ms) : 0;
	return h != NULL ? learned(&h->messages) : 0;
}

int
board_hosts_manner(
    struct board_writer *w, const char *host, int64_t *age_ms_out)
{
	const struct board_host *h = find_host(w, host, false);

	*age_ms_out = h != NULL ? age_ms(&h->manner_wall_ms) : 0;
	return h != NULL ? learned(&h->manner) : 0;
}

void
board_hosts_set_manner(struct board_writer *w, const char *host, int manner)
{
	struct board_host *h = find_host(w, host, true);

	CHECK(manner >= 0);
	if (h == NULL)
		return;
	board_store(&h->manner, (uint64_t)manner);
	board_store(&h->manner_wall_ms, board_now_wall_ms());
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}

static uint64_t
today(void)
{
	return board_now_wall_ms() / (24 * 3600 * UINT64_C(1000));
}

bool
board_hosts_wordings(struct board_writer *w, const char *host,
    uint64_t packed_out[2], int64_t *age_days_out)
{
	const struct board_host *h = find_host(w, host, false);
	uint64_t day = 0;

	for (int i = 0; i < 2; i++) {
		uint64_t word = h != NULL ? board_load(&h->wordings[i]) : 0;

		packed_out[i] = word & ((UINT64_C(1) << PACKED_BITS) - 1);
		day = day << 8 | word >> PACKED_BITS;
	}
	/* Of a clock that was ahead, too. */
	*age_days_out = (int64_t)today() - (int64_t)day;
	return packed_out[0] != 0 && packed_out[1] != 0 && *age_days_out >= 0;
}

void
board_hosts_set_wordings(
    struct board_writer *w, const char *host, const uint64_t packed[2])
{
	struct board_host *h = find_host(w, host, true);
	uint64_t day = today();

	CHECK((packed[0] | packed[1]) >> PACKED_BITS == 0);
	if (h == NULL)
		return;
	board_store(&h->wordings[0], day >> 8 << PACKED_BITS | packed[0]);
	board_store(&h->wordings[1], day << PACKED_BITS | packed[1]);
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}

/* Behind one name there may be another server at each port: one that did not
 * take it speaks for all, one that did for its own. */
enum board_login
board_hosts_login(struct board_writer *w, const char *host, unsigned port,
    int64_t *age_ms_out)
{
	const struct board_host *h = find_host(w, host, false);
	uint64_t fault = h != NULL ? board_load(&h->login_fault_wall_ms) : 0;
	uint64_t led = h != NULL ? board_load(&h->login_led_wall_ms) : 0;
	uint64_t fault_ms = fault & TIME_MASK, led_ms = led & TIME_MASK;

	*age_ms_out = 0;
	if (fault_ms == 0 && (led_ms == 0 || led >> PORT_SHIFT != port))
		return BOARD_LOGIN_UNKNOWN;
	if (fault_ms >= led_ms) {
		*age_ms_out = age_ms(&fault_ms);
		return BOARD_LOGIN_FAULT;
	}
	*age_ms_out = age_ms(&led_ms);
	return led >> PORT_SHIFT == port ? BOARD_LOGIN_LED
					 : BOARD_LOGIN_UNKNOWN;
}

void
board_hosts_set_login(struct board_writer *w, const char *host, unsigned port,
    enum board_login what)
{
	struct board_host *h = find_host(w, host, true);
	uint64_t now = board_now_wall_ms();
	uint64_t word = (uint64_t)port << PORT_SHIFT | (now & TIME_MASK);

	CHECK(what != BOARD_LOGIN_UNKNOWN && port <= UINT16_MAX);
	if (h == NULL)
		return;
	/* The newer counts. */
	board_store(
	    &h->login_fault_wall_ms, what == BOARD_LOGIN_FAULT ? word : 0);
	board_store(&h->login_led_wall_ms, what == BOARD_LOGIN_LED ? word : 0);
	board_store(&h->updated_wall_ms, now);
}

/* Of this port, or of whichever was heard of longest ago. */
static uint64_t *
stranger_row(struct board_host *h, unsigned port)
{
	uint64_t *oldest = &h->stranger_taken[0];

	for (int i = 0; i < BOARD_PORTS; i++) {
		uint64_t *row = &h->stranger_taken[i];

		if (board_load(row) >> PORT_SHIFT == port)
			return row;
		if ((board_load(row) & TIME_MASK) <
		    (board_load(oldest) & TIME_MASK))
			oldest = row;
	}
	return oldest;
}

/* Whose account it was does not matter where there is no login. */
bool
board_hosts_stranger(struct board_writer *w, const char *host, unsigned port,
    int64_t *age_ms_out)
{
	uint64_t key = board_hash(host), then_ms = 0;

	CHECK(port > 0 && port <= UINT16_MAX);
	for (int i = 0; w != NULL && i < BOARD_ACCOUNTS * BOARD_HOSTS; i++) {
		struct board_host *h =
		    &w->board->accounts[i / BOARD_HOSTS].hosts[i % BOARD_HOSTS];
		uint64_t row = board_load(stranger_row(h, port));
		uint64_t ms = (row & TIME_MASK) * 1000;

		if (board_load(&h->key) == key && row >> PORT_SHIFT == port &&
		    ms > then_ms)
			then_ms = ms;
	}
	*age_ms_out = age_ms(&then_ms);
	return then_ms > 0;
}

void
board_hosts_set_stranger(
    struct board_writer *w, const char *host, unsigned port)
{
	struct board_host *h = find_host(w, host, true);
	uint64_t now_ms = board_now_wall_ms();

	CHECK(port > 0 && port <= UINT16_MAX);
	if (h == NULL)
		return;
	board_store(stranger_row(h, port),
	    (uint64_t)port << PORT_SHIFT | (now_ms / 1000 & TIME_MASK));
	board_store(&h->updated_wall_ms, now_ms);
}

void
board_hosts_set_depth(struct board_writer *w, const char *host, int depth)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->depth, depth > 0 ? (uint64_t)depth : 0);
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}

void
board_hosts_set_messages(struct board_writer *w, const char *host, int messages)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->messages, messages > 0 ? (uint64_t)messages : 0);
	board_store(&h->messages_wall_ms, board_now_wall_ms());
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}

void
board_hosts_set_rtt(struct board_writer *w, const char *host, int64_t us)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(&h->rtt_us, us > 0 ? (uint64_t)us : 0);
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}

void
board_hosts_set_certificate(
    struct board_writer *w, const char *host, int64_t end_s)
{
	struct board_host *h = find_host(w, host, true);

	if (h == NULL)
		return;
	board_store(
	    &h->certificate_wall_ms, end_s > 0 ? (uint64_t)end_s * 1000 : 0);
	board_store(&h->updated_wall_ms, board_now_wall_ms());
}
