#include "agent/settings/reply_examples.h"

#include <ctype.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/words.h"

static bool
is_reply(struct slice s)
{
	return s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '5' &&
	       isdigit((unsigned char)s.p[1]) &&
	       isdigit((unsigned char)s.p[2]) &&
	       (s.n == 3 || s.p[3] == ' ' || s.p[3] == '-');
}

/* Bit per stage; 0: a name is wrong. */
static unsigned
read_stages(struct slice all)
{
	unsigned stages = 0;

	while (all.n > 0) {
		const char *comma = memchr(all.p, ',', all.n);
		size_t n = comma != NULL ? (size_t)(comma - all.p) : all.n;
		enum rule_stage stage;

		if (!rule_stage_find(slice_of(all.p, n), &stage))
			return 0;
		stages |= 1U << stage;
		all = comma != NULL ? slice_of(comma + 1, all.n - n - 1)
				    : slice_of(NULL, 0);
	}
	return stages;
}

/* What is wrong with the line, or NULL. */
static const char *
read_line(struct slice rest, unsigned *stages, struct slice *word,
    struct slice *reply)
{
	struct slice names;

	if (!words_next(&rest, &names) || !words_next(&rest, word))
		return "the stages, the outcome or the reply is missing";
	*reply = words_trim(rest);
	*stages = read_stages(names);
	if (*stages == 0)
		return "bad stage";
	if (!judgement_word_is_valid(*word))
		return "bad outcome";
	return is_reply(*reply) ? NULL : "bad reply: it begins with its code";
}

bool
reply_examples_each(const char *file, struct slice text, reply_example_fn *fn,
    void *ctx, struct buf *errors)
{
	struct lines lines = lines_of(text);
	struct slice line, word, reply;
	bool is_good = true;

	while (lines_next(&lines, &line)) {
		struct slice rest = line, first;
		unsigned stages = 0;
		const char *wrong;
		char *w, *r;

		if (words_next(&rest, &first) && slice_eq(first, "provider"))
			continue;
		wrong = read_line(line, &stages, &word, &reply);
		if (wrong != NULL) {
			(void)buf_addf(errors, "%s:%d: %s: %.*s\n", file,
			    lines.number, wrong, line.n > 60 ? 60 : (int)line.n,
			    line.p);
			is_good = false;
			continue;
		}
		w = mem_strndup(word.p, word.n);
		r = mem_strndup(reply.p, reply.n);
		for (int i = 0; i < RULE_STAGES; i++)
			if ((stages & 1U << i) != 0)
				fn(ctx, lines.number, (enum rule_stage)i, w, r);
		mem_free(w);
		mem_free(r);
	}
	return is_good;
}

struct slice
reply_examples_provider(struct slice text)
{
	struct lines lines = lines_of(text);
	struct slice line, word;

	while (lines_next(&lines, &line))
		if (words_next(&line, &word) && slice_eq(word, "provider"))
			return words_trim(line);
	return slice_of("", 0);
}
