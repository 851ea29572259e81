/* boarddump: prints what lanes put on the board, and the connection slots.
 *
 *   boarddump [-j] [-a] directory
 *   boarddump -V
 *
 * directory is lane_state_directory. -V: the version. -j: JSON, one object; -a:
 * also lanes that are gone, accounts that no lane uses and figures that are
 * zero (text only; JSON has them always). Reads with pread and never maps or
 * locks, so that nothing it does can disturb a lane. Numbers taken from the
 * files are bounded before use. Status 1: no board, or not of our version.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/shared/board.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/release.h"
#include "common/limits/rate.h"
#include "common/shared/session_id.h"
#include "common/shared/slots.h"

struct dump {
	int dir_fd, fd;
	bool is_json, wants_all;
	struct board *board;
	bool needs_comma;
};

static bool
is_locked(int fd, off_t octet)
{
	struct flock lock = {
	    .l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = octet,
	    .l_len = 1,
	};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool
read_whole(int fd, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got =
		    pread(fd, (char *)p + done, n - done, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

/* A limit as the operator writes it; false: no row in use, or damaged. */
static bool
rate_text(const struct board_rate *row, char text[RATE_TEXT_SIZE])
{
	struct rate rate = {
	    .count_milli = (int64_t)row->count_milli,
	    .period_us = (int64_t)row->period_us,
	    .burst = (int64_t)row->burst,
	    .is_quota = row->burst == 0,
	};

	if (row->unit == BOARD_RATE_FREE ||
	    row->unit >= BOARD_RATE_UNIT_COUNT || rate.count_milli <= 0 ||
	    rate.count_milli / 1000 > RATE_COUNT_MAX || rate.period_us <= 0 ||
	    rate.period_us > RATE_PERIOD_MAX_US || rate.burst < 0)
		return false;
	rate_to_text(&rate, text, RATE_TEXT_SIZE);
	return true;
}

/* JSON ---------------------------------------------------------------- */

static void
comma(struct dump *d)
{
	if (d->needs_comma)
		(void)putchar(',');
	d->needs_comma = true;
}

static void
json_string(const char *field, size_t size)
{
	char text[512];

	board_text(field, size, text, sizeof(text));
	(void)putchar('"');
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			(void)putchar('\\');
		(void)putchar(*p);
	}
	(void)putchar('"');
}

static void
json_key(struct dump *d, const char *name)
{
	comma(d);
	printf("\"%s\":", name);
}

static void
json_text(struct dump *d, const char *name, const char *field, size_t size)
{
	json_key(d, name);
	json_string(field, size);
}

static void
json_number(struct dump *d, const char *name, uint64_t value)
{
	json_key(d, name);
	printf("%" PRIu64, value);
}

static void
json_open(struct dump *d, const char *name, char bracket)
{
	if (name != NULL)
		json_key(d, name);
	else
		comma(d);
	(void)putchar(bracket);
	d->needs_comma = false;
}

static void
json_close(struct dump *d, char bracket)
{
	(void)putchar(bracket);
	d->needs_comma = true;
}

#define NUMBER(d, row, field) json_number(d, #field, (row)->field)
#define TEXT(d, row, field)                                                    \
	json_text(d, #field, (row)->field, sizeof((row)->field))

static void
json_hist(struct dump *d, const char *name, const struct board_hist *h)
{
	json_open(d, name, '{');
	NUMBER(d, h, count);
	NUMBER(d, h, sum);
	json_number(d, "p50", board_hist_quantile(h, 0.5));
	json_number(d, "p95", board_hist_quantile(h, 0.95));
	json_number(d, "p99", board_hist_quantile(h, 0.99));
	json_number(d, "max", board_hist_quantile(h, 1));
	json_close(d, '}');
}

static void
json_session(struct dump *d, const struct board_session *s)
{
	char id[SESSION_ID_SIZE];

	session_id_text(s->id, id);
	json_open(d, NULL, '{');
	json_text(d, "session", id, sizeof(id));
	json_text(d, "state", board_session_state_name(s->state), 32);
	TEXT(d, s, peer);
	NUMBER(d, s, messages);
	NUMBER(d, s, in_flight);
	NUMBER(d, s, depth);
	NUMBER(d, s, octets);
	NUMBER(d, s, since_wall_ms);
	NUMBER(d, s, opened_wall_ms);
	json_close(d, '}');
}

static void
json_poison(struct dump *d, const struct board_poison *p)
{
	json_open(d, NULL, '{');
	TEXT(d, p, id);
	NUMBER(d, p, state);
	NUMBER(d, p, crashes);
	NUMBER(d, p, since_wall_ms);
	json_close(d, '}');
}

static void
json_figures(struct dump *d, const struct board_lane *lane)
{
	json_open(d, "counters", '{');
	for (int i = 0; i < BOARD_COUNTER_COUNT; i++)
		json_number(d, board_counters[i].name, lane->counters[i]);
	json_close(d, '}');
	json_open(d, "gauges", '{');
	for (int i = 0; i < BOARD_GAUGE_COUNT; i++) {
		json_key(d, board_gauges[i].name);
		printf("%" PRId64, (int64_t)lane->gauges[i]);
	}
	json_close(d, '}');
	json_open(d, "latency_us", '{');
	for (int i = 0; i < BOARD_HIST_COUNT; i++)
		json_hist(d, board_hists[i].name, &lane->hists[i]);
	json_close(d, '}');
}

static void
json_rates(struct dump *d, const struct board_rate *rows)
{
	char text[RATE_TEXT_SIZE];

	json_open(d, "rates", '[');
	for (int i = 0; i < BOARD_RATES; i++) {
		const struct board_rate *row = &rows[i];

		if (!rate_text(row, text))
			continue;
		json_open(d, NULL, '{');
		json_text(d, "unit", board_rate_unit_name(row->unit), 32);
		json_text(d, "limit", text, sizeof(text));
		NUMBER(d, row, used);
		NUMBER(d, row, next_wall_ms);
		json_close(d, '}');
	}
	json_close(d, ']');
}

static const char *
lane_state(const struct board_lane *lane, bool is_running)
{
	if (is_running)
		return "running";
	return lane->state == BOARD_LANE_STOPPED ? "stopped" : "gone";
}

static void
json_lane(struct dump *d, const struct board_lane *lane, bool is_running)
{
	json_open(d, NULL, '{');
	TEXT(d, lane, name);
	TEXT(d, lane, class);
	json_text(d, "state", lane_state(lane, is_running), 32);
	NUMBER(d, lane, pid);
	NUMBER(d, lane, started_wall_ms);
	NUMBER(d, lane, counted_since_wall_ms);
	NUMBER(d, lane, beat_wall_ms);
	NUMBER(d, lane, held);
	NUMBER(d, lane, reserve);
	NUMBER(d, lane, wants);
	NUMBER(d, lane, connection_limit);
	if (lane->account >= 1 && lane->account <= BOARD_ACCOUNTS)
		json_number(d, "account", lane->account - 1);
	json_rates(d, lane->rates);
	json_figures(d, lane);
	json_open(d, "sessions", '[');
	for (int i = 0; i < BOARD_SESSIONS; i++)
		if (lane->sessions[i].state != BOARD_SESSION_FREE)
			json_session(d, &lane->sessions[i]);
	json_close(d, ']');
	json_open(d, "poison", '[');
	for (int i = 0; i < BOARD_POISON; i++)
		if (lane->poison[i].state != BOARD_POISON_FREE)
			json_poison(d, &lane->poison[i]);
	json_close(d, ']');
	json_close(d, '}');
}

static void
json_account(struct dump *d, const struct board_account *a)
{
	json_open(d, NULL, '{');
	json_number(d, "index", (uint64_t)(a - d->board->accounts));
	TEXT(d, a, label);
	NUMBER(d, a, limit);
	NUMBER(d, a, limit_now);
	NUMBER(d, a, limited_until_wall_ms);
	NUMBER(d, a, held);
	NUMBER(d, a, resting);
	NUMBER(d, a, refusals);
	NUMBER(d, a, refused_wall_ms);
	TEXT(d, a, refusal);
	json_rates(d, a->rates);
	json_open(d, "hosts", '[');
	for (int i = 0; i < BOARD_HOSTS; i++) {
		const struct board_host *h = &a->hosts[i];

		if (h->key == 0)
			continue;
		json_open(d, NULL, '{');
		TEXT(d, h, host);
		NUMBER(d, h, depth);
		NUMBER(d, h, messages);
		NUMBER(d, h, rtt_us);
		NUMBER(d, h, certificate_wall_ms);
		NUMBER(d, h, updated_wall_ms);
		json_close(d, '}');
	}
	json_close(d, ']');
	json_close(d, '}');
}

/* Text ---------------------------------------------------------------- */

static void
text_word(const char *name, const char *field, size_t size)
{
	char text[512];

	board_text(field, size, text, sizeof(text));
	printf(" %s=%s", name, *text != '\0' ? text : "-");
}

static double
seconds_since(uint64_t wall_ms)
{
	struct timeval tv = clock_wall();
	double now_ms = (double)tv.tv_sec * 1000 + (double)tv.tv_usec / 1000;

	return (now_ms - (double)wall_ms) / 1000;
}

static void
text_rates(const struct board_rate *rows)
{
	char text[RATE_TEXT_SIZE];

	for (int i = 0; i < BOARD_RATES; i++) {
		const struct board_rate *row = &rows[i];
		double wait_s = -seconds_since(row->next_wall_ms);

		if (!rate_text(row, text))
			continue;
		printf("  limit %s %s", text, board_rate_unit_name(row->unit));
		if (row->burst == 0)
			printf(" used=%" PRIu64, row->used);
		if (wait_s > 0)
			printf(" next in %.2fs", wait_s);
		(void)putchar('\n');
	}
}

/* When a certificate ends. */
static void
text_end(const char *whose, uint64_t wall_ms)
{
	time_t at = (time_t)(wall_ms / 1000);
	char date[40] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm) != NULL)
		(void)strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	printf("  %s ends %s, in %.0f days\n", whose, date,
	    -seconds_since(wall_ms) / 86400);
}

/* What a gauge holds, with times as they are from now. */
static void
text_gauge(const struct board_lane *lane, int i)
{
	int64_t value = (int64_t)lane->gauges[i];
	double left_s = -seconds_since((uint64_t)value);

	switch (i) {
	case BOARD_GAUGE_paused_until_wall_ms:
		if (value != 0 && left_s > 0)
			printf("  paused for %.1fs\n", left_s);
		break;
	case BOARD_GAUGE_wakeup_wall_ms:
		if (value != 0)
			printf("  looks again in %.1fs\n",
			    left_s > 0 ? left_s : 0);
		break;
	case BOARD_GAUGE_oldest_wall_ms:
		if (value != 0)
			printf("  oldest request waits for %.1fs\n", -left_s);
		break;
	case BOARD_GAUGE_certificate_wall_ms:
		if (value != 0)
			text_end("our certificate", (uint64_t)value);
		break;
	case BOARD_GAUGE_rate_milli:
		if (value != 0)
			printf("  %-24s %12.3f   messages per second, as "
			       "replies taught\n",
			    "rate", (double)value / 1000);
		break;
	default:
		printf("  %-24s %12" PRId64 "   %s\n", board_gauges[i].name,
		    value, board_gauges[i].help);
	}
}

/* Microseconds, as one reads them. */
static void
text_time(const char *name, uint64_t us)
{
	if (us < 1000)
		printf(" %s=%" PRIu64 "us", name, us);
	else if (us < 1000000)
		printf(" %s=%.3gms", name, (double)us / 1000);
	else
		printf(" %s=%.1fs", name, (double)us / 1000000);
}

static void
text_hist(const struct board_hist *h, const struct board_metric *metric)
{
	printf("  %-24s %12" PRIu64 "  ", metric->name, h->count);
	text_time("p50", board_hist_quantile(h, 0.5));
	text_time("p95", board_hist_quantile(h, 0.95));
	text_time("p99", board_hist_quantile(h, 0.99));
	printf("   %s\n", metric->help);
}

static void
text_lane_rows(const struct board_lane *lane)
{
	char id[SESSION_ID_SIZE];

	for (int i = 0; i < BOARD_SESSIONS; i++) {
		const struct board_session *s = &lane->sessions[i];

		if (s->state == BOARD_SESSION_FREE)
			continue;
		session_id_text(s->id, id);
		printf("  session=%s %s %.1fs", id,
		    board_session_state_name(s->state),
		    seconds_since(s->since_wall_ms));
		text_word("peer", s->peer, sizeof(s->peer));
		printf(" messages=%" PRIu64 " in_flight=%" PRIu64
		       " depth=%" PRIu64 "\n",
		    s->messages, s->in_flight, s->depth);
	}
	for (int i = 0; i < BOARD_POISON; i++) {
		const struct board_poison *p = &lane->poison[i];

		if (p->state == BOARD_POISON_FREE)
			continue;
		printf("  %s",
		    p->state == BOARD_POISON_CRASHED ? "suspect" : "in hand");
		text_word("id", p->id, sizeof(p->id));
		printf(" crashes=%" PRIu64 "\n", p->crashes);
	}
}

static void
text_lane(struct dump *d, const struct board_lane *lane, bool is_running)
{
	printf("lane");
	text_word("name", lane->name, sizeof(lane->name));
	text_word("class", lane->class, sizeof(lane->class));
	printf(" %s pid=%" PRIu64 " slots=%" PRIu64 " reserve=%" PRIu64
	       " wants=%" PRIu64 " beat=%.1fs\n",
	    lane_state(lane, is_running), lane->pid, lane->held, lane->reserve,
	    lane->wants, seconds_since(lane->beat_wall_ms));
	printf("  counted for %.1f hours\n",
	    seconds_since(lane->counted_since_wall_ms) / 3600);
	text_rates(lane->rates);
	for (int i = 0; i < BOARD_COUNTER_COUNT; i++)
		if (d->wants_all || lane->counters[i] != 0)
			printf("  %-24s %12" PRIu64 "   %s\n",
			    board_counters[i].name, lane->counters[i],
			    board_counters[i].help);
	for (int i = 0; i < BOARD_GAUGE_COUNT; i++)
		if (d->wants_all || lane->gauges[i] != 0)
			text_gauge(lane, i);
	for (int i = 0; i < BOARD_HIST_COUNT; i++)
		if (lane->hists[i].count != 0)
			text_hist(&lane->hists[i], &board_hists[i]);
	text_lane_rows(lane);
}

static void
text_account(const struct board_account *a)
{
	printf("account");
	text_word("label", a->label, sizeof(a->label));
	/* How many are held says "slots": here it is what a lane saw last. */
	printf(" limit=%" PRIu64 " of %" PRIu64 "\n", a->limit_now, a->limit);
	text_rates(a->rates);
	if (a->refusals != 0) {
		printf("  refused %" PRIu64 " times, last %.0fs ago:",
		    a->refusals, seconds_since(a->refused_wall_ms));
		text_word("reply", a->refusal, sizeof(a->refusal));
		(void)putchar('\n');
	}
	for (int i = 0; i < BOARD_HOSTS; i++) {
		const struct board_host *h = &a->hosts[i];

		if (h->key == 0)
			continue;
		printf(" ");
		text_word("host", h->host, sizeof(h->host));
		printf(" depth=%" PRIu64 " messages=%" PRIu64, h->depth,
		    h->messages);
		text_time("rtt", h->rtt_us);
		(void)putchar('\n');
		if (h->certificate_wall_ms != 0)
			text_end("its certificate", h->certificate_wall_ms);
	}
}

/* Slots: the files beside the board, where the locks are the truth. ------ */

struct slots_view {
	struct slots slots;
	int held, resting;
	bool is_running[SLOTS_MEMBERS];
	int held_by[SLOTS_MEMBERS];
};

static void
view_slots(int fd, struct slots_view *v)
{
	int64_t now_ms = clock_mono_ms();

	for (int m = 0; m < SLOTS_MEMBERS; m++)
		v->is_running[m] = is_locked(fd, SLOTS_LOCK_MEMBER + m);
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct slots_row *row = &v->slots.rows[i];

		if (!is_locked(fd, i)) {
			v->resting += row->state == SLOTS_HELD ||
				      (row->state == SLOTS_RESTING &&
					  row->at_ms > now_ms);
			continue;
		}
		v->held++;
		if (row->member < SLOTS_MEMBERS &&
		    row->generation == v->slots.members[row->member].generation)
			v->held_by[row->member]++;
	}
}

static bool
is_in_use(const struct slots_view *v)
{
	for (int m = 0; m < SLOTS_MEMBERS; m++)
		if (v->is_running[m])
			return true;
	return v->held > 0 || v->resting > 0;
}

static void
text_slots(const struct slots_view *v)
{
	printf("slots");
	text_word("account", v->slots.head.label, sizeof(v->slots.head.label));
	printf(" held=%d resting=%d refusals=%" PRIu64 "\n", v->held,
	    v->resting, v->slots.head.refusals);
	for (int m = 0; m < SLOTS_MEMBERS; m++) {
		const struct slots_member *member = &v->slots.members[m];

		if (!v->is_running[m])
			continue;
		printf(" ");
		text_word("lane", member->name, sizeof(member->name));
		printf(" holds=%d reserve=%d wants=%d limit=%d\n",
		    v->held_by[m], member->reserve, member->wants,
		    member->limit);
	}
}

static void
json_slots(struct dump *d, const struct slots_view *v)
{
	json_open(d, NULL, '{');
	json_text(
	    d, "account", v->slots.head.label, sizeof(v->slots.head.label));
	json_number(d, "held", (uint64_t)v->held);
	json_number(d, "resting", (uint64_t)v->resting);
	json_open(d, "lanes", '[');
	for (int m = 0; m < SLOTS_MEMBERS; m++) {
		const struct slots_member *member = &v->slots.members[m];

		if (!v->is_running[m])
			continue;
		json_open(d, NULL, '{');
		TEXT(d, member, name);
		json_number(d, "holds", (uint64_t)v->held_by[m]);
		json_key(d, "reserve");
		printf("%d", member->reserve);
		json_key(d, "wants");
		printf("%d", member->wants);
		json_key(d, "limit");
		printf("%d", member->limit);
		json_close(d, '}');
	}
	json_close(d, ']');
	json_close(d, '}');
}

static void
dump_slots_file(struct dump *d, const char *name)
{
	struct slots_view *v = mem_zalloc(sizeof(*v));
	int fd = openat(
	    d->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && read_whole(fd, &v->slots, sizeof(v->slots)) &&
	    v->slots.head.magic == SLOTS_MAGIC &&
	    v->slots.head.version == SLOTS_VERSION) {
		view_slots(fd, v);
		if (d->is_json)
			json_slots(d, v);
		else if (d->wants_all || is_in_use(v))
			text_slots(v);
	}
	if (fd >= 0)
		(void)close(fd);
	mem_free(v);
}

static void
dump_slots(struct dump *d)
{
	int fd = dup(d->dir_fd);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, "slots.", 6) == 0)
			dump_slots_file(d, e->d_name);
	(void)closedir(dir);
}

/* --------------------------------------------------------------------- */

static void
dump_lanes(struct dump *d)
{
	for (int i = 0; i < BOARD_LANES; i++) {
		const struct board_lane *lane = &d->board->lanes[i];
		bool is_running = is_locked(d->fd, BOARD_LOCK_LANE + i);

		if (lane->state == BOARD_LANE_FREE)
			continue;
		if (d->is_json)
			json_lane(d, lane, is_running);
		else if (is_running || d->wants_all)
			text_lane(d, lane, is_running);
	}
}

/* An account that no lane uses shows what was when the last one left. */
static bool
has_lane(const struct dump *d, int account)
{
	for (int i = 0; i < BOARD_LANES; i++)
		if (d->board->lanes[i].account == (uint64_t)account + 1 &&
		    is_locked(d->fd, BOARD_LOCK_LANE + i))
			return true;
	return false;
}

static void
dump_accounts(struct dump *d)
{
	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		const struct board_account *a = &d->board->accounts[i];

		if (a->key == 0)
			continue;
		if (d->is_json)
			json_account(d, a);
		else if (d->wants_all || has_lane(d, i))
			text_account(a);
	}
}

static void
dump_all(struct dump *d)
{
	if (!d->is_json) {
		printf("postlane %s board %" PRIu64 "\n", release_version(),
		    d->board->head.version);
		dump_accounts(d);
		dump_slots(d);
		dump_lanes(d);
		return;
	}
	json_open(d, NULL, '{');
	json_text(d, "release", release_version(), strlen(release_version()));
	json_number(d, "version", d->board->head.version);
	json_number(d, "made_wall_ms", d->board->head.made_wall_ms);
	json_open(d, "accounts", '[');
	dump_accounts(d);
	json_close(d, ']');
	json_open(d, "slots", '[');
	dump_slots(d);
	json_close(d, ']');
	json_open(d, "lanes", '[');
	dump_lanes(d);
	json_close(d, ']');
	json_close(d, '}');
	(void)putchar('\n');
}

/* false: why (of n octets) says what is wrong. */
static bool
open_board(struct dump *d, const char *dir, char *why, size_t n)
{
	struct board_head head;
	struct stat st;

	(void)snprintf(why, n, "cannot be read whole");
	d->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd >= 0)
		d->fd = openat(d->dir_fd, "board",
		    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (d->fd < 0 || fstat(d->fd, &st) != 0) {
		(void)snprintf(why, n, "%s", strerror(errno));
		return false;
	}
	/* The head of another version says so, whatever the size is. */
	if (!read_whole(d->fd, &head, sizeof(head)) ||
	    !board_check(&head, (uint64_t)st.st_size, why, n))
		return false;
	d->board = mem_zalloc(BOARD_SIZE);
	return read_whole(d->fd, d->board, BOARD_SIZE) &&
	       board_check(&d->board->head, (uint64_t)st.st_size, why, n);
}

int
main(int argc, char **argv)
{
	struct dump d = {.dir_fd = -1, .fd = -1};
	char why[120];
	bool is_good;
	int c;

	while ((c = getopt(argc, argv, "ajV")) != -1) {
		d.wants_all |= c == 'a';
		d.is_json |= c == 'j';
		if (c == 'V') {
			printf("%s\n", release_version());
			return 0;
		}
		if (c == '?')
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: boarddump [-j] [-a] directory | -V\n");
		return 2;
	}
	is_good = open_board(&d, argv[optind], why, sizeof(why));
	if (is_good)
		dump_all(&d);
	else
		fprintf(stderr, "boarddump: %s/board: %s\n", argv[optind], why);
	mem_free(d.board);
	if (d.fd >= 0)
		(void)close(d.fd);
	if (d.dir_fd >= 0)
		(void)close(d.dir_fd);
	return !is_good;
}
