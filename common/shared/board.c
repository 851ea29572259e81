#include "common/shared/board.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

#define BOARD_ROW(name, help) [BOARD_COUNTER_##name] = {#name, help},
const struct board_metric board_counters[BOARD_COUNTER_COUNT] = {
    BOARD_COUNTERS(BOARD_ROW)};
#undef BOARD_ROW
#define BOARD_ROW(name, help) [BOARD_GAUGE_##name] = {#name, help},
const struct board_metric board_gauges[BOARD_GAUGE_COUNT] = {
    BOARD_GAUGES(BOARD_ROW)};
#undef BOARD_ROW
#define BOARD_ROW(name, help) [BOARD_HIST_##name] = {#name, help},
const struct board_metric board_hists[BOARD_HIST_COUNT] = {
    BOARD_HISTS(BOARD_ROW)};
#undef BOARD_ROW

/* The layout of version 3, octet by octet. */
_Static_assert(
    (int)BOARD_COUNTER_COUNT <= (int)BOARD_COUNTER_WORDS, "counters");
_Static_assert((int)BOARD_GAUGE_COUNT <= (int)BOARD_GAUGE_WORDS, "gauges");
_Static_assert((int)BOARD_HIST_COUNT <= (int)BOARD_HIST_SLOTS, "hists");
_Static_assert(sizeof(struct board_hist) == 2320, "hist");
_Static_assert(sizeof(struct board_poison) == 64, "poison");
_Static_assert(sizeof(struct board_session) == 128, "session");
_Static_assert(sizeof(struct board_host) == 192, "host");
_Static_assert(offsetof(struct board_lane, state) == 96, "lane state");
_Static_assert(offsetof(struct board_lane, counters) == 256, "counters");
_Static_assert(offsetof(struct board_lane, gauges) == 1024, "gauges");
_Static_assert(offsetof(struct board_lane, hists) == 1280, "hists");
_Static_assert(offsetof(struct board_lane, poison) == 19840, "poison");
_Static_assert(offsetof(struct board_lane, sessions) == 23936, "sessions");
_Static_assert(offsetof(struct board_lane, orders) == 56704, "orders");
_Static_assert(offsetof(struct board_lane, learned) == 56960, "learned");
_Static_assert(offsetof(struct board_lane, rates) == 57472, "rates");
_Static_assert(sizeof(struct board_rate) == BOARD_RATE_WORDS * 8, "rate");
_Static_assert(offsetof(struct board_lane, sent) == 58496, "ring");
_Static_assert(offsetof(struct board_lane, trouble) == 62080, "trouble");
_Static_assert(sizeof(struct board_alarm) == 232, "alarm");
_Static_assert(offsetof(struct board_lane, waits_for) == 63272, "waits_for");
_Static_assert(sizeof(struct board_lane) == 65536, "lane");
_Static_assert(offsetof(struct board_account, refusal) == 256, "refusal");
_Static_assert(offsetof(struct board_account, hosts) == 512, "hosts");
_Static_assert(offsetof(struct board_account, rates) == 3584, "account rates");
_Static_assert(sizeof(struct board_fleet_limit) == 224, "fleet limit");
_Static_assert(offsetof(struct board_account, fleet) == 11776, "fleet");
_Static_assert(sizeof(struct board_fleet_lesson) == 80, "fleet lesson");
_Static_assert(offsetof(struct board_account, spare_end) == 16272, "spare");
_Static_assert(sizeof(struct board_account) == 16384, "account");
_Static_assert(offsetof(struct board, accounts) == 4096, "accounts");

void
board_init(struct board *b, uint64_t now_wall_ms)
{
	struct board_head *h = &b->head;

	h->version = BOARD_VERSION;
	h->size = BOARD_SIZE;
	h->accounts_off = offsetof(struct board, accounts);
	h->account_size = sizeof(struct board_account);
	h->account_count = BOARD_ACCOUNTS;
	h->lanes_off = offsetof(struct board, lanes);
	h->lane_size = sizeof(struct board_lane);
	h->lane_count = BOARD_LANES;
	h->made_wall_ms = now_wall_ms;
	board_store(&h->magic, BOARD_MAGIC);
}

static bool
is_wrong(const char *what, char *why, size_t n)
{
	(void)snprintf(why, n, "%s", what);
	return false;
}

bool
board_check(const struct board_head *h, uint64_t file_size, char *why, size_t n)
{
	if (file_size < sizeof(h->magic) * 3)
		return is_wrong("too short", why, n);
	if (board_load(&h->magic) != BOARD_MAGIC)
		return is_wrong("not a board", why, n);
	if (board_load(&h->version) != BOARD_VERSION) {
		(void)snprintf(why, n, "of version %llu, not %d",
		    (unsigned long long)board_load(&h->version), BOARD_VERSION);
		return false;
	}
	if (file_size != BOARD_SIZE || board_load(&h->size) != BOARD_SIZE)
		return is_wrong("of the wrong size", why, n);
	if (h->accounts_off != offsetof(struct board, accounts) ||
	    h->account_size != sizeof(struct board_account) ||
	    h->account_count != BOARD_ACCOUNTS ||
	    h->lanes_off != offsetof(struct board, lanes) ||
	    h->lane_size != sizeof(struct board_lane) ||
	    h->lane_count != BOARD_LANES)
		return is_wrong("of another layout", why, n);
	return true;
}

/* FNV-1a, then a finisher: short names differ in all bits. */
uint64_t
board_hash(const char *text)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (const char *p = text; *p != '\0'; p++) {
		h ^= (unsigned char)*p;
		h *= UINT64_C(1099511628211);
	}
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	return h != 0 ? h : 1;
}

void
board_label(const char *account, char *label, size_t n)
{
	size_t len = strcspn(account, " \t\r\n");

	CHECK(n >= BOARD_NAME);
	if (len == 0 || memchr(account, '@', len) != NULL) {
		(void)snprintf(label, n, "account-%016llx",
		    (unsigned long long)board_hash(account));
		return;
	}
	board_text(account, len, label, BOARD_NAME);
}

void
board_text(const char *field, size_t field_size, char *text, size_t n)
{
	size_t len = strnlen(field, field_size);

	CHECK(n > 0);
	if (len > n - 1)
		len = n - 1;
	memcpy(text, field, len);
	text[len] = '\0';
	log_safe(text, len);
}

void
board_store_text(char *field, size_t field_size, const char *text)
{
	size_t len = strnlen(text, field_size - 1);

	memcpy(field, text, len);
	memset(field + len, 0, field_size - len);
}

void
board_long_text(const char field[BOARD_WHY], const char more[BOARD_WHY_MORE],
    char *text, size_t n)
{
	size_t len = strnlen(field, BOARD_WHY);

	board_text(field, BOARD_WHY, text, n);
	if (len == BOARD_WHY - 1 && n > len)
		board_text(more, BOARD_WHY_MORE, text + len, n - len);
}

void
board_cut(char *to, size_t n, const char *text)
{
	static const char end[] = " ...";
	size_t word;

	CHECK(n > sizeof(end));
	(void)snprintf(to, n, "%s", text);
	if (strlen(text) < n)
		return;
	for (word = n - sizeof(end); word > 0 && to[word] != ' '; word--)
		;
	memcpy(to + (word > 0 ? word : n - sizeof(end)), end, sizeof(end));
}

void
board_store_long(
    char field[BOARD_WHY], char more[BOARD_WHY_MORE], const char *text)
{
	char whole[BOARD_WHY + BOARD_WHY_MORE - 1];

	board_cut(whole, sizeof(whole), text);
	board_store_text(field, BOARD_WHY, whole);
	board_store_text(more, BOARD_WHY_MORE,
	    strlen(whole) >= BOARD_WHY ? whole + BOARD_WHY - 1 : "");
}

const char *
board_session_state_name(uint64_t state)
{
#define BOARD_ROW(name, text) [BOARD_SESSION_##name] = text,
	static const char *const names[BOARD_SESSION_STATE_COUNT] = {
	    BOARD_SESSION_STATES(BOARD_ROW)};
#undef BOARD_ROW

	return state < BOARD_SESSION_STATE_COUNT ? names[state] : "unknown";
}

const char *
board_rate_unit_name(uint64_t unit)
{
#define BOARD_ROW(name, text) [BOARD_RATE_##name] = text,
	static const char *const names[BOARD_RATE_UNIT_COUNT] = {
	    BOARD_RATE_UNITS(BOARD_ROW)};
#undef BOARD_ROW

	return unit < BOARD_RATE_UNIT_COUNT ? names[unit] : "unknown";
}

const char *
board_wait_name(uint64_t wait)
{
#define BOARD_ROW(name, text) [BOARD_WAIT_##name] = text,
	static const char *const names[BOARD_WAIT_COUNT] = {
	    BOARD_WAITS(BOARD_ROW)};
#undef BOARD_ROW

	return wait < BOARD_WAIT_COUNT ? names[wait] : "unknown";
}

const char *
board_fleet_word_name(uint64_t word)
{
#define BOARD_ROW(name, text) [BOARD_FLEET_##name] = text,
	static const char *const names[BOARD_FLEET_WORD_COUNT] = {
	    BOARD_FLEET_WORDS(BOARD_ROW)};
#undef BOARD_ROW

	return word < BOARD_FLEET_WORD_COUNT ? names[word] : "unknown";
}

/*
 *   us      0 .. 7 | 8 9 .. 15 | 16 18 .. 30 | 32 36 .. 60 | ...
 *   bucket  0 .. 7 | 8 9 .. 15 | 16 17 .. 23 | 24 25 .. 31 | ...
 */
unsigned
board_hist_bucket(uint64_t us)
{
	unsigned octave, bucket;

	if (us < 8)
		return (unsigned)us;
	octave = 63 - (unsigned)__builtin_clzll(us);
	bucket = (octave - 2) * 8 + (unsigned)((us >> (octave - 3)) & 7);
	return bucket < BOARD_HIST_BUCKETS ? bucket : BOARD_HIST_BUCKETS - 1;
}

uint64_t
board_hist_floor(unsigned bucket)
{
	if (bucket < 8)
		return bucket;
	return (uint64_t)(8 + (bucket & 7)) << (bucket / 8 - 1);
}

void
board_hist_add(struct board_hist *h, uint64_t us)
{
	board_bump(&h->count, 1);
	board_bump(&h->sum, us);
	board_bump(&h->buckets[board_hist_bucket(us)], 1);
}

uint64_t
board_hist_quantile(const struct board_hist *h, double share)
{
	uint64_t total = 0, seen = 0;
	double want;

	/* Not h->count: the buckets may have moved on since. */
	for (unsigned i = 0; i < BOARD_HIST_BUCKETS; i++)
		total += board_load(&h->buckets[i]);
	if (total == 0)
		return 0;
	want = share * (double)total;
	for (unsigned i = 0; i < BOARD_HIST_BUCKETS; i++) {
		seen += board_load(&h->buckets[i]);
		if (seen > 0 && (double)seen >= want)
			return board_hist_floor(i + 1) - 1;
	}
	return board_hist_floor(BOARD_HIST_BUCKETS - 1);
}

/* ---- rings -------------------------------------------------------------- */

enum { RING_SHIFT = 32 };

static uint64_t
span_of(uint64_t word)
{
	return word >> RING_SHIFT;
}

static uint64_t
count_of(uint64_t word)
{
	return word & UINT32_MAX;
}

/* A word of an earlier round, or of a clock that was ahead, begins anew. */
static void
bump_span(uint64_t *word, uint64_t span)
{
	uint64_t was = board_load(word), now;

	do {
		now = span_of(was) == span ? was + 1 : span << RING_SHIFT | 1;
	} while (!__atomic_compare_exchange_n(
	    word, &was, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void
board_ring_add(struct board_ring *r, uint64_t now_s)
{
	bump_span(&r->seconds[now_s % BOARD_RING_SECONDS], now_s);
	bump_span(&r->tens[now_s / 10 % BOARD_RING_TENS], now_s / 10);
}

static uint64_t
sum_of(const uint64_t *words, size_t size, uint64_t end, uint64_t spans)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i++) {
		uint64_t word = board_load(&words[i]), span = span_of(word);

		if (span < end && span + spans >= end)
			sum += count_of(word);
	}
	return sum;
}

uint64_t
board_ring_sum(const struct board_ring *r, unsigned span_s, uint64_t now_s)
{
	if (span_s < BOARD_RING_SECONDS)
		return sum_of(r->seconds, BOARD_RING_SECONDS, now_s, span_s);
	/* That of now is not over; the first is to a part too old. */
	return sum_of(r->seconds, BOARD_RING_SECONDS, now_s, now_s % 10) +
	       sum_of(r->tens, BOARD_RING_TENS, now_s / 10, span_s / 10 - 1) +
	       sum_of(
		   r->tens, BOARD_RING_TENS, now_s / 10 - span_s / 10 + 1, 1) *
		   (10 - now_s % 10) / 10;
}
