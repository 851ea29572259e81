/* What fits where in postlane top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "monitor/topview.h"

enum { LANES_MAX = 12 };

static struct site site;
static struct model model;
static char names[LANES_MAX][16];

static void
make(size_t lanes)
{
	model = (struct model){.site = &site};
	model.now.wall.tv_sec = 1700000000;
	model.lanes = mem_zarray(LANES_MAX, sizeof(struct model_lane));
	model.lane_count = lanes;
	for (size_t i = 0; i < lanes; i++) {
		struct model_lane *lane = &model.lanes[i];

		(void)snprintf(names[i], sizeof(names[i]), "lane%zu", i);
		(void)snprintf(lane->name, sizeof(lane->name), "%s", names[i]);
		lane->process = MODEL_RUNNING;
		lane->account = -1;
		lane->beat_wall_ms = model_wall_ms(&model);
		lane->per_s_10s = (double)i;
		lane->directory = "/state";
	}
}

static struct topview *
view(const struct topview_how *how)
{
	return topview_new(&model, NULL, POSTFIX_RUNS, how);
}

static void
release(struct topview **v)
{
	topview_free(v);
	mem_free(model.lanes);
}

static size_t
cells(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* The row that begins so; NULL: none. */
static const struct topview_row *
row(const struct topview *v, const char *begin)
{
	for (size_t i = 0; i < v->count; i++)
		if (strncmp(v->rows[i].text, begin, strlen(begin)) == 0)
			return &v->rows[i];
	return NULL;
}

static const char *
text(const struct topview *v, const char *begin)
{
	const struct topview_row *r = row(v, begin);

	return r != NULL ? r->text : "";
}

static void
topview_fills_the_screen_and_no_more(void **state)
{
	static const size_t sizes[][2] = {
	    {80, 24}, {80, 12}, {200, 60}, {60, 24}, {47, 24}, {1, 1}};

	(void)state;
	for (size_t lanes = 0; lanes <= LANES_MAX; lanes += 3)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct topview_how how = {.width = sizes[i][0],
			    .height = sizes[i][1],
			    .is_utf8 = true};
			size_t width = sizes[i][0] < TOPVIEW_WIDTH_MIN
					   ? TOPVIEW_WIDTH_MIN
					   : sizes[i][0];
			struct topview *v;

			make(lanes);
			v = view(&how);
			assert_int_equal(
			    v->count, sizes[i][1] < TOPVIEW_HEIGHT_MIN
					  ? TOPVIEW_HEIGHT_MIN
					  : sizes[i][1]);
			for (size_t k = 0; k < v->count; k++)
				assert_true(cells(v->rows[k].text) <= width);
			assert_non_null(row(v, sizes[i][0] < 58
						   ? "p pause  r resume  s sort"
						   : "up/down choose"));
			release(&v);
		}
}

static void
topview_shows_the_last_minute(void **state)
{
	struct topview_how how = {.width = 80, .height = 24, .is_utf8 = true};
	struct topview *v;

	(void)state;
	make(1);
	model.lanes[0].sent_in[MODEL_SECONDS - 1] = 16;
	model.lanes[0].sent_in[MODEL_SECONDS - 2] = 8;
	model.lanes[0].sent_in[MODEL_SECONDS - 3] = 1;
	v = view(&how);
	assert_non_null(
	    strstr(text(v, "    60s |"), " \u2581\u2584\u2588| 16/s"));
	assert_int_equal(cells(text(v, "    60s |")), 9 + 60 + 6);
	topview_free(&v);
	how.is_utf8 = false;
	v = view(&how);
	assert_non_null(strstr(text(v, "    60s |"), " .-#| 16/s"));
	release(&v);
}

/* What counts most is there in whole on a narrow terminal: nothing is cut. */
static void
topview_leaves_out_columns_where_it_is_narrow(void **state)
{
	struct topview_how how = {.width = 60, .height = 24};
	struct topview *v;
	const char *chosen;

	(void)state;
	make(1);
	model.lanes[0].sent_in[MODEL_SECONDS - 1] = 16;
	model.lanes[0].gauges[BOARD_GAUGE_requests_waiting] = 123456;
	v = view(&how);
	chosen = text(v, "> lane0");
	assert_string_equal(text(v, "  LANE"),
	    "  LANE         STATE   RATE/S   WAIT  QUEUED    SESS");
	assert_non_null(strstr(chosen, " 123456 "));
	/* The bar of the chosen one has the screen's width. */
	assert_int_equal(strlen(chosen), 60);
	assert_non_null(strstr(text(v, "    42s |"), "#| 16/s"));
	assert_null(row(v, "    60s"));
	topview_free(&v);
	how.width = 200;
	v = view(&how);
	assert_int_equal(strlen(text(v, "> lane0")), 200);
	assert_non_null(row(v, "    60s |"));
	release(&v);
}

/* With less room there is less of each; the chosen one is always there. */
static void
topview_keeps_the_chosen_lane_in_sight(void **state)
{
	struct topview_how how = {
	    .width = 80, .height = 12, .chosen = "lane11"};
	struct topview *v;

	(void)state;
	make(LANES_MAX);
	v = view(&how);
	assert_non_null(row(v, "> lane11"));
	assert_int_equal(v->chosen, 11);
	assert_null(row(v, "  lane0 "));
	assert_null(row(v, "    60s"));
	topview_free(&v);
	how.chosen = "gone";
	v = view(&how);
	assert_non_null(row(v, "> lane0 "));
	topview_free(&v);
	how.height = 60;
	v = view(&how);
	assert_non_null(row(v, "    60s"));
	assert_non_null(row(v, "  lane11 "));
	release(&v);
}

/* Its end is told to be missing, or is in a second row. */
static void
topview_cuts_no_sentence_unsaid(void **state)
{
	static const char reason[] =
	    "a reply of the smarthost that has many words and does not fit in "
	    "one row of the screen";
	struct topview_how how = {.width = 80, .height = 24};
	struct topview *v;

	(void)state;
	make(1);
	model.lanes[0].waits = BOARD_WAIT_OUTAGE;
	(void)snprintf(model.lanes[0].waits_for,
	    sizeof(model.lanes[0].waits_for), "%s", reason);
	v = view(&how);
	assert_string_equal(text(v, "    nothing goes"),
	    "    nothing goes: a reply of the smarthost that has many words "
	    "and "
	    "does not fit");
	assert_string_equal(
	    text(v, "    in one"), "    in one row of the screen");
	topview_free(&v);
	model.lane_count = 6;
	for (size_t i = 1; i < 6; i++)
		model.lanes[i] = model.lanes[0];
	v = view(&how);
	assert_string_equal(text(v, "    nothing goes"),
	    "    nothing goes: a reply of the smarthost that has many words "
	    "and "
	    "does not f...");
	release(&v);
}

static void
topview_sorts_and_keeps_what_was_chosen(void **state)
{
	struct topview_how how = {.width = 80,
	    .height = 24,
	    .sort = TOPVIEW_BY_RATE,
	    .chosen = "lane0"};
	struct topview *v;

	(void)state;
	make(3);
	v = view(&how);
	assert_int_equal(v->order[0], 2);
	assert_int_equal(v->order[2], 0);
	assert_int_equal(v->chosen, 2);
	assert_true(row(v, "  lane2") < row(v, "> lane0"));
	topview_free(&v);
	model.lanes[1].gauges[BOARD_GAUGE_requests_waiting] = 5;
	how.sort = TOPVIEW_BY_WAIT;
	v = view(&how);
	assert_int_equal(v->order[0], 1);
	/* Equals stay as they are set. */
	assert_int_equal(v->order[1], 0);
	release(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(topview_fills_the_screen_and_no_more),
	    cmocka_unit_test(topview_shows_the_last_minute),
	    cmocka_unit_test(topview_leaves_out_columns_where_it_is_narrow),
	    cmocka_unit_test(topview_keeps_the_chosen_lane_in_sight),
	    cmocka_unit_test(topview_cuts_no_sentence_unsaid),
	    cmocka_unit_test(topview_sorts_and_keeps_what_was_chosen),
	};

	return cmocka_run_group_tests_name("topview", tests, NULL, NULL);
}
