#include "monitor/mastercf.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/slice.h"

#define BLANKS " \t\r\n"

static bool
next_word(struct slice *rest, struct slice *word_out)
{
	size_t n = 0, depth = 0;

	while (rest->n > 0 && strchr(BLANKS, rest->p[0]) != NULL)
		*rest = slice_of(rest->p + 1, rest->n - 1);
	for (; n < rest->n; n++) {
		if (rest->p[n] == '{')
			depth++;
		else if (rest->p[n] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(BLANKS, rest->p[n]) != NULL)
			break;
	}
	*word_out = slice_of(rest->p, n);
	*rest = slice_of(rest->p + n, rest->n - n);
	return n > 0;
}

bool
mastercf_parse(struct mastercf_entry *out, const char *line)
{
	struct slice rest = slice_str(line), word;
	size_t i = 0;

	*out =
	    (struct mastercf_entry){.words = mem_zalloc(sizeof(out->words[0]))};
	while (i < MASTERCF_FIELDS && next_word(&rest, &word))
		out->fields[i++] = mem_strndup(word.p, word.n);
	while (next_word(&rest, &word)) {
		out->words = mem_realloc(
		    out->words, (out->word_count + 2) * sizeof(out->words[0]));
		out->words[out->word_count++] = mem_strndup(word.p, word.n);
		out->words[out->word_count] = NULL;
	}
	if (out->word_count > 0)
		return true;
	mastercf_fini(out);
	return false;
}

void
mastercf_fini(struct mastercf_entry *entry)
{
	for (size_t i = 0; i < MASTERCF_FIELDS; i++)
		mem_free(entry->fields[i]);
	for (size_t i = 0; i < entry->word_count; i++)
		mem_free(entry->words[i]);
	mem_free(entry->words);
	*entry = (struct mastercf_entry){.words = NULL};
}

const char *
mastercf_program(const struct mastercf_entry *entry)
{
	const char *slash = strrchr(entry->words[0], '/');

	return slash != NULL ? slash + 1 : entry->words[0];
}

bool
mastercf_is_lane(const struct mastercf_entry *entry)
{
	if (strcmp(mastercf_program(entry), "lane") != 0)
		return false;
	for (size_t i = 1; i < entry->word_count; i++)
		if (strcmp(entry->words[i], "token") == 0)
			return false;
	return true;
}

bool
mastercf_is_yes(const struct mastercf_entry *entry, enum mastercf_field field,
    const char *compatibility_level)
{
	const char *text = entry->fields[field];

	if (strcmp(text, "-") != 0)
		return strcmp(text, "y") == 0;
	return field != MASTERCF_CHROOT ||
	       strtod(compatibility_level, NULL) < 1;
}
