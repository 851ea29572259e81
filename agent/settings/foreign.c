#include "agent/settings/foreign.h"

#include <string.h>
#include <strings.h>

#include "common/base/words.h"

static const char *const queue_manager_endings[] = {
    "_destination_concurrency_limit",
    "_destination_concurrency_failed_cohort_limit",
    "_destination_concurrency_positive_feedback",
    "_destination_concurrency_negative_feedback",
    "_destination_rate_delay",
    "_destination_recipient_limit",
    "_initial_destination_concurrency",
    "_transport_rate_delay",
    "_delivery_slot_cost",
    "_delivery_slot_discount",
    "_delivery_slot_loan",
    "_minimum_delivery_slots",
    "_recipient_limit",
    "_extra_recipient_limit",
    "_recipient_refill_delay",
    "_recipient_refill_limit",
};

const struct foreign *
foreign_find(const char *name)
{
	for (size_t i = 0; i < foreign_count(); i++)
		if (strcmp(foreign_get(i)->name, name) == 0)
			return foreign_get(i);
	return NULL;
}

/* Two values that differ in blanks and commas only, or in case, mean the same
 * in any list of words. */
static bool
is_same(const char *a, size_t a_n, const char *b)
{
	static const char gaps[] = ", \t\r\n";
	const char *a_end = a + a_n;

	for (bool is_first = true;; is_first = false) {
		bool a_gap = false, b_gap = false;

		for (; a < a_end && strchr(gaps, *a) != NULL; a++)
			a_gap = true;
		for (; *b != '\0' && strchr(gaps, *b) != NULL; b++)
			b_gap = true;
		if (a == a_end || *b == '\0')
			return a == a_end && *b == '\0';
		if ((a_gap != b_gap && !is_first) || strncasecmp(a, b, 1) != 0)
			return false;
		a++;
		b++;
	}
}

static bool
has_word(const char *list, const char *word, size_t n)
{
	size_t word_n;

	for (;; list += word_n + 1) {
		word_n = strcspn(list, "|");
		if (word_n == n && strncasecmp(list, word, n) == 0)
			return true;
		if (list[word_n] == '\0')
			return false;
	}
}

static bool
has_none_of(const char *list, const char *value)
{
	struct slice rest = slice_of(value, strlen(value)), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word))
		if (has_word(list, word.p, word.n))
			return false;
	return true;
}

static bool
is_harmless(const char *list, const char *value)
{
	if (*list == '!')
		return has_none_of(list + 1, value);
	for (;;) {
		size_t n = strcspn(list, "|");
		bool is_empty = n == 1 && *list == '-';

		if (is_same(list, is_empty ? 0 : n, value))
			return true;
		if (list[n] == '\0')
			return false;
		list += n + 1;
	}
}

void
foreign_judge(const struct foreign *foreign, const char *value, bool is_written,
    struct problems *problems)
{
	if (foreign->kind == FOREIGN_FINE || value == NULL)
		return;
	if (foreign->harmless == NULL ? !is_written
				      : is_harmless(foreign->harmless, value))
		return;
	if (foreign->kind == FOREIGN_REFUSE)
		problems_addf(problems,
		    "bad parameter: %s = %s: not supported by lane: %s",
		    foreign->name, value, foreign->about);
	else
		problems_warnf(problems,
		    "%s = %s: not supported by lane, without effect: %s",
		    foreign->name, value, foreign->about);
}

bool
foreign_is_of_queue_manager(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(queue_manager_endings) /
				   sizeof(queue_manager_endings[0]);
	     i++) {
		size_t len = strlen(queue_manager_endings[i]);

		if (n > len &&
		    strcmp(name + n - len, queue_manager_endings[i]) == 0)
			return true;
	}
	return false;
}
