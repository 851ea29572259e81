/* Texts of the board that go on in a second field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/shared/board.h"

/* A reason is whole, or ends with a word. */
static void
board_keeps_a_long_text_and_cuts_it_behind_a_word(void **state)
{
	char field[BOARD_WHY], more[BOARD_WHY_MORE], text[1024] = "";
	char shown[BOARD_WHY_ALL];

	(void)state;
	for (size_t i = 0; i < 250; i++)
		text[i] = "word "[i % 5];
	board_store_long(field, more, text);
	board_long_text(field, more, shown, sizeof(shown));
	assert_string_equal(shown, text);
	for (size_t i = 0; i < 600; i++)
		text[i] = "word "[i % 5];
	board_store_long(field, more, text);
	board_long_text(field, more, shown, sizeof(shown));
	assert_true(strlen(shown) < sizeof(shown) - 1);
	assert_string_equal(shown + strlen(shown) - 8, "word ...");
	board_store_long(field, more, "short");
	board_long_text(field, more, shown, sizeof(shown));
	assert_string_equal(shown, "short");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	board_cut(shown, 20, text);
	assert_string_equal(shown, "xxxxxxxxxxxxxxx ...");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(board_keeps_a_long_text_and_cuts_it_behind_a_word),
	};

	return cmocka_run_group_tests_name("board_text", tests, NULL, NULL);
}
