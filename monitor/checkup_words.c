#include <stdio.h>
#include <string.h>

#include "agent/settings/assignment.h"
#include "agent/settings/options.h"
#include "agent/settings/slips.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

enum { ENTRY_MAX = 65536 };

/* An entry, word by word. */
struct reading {
	const struct site_lane *lane;
	struct buf told; /* what is wrong with its words */
	struct buf options, words; /* as they are to be */
	bool is_behind; /* an option stands behind a word */
	bool is_glued; /* -oname=value */
	bool is_unclear; /* what a word is for, or where a comment ends */
	bool has_comment;
};

static void
tell(struct reading *r, const struct slip *slip)
{
	char *text = slip_text(slip);

	(void)buf_addf(
	    &r->told, "%s%s", buf_len(&r->told) > 0 ? "; " : "", text);
	mem_free(text);
}

static void
add_option(struct reading *r, const char *dash, const char *text)
{
	r->is_behind = r->is_behind || buf_len(&r->words) > 0;
	r->is_unclear = r->is_unclear || r->has_comment;
	(void)buf_addf(&r->options, " %s%s", dash, text);
}

/* The words that it was. */
static size_t
read_option(struct reading *r, const char *text, char *const *more, size_t n)
{
	char *name = NULL, *value = NULL;
	struct slip slip;
	size_t used = 0;

	if (slip_find_option(&slip, text, more, n)) {
		tell(r, &slip);
		add_option(r, "-o ", slip.meant);
		used = slip.words;
		slip_fini(&slip);
		return used;
	}
	r->is_unclear = r->is_unclear || !assignment_split(text, &name, &value);
	mem_free(name);
	mem_free(value);
	add_option(r, "-o ", text);
	return 0;
}

static size_t
read_word(struct reading *r, const char *text, char *const *more, size_t n)
{
	struct slip slip;
	size_t used;

	if (slip_find_word(&slip, text, more, n)) {
		tell(r, &slip);
		if (slip.kind == SLIP_COMMENT)
			r->has_comment = true;
		else
			(void)buf_addf(&r->words, " %s", slip.meant);
		used = slip.words;
		slip_fini(&slip);
		return used;
	}
	if (slip_lacks_option(text)) {
		(void)buf_addf(&r->told,
		    "%sbad word: %s: must be class=name; a parameter is set "
		    "with -o %s",
		    buf_len(&r->told) > 0 ? "; " : "", text, text);
		add_option(r, "-o ", text);
		return 0;
	}
	r->is_unclear = r->is_unclear || strncmp(text, "class=", 6) != 0;
	(void)buf_addf(&r->words, " %s", text);
	return 0;
}

static void
read_entry(struct reading *r)
{
	const struct mastercf_entry *entry = &r->lane->entry;
	char *const *words = entry->words;
	size_t n = entry->word_count;

	for (size_t i = 1; i < n; i++) {
		if (strcmp(words[i], "-o") == 0 && i + 1 < n) {
			i += 1 + read_option(
				     r, words[i + 1], words + i + 2, n - i - 2);
		} else if (strncmp(words[i], "-o", 2) == 0 &&
			   words[i][2] != '\0') {
			r->is_glued = true;
			i += read_option(
			    r, words[i] + 2, words + i + 1, n - i - 1);
		} else if (words[i][0] == '-') {
			add_option(r, "", words[i]);
		} else {
			i += read_word(r, words[i], words + i + 1, n - i - 1);
		}
	}
}

/* The entry as it is to be; without a command where that is not known. */
static void
fix_entry(struct checkup *c, struct reading *r)
{
	const struct mastercf_entry *entry = &r->lane->entry;
	struct buf text;
	char *quoted;

	if (r->is_unclear) {
		findings_advise(&c->findings,
		    "write its entry in master.cf anew, each option as -o "
		    "name=value, and no comment behind one");
		return;
	}
	buf_init(&text, ENTRY_MAX);
	(void)buf_addf(&text, "%s/unix =", r->lane->opt.service_name);
	for (size_t i = 0; i < MASTERCF_FIELDS; i++)
		(void)buf_addf(&text, " %s", entry->fields[i]);
	(void)buf_addf(&text, " %s%s%s", entry->words[0], buf_str(&r->options),
	    buf_str(&r->words));
	quoted = findings_quoted(buf_str(&text));
	if (buf_ok(&text) && buf_ok(&r->options) && buf_ok(&r->words))
		findings_fix(
		    &c->findings, "postconf %s-M -e %s", c->conf, quoted);
	mem_free(quoted);
	buf_fini(&text);
}

void
checkup_words(struct checkup *c, const struct site_lane *lane)
{
	struct reading r = {.lane = lane};
	const char *service = lane->opt.service_name;

	buf_init(&r.told, ENTRY_MAX);
	buf_init(&r.options, ENTRY_MAX);
	buf_init(&r.words, ENTRY_MAX);
	read_entry(&r);
	if (buf_len(&r.told) > 0)
		findings_add(&c->findings, "ENTRY", FINDING_ERROR, service,
		    "%s: the lane defers its mail", buf_str(&r.told));
	else if (r.is_glued)
		findings_add(&c->findings, "ENTRY", FINDING_WARNING, service,
		    "-oname=value: it counts, but postconf cuts it at each "
		    "\"o\", and writes the pieces back when it changes the "
		    "entry: must be -o name=value");
	else if (r.is_behind && !r.is_unclear)
		findings_add(&c->findings, "OPTION-BEHIND-WORD",
		    FINDING_WARNING, service,
		    "-o stands behind class=...: it counts, but postconf -P "
		    "neither shows nor changes it there");
	if (buf_len(&r.told) > 0 || r.is_glued ||
	    (r.is_behind && !r.is_unclear))
		fix_entry(c, &r);
	buf_fini(&r.words);
	buf_fini(&r.options);
	buf_fini(&r.told);
}
