/* What postlane and lanestat make of a state directory whose files hold any
 * octets: root reads there what mail_owner writes. Whatever they hold, each
 * reader ends, keeps to its bounds, and shows printable text: JSON that can be
 * dumped, a scrape of whole lines, rows that fit the screen.
 *
 * The first octet says which reader. What follows changes a board with two
 * accounts and three lanes, change by change: what (1 octet), where in it (2),
 * a number of octets (1), the octets. The other files of the directory get the
 * octets as they are.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/state/fairshare_file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/lanestat/history.h"
#include "monitor/lanestat/history_json.h"
#include "monitor/lanestat/metrics.h"
#include "monitor/lanestat/page.h"
#include "monitor/lanestat/recorder.h"
#include "monitor/status_json.h"
#include "monitor/topview.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ACCOUNTS = 2,
	ROWS = 4, /* of lanes, the last is free */
	NOW_S = 1790000000,
	PAGE_MAX = 8 << 20,
	/* of what is changed: */
	MANY = 200, /* the octets over and over, to the end */
	FILE_OF = 248, /* a file of its own */
};

#define KEY UINT64_C(0x1122334455667788)

static char directory[] = "/dev/shm/fuzz_board.XXXXXX";
static int dir_fd, board_fd;
static struct board *sound, *changed;
static struct history *history;
static struct site_lane own[2];
static struct site site;

static const char *const files[] = {
    "slots.1122334455667788",

    "steer",
    "tokens.token",
};
enum { FILES = sizeof(files) / sizeof(files[0]) };

/* ---- stand-ins: Postfix's queue is not known, limits are the board's ------
 */

bool
fairshare_file_look(
    int fd, uint64_t boot, int64_t now_us, struct fairshare *out)
{
	(void)fd;
	(void)boot;
	(void)now_us;
	(void)out;
	return false;
}

const struct backlog_share *
backlog_share_of(const struct backlog *b, const struct model *m,
    const struct model_lane *lane)
{
	(void)m;
	(void)lane;
	CHECK(b == NULL);
	return NULL;
}

const char *
backlog_queue_name(enum backlog_queue queue)
{
	(void)queue;
	return "active";
}

const char *
site_state_directory(const struct site *of, size_t i)
{
	(void)of;
	return i == 0 ? directory : NULL;
}

/* ---- what is there ------------------------------------------------------ */

static void
remove_all(void)
{
	for (size_t i = 0; i < FILES; i++)
		(void)unlinkat(dir_fd, files[i], 0);
	(void)unlinkat(dir_fd, "board", 0);
	(void)rmdir(directory);
}

static void
fill_lane(struct board_lane *lane, const char *name, uint64_t account)
{
	board_store_text(lane->name, sizeof(lane->name), name);
	board_store_text(lane->class, sizeof(lane->class), "fast");
	lane->state = BOARD_LANE_RUNNING;
	lane->account = account;
	lane->beat_wall_ms = (uint64_t)NOW_S * 1000;
	lane->connection_limit = 20;
	lane->sessions[0].state = BOARD_SESSION_BUSY;
	lane->rates[0] = (struct board_rate){.unit = BOARD_RATE_MESSAGES,
	    .count_milli = 5000,
	    .period_us = 1000000,
	    .burst = 1};
	lane->alarms[0].since_wall_ms = 1;
	board_store_text(lane->alarms[0].what, 32, "login");
}

static void
fill_account(struct board_account *a, uint64_t key)
{
	a->key = key;
	board_store_text(a->label, sizeof(a->label), "mx.example");
	a->limit = a->limit_now = 20;
	a->hosts[0].key = 1;
	board_store_text(a->hosts[0].host, BOARD_NAME, "mx.example");
	a->fleet.size = 2;
	a->fleet.told_wall_ms = (uint64_t)NOW_S * 1000;
	board_store_text(a->fleet.limits[0].unit, 32, "connections");
	a->fleet.limits[0].word = BOARD_FLEET_OK;
	a->fleet.limits[0].limit = 20;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char fast[] = "fast", slow[] = "slow", none[] = "",
		    etc[] = "/etc/postfix", token[] = "token",
		    owner[] = "postfix";

	(void)argc;
	(void)argv;
	CHECK(mkdtemp(directory) != NULL);
	(void)atexit(remove_all);
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY);
	CHECK(dir_fd >= 0);
	board_fd = openat(dir_fd, "board", O_RDWR | O_CREAT, 0600);
	CHECK(board_fd >= 0 && ftruncate(board_fd, BOARD_SIZE) == 0);
	sound = mem_zalloc(BOARD_SIZE);
	changed = mem_zalloc(BOARD_SIZE);
	board_init(sound, (uint64_t)NOW_S * 1000);
	CHECK(pwrite(board_fd, sound, BOARD_SIZE, 0) == BOARD_SIZE);
	history = history_open(-1, NOW_S);
	for (uint64_t i = 0; i < ACCOUNTS; i++)
		fill_account(&sound->accounts[i], KEY + i);
	fill_lane(&sound->lanes[0], "fast", 1);
	fill_lane(&sound->lanes[1], "slow", 2);
	fill_lane(&sound->lanes[2], "gone", 0);
	for (size_t i = 0; i < 2; i++) {
		own[i].name = i == 0 ? fast : slow;
		own[i].opt.service_name = own[i].name;
		own[i].opt.class = fast;
		own[i].set.lane_state_directory = directory;
		own[i].set.lane_fleet = none;
		own[i].set.lane_connection_limit = 20;
	}
	site = (struct site){.lanes = own, .lane_count = 2};
	site.set.lane_state_directory = directory;
	site.set.config_directory = etc;
	site.set.lane_token_service_name = token;
	site.set.mail_owner = owner;
	return 0;
}

static void
put_file(const char *name, const uint8_t *data, size_t size)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, data, size) == (ssize_t)size);
	(void)close(fd);
}

/* The parts of a board that have something in them. */
static void
copy(struct board *to, const struct board *from)
{
	to->head = from->head;
	memcpy(
	    to->accounts, from->accounts, ACCOUNTS * sizeof(to->accounts[0]));
	memcpy(to->lanes, from->lanes, ROWS * sizeof(to->lanes[0]));
}

static void
write_part(const void *part, size_t size)
{
	off_t at = (const uint8_t *)part - (const uint8_t *)changed;

	CHECK(pwrite(board_fd, part, size, at) == (ssize_t)size);
}

static void
write_board(void)
{
	write_part(&changed->head, sizeof(changed->head));
	write_part(changed->accounts, ACCOUNTS * sizeof(changed->accounts[0]));
	write_part(changed->lanes, ROWS * sizeof(changed->lanes[0]));
}

static uint8_t *
place(uint8_t what, size_t at, size_t *room_out)
{
	uint8_t *p;

	if (what % 8 == 0) {
		p = (uint8_t *)&changed->head;
		*room_out = sizeof(changed->head);
	} else if (what % 8 < 3) {
		p = (uint8_t *)&changed->accounts[what % ACCOUNTS];
		*room_out = sizeof(changed->accounts[0]);
	} else {
		p = (uint8_t *)&changed->lanes[what % ROWS];
		*room_out = sizeof(changed->lanes[0]);
	}
	at = at * 8 % *room_out;
	*room_out -= at;
	return p + at;
}

static void
change(const uint8_t *data, size_t size)
{
	while (size > 4) {
		uint8_t what = data[0];
		size_t at = (size_t)(data[1] << 8 | data[2]);
		size_t n = data[3] < size - 4 ? data[3] : size - 4;

		if (what >= FILE_OF) {
			put_file(files[what % FILES], data + 4, size - 4);
			return;
		}
		if (n > 0) {
			size_t room;
			uint8_t *p = place(what, at, &room);

			if (what < MANY)
				room = n < room ? n : room;
			for (size_t i = 0; i < room; i++)
				p[i] = data[4 + i % n];
		}
		data += 4 + n;
		size -= 4 + n;
	}
}

/* ---- what is made of it ------------------------------------------------- */

static bool
is_printable(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)p[i] < ' ' && p[i] != '\n') || p[i] == 127)
			return false;
	return true;
}

static void
try_json(const struct model *m)
{
	json_t *all = status_json(m, NULL, POSTFIX_RUNS, NULL);
	char *text = json_dumps(all, JSON_ENSURE_ASCII);

	CHECK(text != NULL && is_printable(text, strlen(text)));
	free(text);
	json_decref(all);
}

static void
try_metrics(const struct model *m, enum metrics_format format)
{
	struct buf out;

	buf_init(&out, METRICS_MAX);
	metrics_write(&out, format, m, NULL, POSTFIX_RUNS);
	CHECK(buf_ok(&out));
	CHECK(is_printable(buf_slice(&out).p, buf_len(&out)));
	buf_fini(&out);
}

static void
try_screen(const struct model *m)
{
	struct topview_how how = {.width = 100, .height = 40, .is_utf8 = true};
	struct topview *view = topview_new(m, NULL, POSTFIX_RUNS, &how);

	CHECK(view->count <= how.height);
	for (size_t i = 0; i < view->count; i++) {
		const char *text = view->rows[i].text;
		size_t n = strnlen(text, TOPVIEW_TEXT);

		CHECK(n < TOPVIEW_TEXT && is_printable(text, n));
	}
	topview_free(&view);
}

static void
try_page(const struct model *m)
{
	struct recorder *recorder = recorder_new(history);
	struct buf out;

	recorder_note(recorder, m, NULL, POSTFIX_RUNS);
	buf_init(&out, PAGE_MAX);
	page_write(&out, m, NULL, POSTFIX_RUNS, history);
	CHECK(buf_ok(&out));
	buf_fini(&out);
	buf_init(&out, HISTORY_JSON_MAX);
	history_json_write(&out, history, m, 60, NOW_S - 600);
	CHECK(buf_ok(&out));
	CHECK(is_printable(buf_slice(&out).p, buf_len(&out)));
	buf_fini(&out);
	recorder_free(&recorder);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct moment now = {
	    .us = INT64_C(5000000000), .wall = {.tv_sec = NOW_S}};
	struct model *m;

	copy(changed, sound);
	for (size_t i = 0; i < FILES; i++)
		(void)unlinkat(dir_fd, files[i], 0);
	if (size > 1)
		change(data + 1, size - 1);
	write_board();
	m = model_read(&site, now);
	for (size_t i = 0; i < m->lane_count; i++)
		CHECK(m->lanes[i].session_count <= BOARD_SESSIONS &&
		      m->lanes[i].poison_count <= BOARD_POISON &&
		      m->lanes[i].alarm_count <= BOARD_ALARMS);
	switch (size > 0 ? data[0] % 4 : 0) {
	case 0:
		try_json(m);
		break;
	case 1:
		try_metrics(
		    m, data[0] & 4 ? METRICS_OPENMETRICS : METRICS_PROMETHEUS);
		break;
	case 2:
		try_screen(m);
		break;
	default:
		try_page(m);
		break;
	}
	model_free(&m);
	return 0;
}
