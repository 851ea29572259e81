#include "agent/tables/table.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "agent/tables/cidr_table.h"
#include "agent/tables/inline_table.h"
#include "agent/tables/pattern_table.h"
#include "agent/tables/table_name.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vault.h"

enum { ERROR_MAX = 500 };

struct entry {
	char *key;
	char *value; /* NULL: known to be absent */
};

enum table_kind {
	KIND_LISTED, /* entries are all there is */
	KIND_STATIC, /* the same answer to every key, in entries[0] */
	KIND_RANDOM, /* any of the values in entries */
	KIND_PATTERNS, /* regexp and pcre, evaluated here */
	KIND_CIDR,
	KIND_UNION, /* the values that parts have, with commas between */
	KIND_PIPE, /* the value of a part is the next one's key */
	KIND_ASKED, /* entries are what was preloaded; else proxymap */
	KIND_FAIL, /* of type fail: no answer to any key */
	KIND_BAD, /* error says why */
};

struct table {
	enum table_kind kind;
	char *name; /* "type:name" */
	char *shown; /* the same without the values of inline: and its like */
	const char *postmap, *config_directory;
	bool is_pattern; /* asked for whole keys, as they are */
	struct entry *entries; /* sorted by key, except while loading */
	size_t count;
	struct vault *vault; /* of their values; NULL: they are as others */
	struct pattern_table *patterns;
	struct cidr_table *networks;
	struct table **parts; /* KIND_UNION, KIND_PIPE */
	size_t part_count;
	char *error; /* KIND_ASKED: postmap could not ask it at start */
};

static void
free_secret(char *text)
{
	if (text != NULL)
		mem_wipe(text, strlen(text));
	mem_free(text);
}

static void
add_entry(struct table *t, char *key, char *value)
{
	/* Doubling: a copy for each entry would be slow with large tables. */
	if ((t->count & (t->count - 1)) == 0)
		t->entries = mem_realloc(t->entries,
		    (t->count > 0 ? t->count * 2 : 1) * sizeof(t->entries[0]));
	t->entries[t->count++] = (struct entry){key, value};
}

static int
compare(const void *a, const void *b)
{
	return strcmp(
	    ((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static void
sort(struct table *t)
{
	if (t->count > 1)
		qsort(t->entries, t->count, sizeof(t->entries[0]), compare);
}

static const struct entry *
lookup(const struct table *t, const char *key)
{
	union {
		const char *in;
		char *out;
	} name = {key};
	struct entry probe = {name.out, NULL};

	return t->count == 0 ? NULL
			     : bsearch(&probe, t->entries, t->count,
				   sizeof(t->entries[0]), compare);
}

static char *
fold(const char *key)
{
	char *copy = mem_strdup(key);

	for (char *p = copy; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return copy;
}

/* One line of what postmap said; never its standard output. */
static void
set_error(struct table *t, struct command_output_result *run)
{
	struct slice said = buf_slice(&run->err);
	size_t n = said.n < ERROR_MAX ? said.n : ERROR_MAX;

	/* It repeats what it does not like. */
	if (table_name_has_values(t->name))
		n = 0;
	while (n > 0 && isspace((unsigned char)said.p[n - 1]))
		n--;
	mem_free(t->error);
	t->error = n > 0 ? mem_strndup(said.p, n)
			 : mem_printf("postmap: exit status %d", run->status);
	for (char *p = t->error; *p != '\0'; p++)
		if (*p == '\n')
			*p = ';';
}

/* Status 1 alone means "nothing there"; warnings (a bad line in a table) do
 * not make it an error, as they do not for smtp(8). */
static bool
has_failed(struct command_output_result *run)
{
	const char *err = buf_str(&run->err);

	return !buf_ok(&run->out) || run->status < 0 || run->status > 1 ||
	       (run->status == 1 && (strstr(err, "fatal:") != NULL ||
					strstr(err, "error:") != NULL));
}

static void
load_lines(struct table *t, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		const char *tab = memchr(text, '\t', n);

		if (tab != NULL)
			add_entry(t, mem_strndup(text, (size_t)(tab - text)),
			    mem_strndup(tab + 1, n - (size_t)(tab - text) - 1));
		text += n + (text[n] == '\n');
	}
	sort(t);
}

/* Its own files are read to the end, however long that takes. */
static void
run_postmap(struct command_output_result *run, const struct table *t,
    const char *option, const char *key)
{
	const char *argv[8];
	size_t n = 0;

	argv[n++] = t->postmap;
	if (t->config_directory != NULL && t->config_directory[0] != '\0') {
		argv[n++] = "-c";
		argv[n++] = t->config_directory;
	}
	argv[n++] = option;
	if (key != NULL)
		argv[n++] = key;
	argv[n++] = t->name;
	argv[n] = NULL;
	if (key == NULL)
		command_output_run(run, argv);
	else
		command_output_try(run, argv, -1, TABLE_ASK_LIMIT_MS);
}

static void
load_all(struct table *t)
{
	struct command_output_result run;

	run_postmap(&run, t, "-s", NULL);
	t->kind = has_failed(&run) ? KIND_BAD : KIND_LISTED;
	if (t->kind == KIND_BAD)
		set_error(t, &run);
	else
		load_lines(t, buf_str(&run.out));
	command_output_fini(&run);
}

/* Asks for one key; the answer, or its absence, becomes an entry. */
static void
load_key(struct table *t, const char *key)
{
	struct command_output_result run;
	struct slice out;

	run_postmap(&run, t, "-q", key);
	out = buf_slice(&run.out);
	while (out.n > 0 && out.p[out.n - 1] == '\n')
		out.n--;
	/* What cannot be asked now may be later, by proxymap. */
	if (has_failed(&run)) {
		set_error(t, &run);
		log_warn("table %s: %s", t->shown, t->error);
	} else {
		add_entry(t, mem_strdup(key),
		    run.status == 0 ? mem_strndup(out.p, out.n) : NULL);
	}
	command_output_fini(&run);
}

static void
set_bad(struct table *t, const char *why)
{
	t->kind = KIND_BAD;
	t->error = mem_strdup(why);
}

/* The last value of a key counts. */
static void
add_inline(void *ctx, const char *key, const char *value)
{
	struct table *t = ctx;
	char *folded = fold(key);

	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->entries[i].key, folded) == 0) {
			free_secret(t->entries[i].value);
			t->entries[i].value = mem_strdup(value);
			free_secret(folded);
			return;
		}
	add_entry(t, folded, mem_strdup(value));
}

static void
load_inline(struct table *t, const char *text)
{
	const char *why = "";

	t->kind = KIND_LISTED;
	if (!inline_entries(text, add_inline, t, &why))
		set_bad(t, why);
	sort(t);
}

static void
load_static(struct table *t, const char *text)
{
	const char *why = "";
	char *value = inline_static(text, &why);

	t->kind = KIND_STATIC;
	if (value == NULL)
		set_bad(t, why);
	else
		add_entry(t, mem_strdup("any"), value);
}

/* False: errno says why. */
static bool
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char part[8192];
	ssize_t n;
	int saved;

	if (fd < 0)
		return false;
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(out, sizeof(part) * 8);
	while ((n = read(fd, part, sizeof(part))) > 0)
		if (!buf_add(out, part, (size_t)n)) {
			errno = EFBIG;
			n = -1;
			break;
		}
	saved = errno;
	(void)close(fd);
	mem_wipe(part, sizeof(part));
	errno = saved;
	return n == 0;
}

static void
compile(struct table *t, const char *path, struct slice text)
{
	bool is_pcre = strncmp(t->name, "pcre:", 5) == 0;
	char error[PATTERN_ERROR_SIZE] = "";

	if (strncmp(t->name, "cidr:", 5) == 0) {
		t->kind = KIND_CIDR;
		t->networks = cidr_table_new(path, text, error, sizeof(error));
	} else {
		t->kind = KIND_PATTERNS;
		t->patterns =
		    pattern_table_new(is_pcre ? PATTERN_PCRE : PATTERN_REGEXP,
			path, text, error, sizeof(error));
	}
	if (t->networks == NULL && t->patterns == NULL)
		set_bad(t, error);
}

static void
load_rules(struct table *t, const char *path)
{
	const char *why = "";
	struct buf text;
	char *rules;

	if (*path == '{') {
		rules = inline_rules(path, &why);
		if (rules == NULL) {
			set_bad(t, why);
			return;
		}
		compile(t, t->shown, slice_str(rules));
		free_secret(rules);
		return;
	}
	buf_init(&text, PATTERN_TEXT_MAX);
	if (read_file(path, &text)) {
		compile(t, path, buf_slice(&text));
	} else {
		t->kind = KIND_BAD;
		t->error = mem_printf("open %s: %s", path, strerror(errno));
	}
	buf_fini_secret(&text);
}

static void
load_random(struct table *t, const char *text)
{
	const char *why = "";
	char *list = inline_list(text, &why), *item;
	const char *p = list;

	t->kind = KIND_RANDOM;
	while (list != NULL && (item = inline_next(&p)) != NULL)
		add_entry(t, mem_strdup("any"), item);
	if (list == NULL || t->count == 0)
		set_bad(t, list == NULL ? why : "the table is empty");
	free_secret(list);
}

/* What one part lacks they all do: smtp(8) does not start without. */
static void
add_part(struct table *t, char *name)
{
	struct table *part = table_open(name, t->postmap, t->config_directory);

	t->parts =
	    mem_realloc(t->parts, (t->part_count + 1) * sizeof(t->parts[0]));
	t->parts[t->part_count++] = part;
	if (part->kind == KIND_BAD && t->error == NULL)
		t->error = mem_printf("%s: %s", part->shown, part->error);
}

static void
load_parts(struct table *t, enum table_kind kind, const char *text)
{
	const char *why = "";
	char *list = inline_list(text, &why), *item;
	const char *p = list;

	t->kind = kind;
	while (list != NULL && (item = inline_next(&p)) != NULL)
		add_part(t, item);
	if (t->error != NULL)
		t->kind = KIND_BAD;
	else if (list == NULL || t->part_count == 0)
		set_bad(t, list == NULL ? why : "it lists no tables");
	free_secret(list);
}

static void
load_asked(struct table *t, const char *rest)
{
	t->kind = KIND_ASKED;
	if (!table_name_is_proxied(t->name) && strchr(rest, '{') != NULL)
		set_bad(t, "values in the name of a table of this type would "
			   "be seen by all users: put them into a file");
}

static bool
is_listed(const char *type)
{
	static const char *const listed[] = {
	    "hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash"};

	for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++)
		if (strcmp(listed[i], type) == 0)
			return true;
	return false;
}

static void
open_contents(struct table *t, const char *type, const char *rest)
{
	if (is_listed(type))
		load_all(t);
	else if (strcmp(type, "inline") == 0)
		load_inline(t, rest);
	else if (strcmp(type, "static") == 0)
		load_static(t, rest);
	else if (strcmp(type, "randmap") == 0)
		load_random(t, rest);
	else if (strcmp(type, "regexp") == 0 || strcmp(type, "pcre") == 0 ||
		 strcmp(type, "cidr") == 0)
		load_rules(t, rest);
	else if (strcmp(type, "unionmap") == 0)
		load_parts(t, KIND_UNION, rest);
	else if (strcmp(type, "pipemap") == 0)
		load_parts(t, KIND_PIPE, rest);
	else if (strcmp(type, "fail") == 0)
		t->kind = KIND_FAIL;
	else if (table_name_is_known(type))
		load_asked(t, rest);
	else
		set_bad(t, "unsupported dictionary type");
}

struct table *
table_open(char *name, const char *postmap, const char *config_directory)
{
	struct table *t = mem_zalloc(sizeof(*t));
	const char *colon = strchr(name, ':');
	char *type, *asked_as;

	*t = (struct table){.name = name,
	    .shown = table_name_shown(name),
	    .postmap = postmap,
	    .config_directory = config_directory};
	if (colon == NULL || colon == name || colon[1] == '\0') {
		set_bad(t, "must be type:name");
		return t;
	}
	type = mem_strndup(name, (size_t)(colon - name));
	asked_as = table_name_type(name);
	t->is_pattern = table_name_is_pattern(asked_as);
	open_contents(t, type, colon + 1);
	mem_free(type);
	mem_free(asked_as);
	return t;
}

static bool
move_values(struct table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++)
		if (t->entries[i].value != NULL)
			n += strlen(t->entries[i].value) + 1;
	t->vault = vault_new(n);
	if (t->vault == NULL)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		char *value = t->entries[i].value;

		if (value == NULL)
			continue;
		t->entries[i].value = vault_put(t->vault, value);
		free_secret(value);
	}
	return vault_lock(t->vault);
}

bool
table_keep_in_memory(struct table *t)
{
	bool is_good;

	CHECK(t->vault == NULL);
	is_good = move_values(t);
	for (size_t i = 0; i < t->part_count; i++)
		is_good = table_keep_in_memory(t->parts[i]) && is_good;
	return is_good;
}

void
table_close(struct table **table)
{
	struct table *t = *table;

	*table = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		free_secret(t->entries[i].key);
		if (!vault_holds(t->vault, t->entries[i].value))
			free_secret(t->entries[i].value);
	}
	vault_free(&t->vault);
	for (size_t i = 0; i < t->part_count; i++)
		table_close(&t->parts[i]);
	mem_free(t->entries);
	mem_free(t->parts);
	pattern_table_free(&t->patterns);
	cidr_table_free(&t->networks);
	free_secret(t->name);
	mem_free(t->shown);
	mem_free(t->error);
	mem_free(t);
}

const char *
table_shown(const struct table *t)
{
	return t->shown;
}

const char *
table_proxied_name(const struct table *t)
{
	return table_name_is_proxied(t->name) ? t->name + strlen("proxy:")
					      : t->name;
}

const char *
table_bad(const struct table *t)
{
	return t->kind == KIND_BAD ? t->error : NULL;
}

const char *
table_unasked(const struct table *t)
{
	const char *error = t->kind == KIND_ASKED ? t->error : NULL;

	for (size_t i = 0; error == NULL && i < t->part_count; i++)
		error = table_unasked(t->parts[i]);
	return error;
}

bool
table_keeps_case(const struct table *t)
{
	return t->is_pattern;
}

bool
table_each(const struct table *t, table_entry_fn *fn, void *ctx)
{
	for (size_t i = 0; t->kind == KIND_LISTED && i < t->count; i++)
		fn(ctx, t->entries[i].key, t->entries[i].value);
	return t->kind == KIND_LISTED;
}

static char *
key_for(const struct table *t, const char *key)
{
	return t->is_pattern ? mem_strdup(key) : fold(key);
}

static void
preload_one(struct table *t, const char *key)
{
	char *wanted;

	/* Each attempt may take its time, as with a dead server. */
	if (table_name_is_proxied(t->name) || t->error != NULL)
		return;
	wanted = key_for(t, key);
	if (lookup(t, wanted) == NULL) {
		load_key(t, wanted);
		sort(t);
	}
	free_secret(wanted);
}

/* Each part is asked for what the one before gives. */
static void
preload_pipe(struct table *t, const char *key)
{
	enum table_answer answer = TABLE_FOUND;
	char *at = mem_strdup(key), error[TABLE_ERROR_SIZE];
	struct buf value;

	buf_init(&value, PATTERN_RESULT_MAX);
	for (size_t i = 0; answer == TABLE_FOUND && i < t->part_count; i++) {
		table_preload(t->parts[i], at);
		buf_wipe(&value);
		answer = table_find(
		    t->parts[i], at, false, &value, error, sizeof(error));
		free_secret(at);
		at = mem_strdup(buf_str(&value));
	}
	free_secret(at);
	buf_fini_secret(&value);
}

bool
table_is_whole(const struct table *t)
{
	for (size_t i = 0; i < t->part_count; i++)
		if (!table_is_whole(t->parts[i]))
			return false;
	return t->kind != KIND_ASKED;
}

void
table_preload(struct table *t, const char *key)
{
	if (t->kind == KIND_ASKED)
		preload_one(t, key);
	else if (t->kind == KIND_PIPE)
		preload_pipe(t, key);
	for (size_t i = 0; t->kind == KIND_UNION && i < t->part_count; i++)
		table_preload(t->parts[i], key);
}

static enum table_answer
match(struct table *t, const char *key, struct buf *value, char *error,
    size_t error_size)
{
	switch (
	    pattern_table_find(t->patterns, key, value, error, error_size)) {
	case PATTERN_FOUND:
		return TABLE_FOUND;
	case PATTERN_NONE:
		return TABLE_NONE;
	case PATTERN_ERROR:
		break;
	}
	return TABLE_ERROR;
}

static enum table_answer
find_in_union(struct table *t, const char *key, struct buf *value, char *error,
    size_t error_size)
{
	enum table_answer result = TABLE_NONE;
	struct buf one;

	buf_init(&one, PATTERN_RESULT_MAX);
	for (size_t i = 0; i < t->part_count; i++) {
		enum table_answer answer;

		buf_wipe(&one);
		answer = table_find(
		    t->parts[i], key, false, &one, error, error_size);
		if (answer == TABLE_ERROR || answer == TABLE_ASK) {
			result = answer;
			break;
		}
		if (answer == TABLE_NONE)
			continue;
		if (buf_len(value) > 0)
			(void)buf_add_char(value, ',');
		(void)buf_add_slice(value, buf_slice(&one));
		result = TABLE_FOUND;
	}
	buf_fini_secret(&one);
	return result;
}

static enum table_answer
find_in_pipe(struct table *t, const char *key, struct buf *value, char *error,
    size_t error_size)
{
	enum table_answer result = TABLE_FOUND;
	char *at = mem_strdup(key);

	for (size_t i = 0; result == TABLE_FOUND && i < t->part_count; i++) {
		buf_wipe(value);
		result = table_find(
		    t->parts[i], at, false, value, error, error_size);
		free_secret(at);
		at = mem_strdup(buf_str(value));
	}
	free_secret(at);
	return result;
}

/* The value, or "" where there is none (a choice, or an absent key). */
static enum table_answer
give(const struct entry *e, struct buf *value)
{
	if (e == NULL || e->value == NULL)
		return TABLE_NONE;
	(void)buf_add_str(value, e->value);
	return TABLE_FOUND;
}

static enum table_answer
find_network(const struct table *t, const char *key, struct buf *value)
{
	const char *found = cidr_table_find(t->networks, key);

	if (found == NULL)
		return TABLE_NONE;
	(void)buf_add_str(value, found);
	return TABLE_FOUND;
}

static const struct entry *
any_of(const struct table *t)
{
	uint32_t number = 0;

	CHECK(t->count > 0);
	/* Without random numbers it is the first. */
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = 0;
	return &t->entries[number % t->count];
}

static enum table_answer
find_entry(struct table *t, const char *key, struct buf *value)
{
	char *wanted = key_for(t, key);
	const struct entry *e = lookup(t, wanted);
	enum table_answer answer = give(e, value);

	free_secret(wanted);
	return e == NULL && t->kind == KIND_ASKED ? TABLE_ASK : answer;
}

enum table_answer
table_find(struct table *t, const char *key, bool is_partial, struct buf *value,
    char *error, size_t error_size)
{
	if (t->is_pattern && is_partial)
		return TABLE_NONE;
	switch (t->kind) {
	case KIND_STATIC:
		return give(t->entries, value);
	case KIND_RANDOM:
		return give(any_of(t), value);
	case KIND_PATTERNS:
		return match(t, key, value, error, error_size);
	case KIND_CIDR:
		return find_network(t, key, value);
	case KIND_UNION:
		return find_in_union(t, key, value, error, error_size);
	case KIND_PIPE:
		return find_in_pipe(t, key, value, error, error_size);
	case KIND_LISTED:
	case KIND_ASKED:
		return find_entry(t, key, value);
	case KIND_FAIL:
	case KIND_BAD:
		break;
	}
	(void)snprintf(error, error_size, "%s",
	    t->error != NULL ? t->error : "it never answers");
	return TABLE_ERROR;
}
