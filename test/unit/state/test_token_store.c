#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state/token_store.h"
#include "test/support/statedir.h"

static struct statefile_dir
open_dir(void **state)
{
	struct statefile_dir d;
	char why[256];

	assert_true(statefile_dir_open(&d, *state, why, sizeof(why)));
	return d;
}

static struct token_row
row(const char *name, int64_t end_ms, const char *reason)
{
	struct token_row r = {.end_ms = end_ms};

	(void)snprintf(r.name, sizeof(r.name), "%s", name);
	(void)snprintf(r.reason, sizeof(r.reason), "%s", reason);
	r.failing_ms = *reason != '\0' ? 5 : 0;
	return r;
}

static void
who_looks_sees_what_was_set_last(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct token_store *store;
	struct token_rows rows;
	struct token_row work = row("work", 1000, ""),
			 home = row("home", 0, "");

	assert_false(token_store_look(d.fd, "lane-token", d.boot, &rows));
	store = token_store_open(&d, "lane-token");
	assert_true(token_store_look(d.fd, "lane-token", d.boot, &rows));
	assert_string_equal(rows.row[0].name, "");
	token_store_set(store, &work);
	token_store_set(store, &home);
	work = row("work", 2000, "host: 400 \x1b[2J");
	token_store_set(store, &work);
	assert_true(token_store_look(d.fd, "lane-token", d.boot, &rows));
	assert_string_equal(rows.row[0].name, "work");
	assert_int_equal(rows.row[0].end_ms, 2000);
	assert_string_equal(rows.row[0].reason, "host: 400 ?[2J");
	assert_string_equal(rows.row[1].name, "home");
	assert_string_equal(rows.row[2].name, "");
	/* another service, another boot */
	assert_false(token_store_look(d.fd, "other", d.boot, &rows));
	assert_true(token_store_look(d.fd, "lane-token", d.boot + 1, &rows));
	assert_string_equal(rows.row[0].name, "");
	token_store_close(&store);
	statefile_dir_close(&d);
}

/* Tokens were in the memory of the last process. */
static void
the_next_process_begins_without_a_token(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct token_store *store = token_store_open(&d, "lane-token");
	struct token_row work = row("work", 1000, "");
	struct token_rows rows;

	token_store_set(store, &work);
	token_store_close(&store);
	store = token_store_open(&d, "lane-token");
	assert_true(token_store_look(d.fd, "lane-token", d.boot, &rows));
	assert_string_equal(rows.row[0].name, "");
	token_store_close(&store);
	statefile_dir_close(&d);
}

static void
names_beyond_the_rows_are_left_out(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct token_store *store = token_store_open(&d, "lane-token");
	struct token_rows rows;

	for (int i = 0; i <= TOKEN_STORE_ROWS; i++) {
		char name[16];
		struct token_row r;

		(void)snprintf(name, sizeof(name), "t%d", i);
		r = row(name, i, "");
		token_store_set(store, &r);
	}
	assert_true(token_store_look(d.fd, "lane-token", d.boot, &rows));
	for (int i = 0; i < TOKEN_STORE_ROWS; i++)
		assert_int_equal(rows.row[i].end_ms, i);
	token_store_close(&store);
	statefile_dir_close(&d);
}

static void
nonsense_in_the_file_is_left_out(void **state)
{
	struct statefile_dir d = open_dir(state);
	struct token_store *store = token_store_open(&d, "lane-token");
	struct token_row r = row("work", 1000, "");
	struct token_rows rows;

	token_store_set(store, &r);
	r = row("bad", -5, "");
	token_store_set(store, &r);
	r = row("../etc", 5, "");
	token_store_set(store, &r);
	r = row("long", 5, "");
	memset(r.reason, 'x', sizeof(r.reason));
	token_store_set(store, &r);
	assert_true(token_store_look(d.fd, "lane-token", d.boot, &rows));
	assert_string_equal(rows.row[0].name, "work");
	for (int i = 1; i < TOKEN_STORE_ROWS; i++)
		assert_string_equal(rows.row[i].name, "");
	token_store_close(&store);
	statefile_dir_close(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(who_looks_sees_what_was_set_last),
	    IN_STATEDIR(the_next_process_begins_without_a_token),
	    IN_STATEDIR(names_beyond_the_rows_are_left_out),
	    IN_STATEDIR(nonsense_in_the_file_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
