#include "agent/tables/maps.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/settings/config.h"
#include "agent/io/command_output.h"
#include "agent/tables/inline_table.h"
#include "agent/tables/pattern_table.h"
#include "agent/tables/proxymap.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { ERROR_MAX = 500 };

struct entry {
	char *key;
	char *value; /* NULL: known to be absent */
};

enum table_kind {
	TABLE_LISTED, /* entries are all there is */
	TABLE_STATIC, /* the same answer to every key, in entries[0] */
	TABLE_PATTERNS, /* regexp and pcre, evaluated here */
	TABLE_ASKED, /* entries are what was preloaded; else proxymap */
	TABLE_BAD, /* error says why */
};

struct table {
	enum table_kind kind;
	char *name; /* "type:name" */
	char *shown; /* the same without the values of inline: and its like */
	bool is_pattern; /* asked for whole keys, as they are; see maps_find */
	bool is_cidr; /* asked for addresses only */
	struct entry *entries; /* sorted by key, except while loading */
	size_t count;
	struct pattern_table *patterns;
	char *error; /* TABLE_ASKED: postmap could not ask it at start */
};

struct maps {
	struct maps_env env;
	char *postmap;
	struct proxymap *proxymap;
	struct table *tables;
	size_t count;
};

struct maps_query {
	struct maps *maps;
	size_t at; /* table being asked */
	char *key, *folded;
	bool is_partial;
	maps_fn *fn;
	void *ctx;
	struct proxymap_query *pending;
};

void
maps_env_init(
    struct maps_env *env, struct loop *loop, const struct settings *set)
{
	*env = (struct maps_env){
	    .loop = loop,
	    .config_directory = set->config_directory,
	    .command_directory = set->command_directory,
	    .proxymap_path = "private/proxymap",
	    .mail_version = set->mail_version,
	    .timeout_ms = set->ipc_timeout_ms,
	};
	/* An hour, Postfix's own limit, would hold mail for that long. */
	if (env->timeout_ms > 60000)
		env->timeout_ms = 60000;
}

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

static bool
is_one_of(const char *type, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, type) == 0)
			return true;
	return false;
}

/* inline:{...}, static:..., unionmap:{...} and so on have values, passwords
 * perhaps, in their name. */
static bool
has_values(const char *name)
{
	return strchr(name, '{') != NULL || strstr(name, "static:") != NULL;
}

static char *
show(const char *name)
{
	size_t type = strcspn(name, ":");

	if (!has_values(name))
		return mem_strdup(name);
	if (strncmp(name, "proxy:", 6) == 0)
		type += 1 + strcspn(name + 6, ":");
	return mem_printf("%.*s:...", (int)type, name);
}

/* One line of what postmap said; never its standard output. */
static void
set_error(struct table *t, struct command_output_result *run)
{
	struct slice said = buf_slice(&run->err);
	size_t n = said.n < ERROR_MAX ? said.n : ERROR_MAX;

	/* It repeats what it does not like. */
	if (has_values(t->name))
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

static void
run_postmap(struct command_output_result *run, const struct maps *maps,
    const char *option, const char *key, const struct table *t)
{
	const char *argv[8];
	size_t n = 0;

	argv[n++] = maps->postmap;
	if (maps->env.config_directory != NULL &&
	    maps->env.config_directory[0] != '\0') {
		argv[n++] = "-c";
		argv[n++] = maps->env.config_directory;
	}
	argv[n++] = option;
	if (key != NULL)
		argv[n++] = key;
	argv[n++] = t->name;
	argv[n] = NULL;
	command_output_run(run, argv);
}

static void
load_all(const struct maps *maps, struct table *t)
{
	struct command_output_result run;

	run_postmap(&run, maps, "-s", NULL, t);
	t->kind = has_failed(&run) ? TABLE_BAD : TABLE_LISTED;
	if (t->kind == TABLE_BAD)
		set_error(t, &run);
	else
		load_lines(t, buf_str(&run.out));
	command_output_fini(&run);
}

/* Asks for one key; the answer, or its absence, becomes an entry. */
static void
load_key(const struct maps *maps, struct table *t, const char *key)
{
	struct command_output_result run;
	struct slice out;

	run_postmap(&run, maps, "-q", key, t);
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
	t->kind = TABLE_BAD;
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

	t->kind = TABLE_LISTED;
	if (!inline_entries(text, add_inline, t, &why))
		set_bad(t, why);
	sort(t);
}

static void
load_static(struct table *t, const char *text)
{
	const char *why = "";
	char *value = inline_static(text, &why);

	t->kind = TABLE_STATIC;
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
compile(struct table *t, enum pattern_kind kind, const char *path,
    struct slice text)
{
	char error[PATTERN_ERROR_SIZE] = "";

	t->kind = TABLE_PATTERNS;
	t->patterns = pattern_table_new(kind, path, text, error, sizeof(error));
	if (t->patterns == NULL)
		set_bad(t, error);
}

static void
load_patterns(struct table *t, enum pattern_kind kind, const char *path)
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
		compile(t, kind, t->shown, slice_str(rules));
		free_secret(rules);
		return;
	}
	buf_init(&text, PATTERN_TEXT_MAX);
	if (read_file(path, &text)) {
		compile(t, kind, path, buf_slice(&text));
	} else {
		t->kind = TABLE_BAD;
		t->error = mem_printf("open %s: %s", path, strerror(errno));
	}
	buf_fini_secret(&text);
}

/* The type of "type:name"; of unionmap and pipemap that of the first table
 * inside, which decides how they are asked. */
static char *
type_of(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, ":");
		const char *rest = name + n + (name[n] == ':');

		if (strncmp(name, "proxy:", 6) != 0 &&
		    strncmp(name, "unionmap:", 9) != 0 &&
		    strncmp(name, "pipemap:", 8) != 0)
			return mem_strndup(name, n);
		name = rest + strspn(rest, "{, \t\r\n");
	}
}

static bool
is_proxied(const struct table *t)
{
	return strncmp(t->name, "proxy:", 6) == 0;
}

static void
open_table(const struct maps *maps, struct table *t)
{
	static const char *const listed[] = {
	    "hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", NULL};
	/* DICT_FLAG_PATTERN in Postfix. */
	static const char *const patterns[] = {"regexp", "pcre", "cidr", "fail",
	    "randmap", "tcp", "socketmap", NULL};
	char *asked_as = type_of(t->name);
	char *type = mem_strndup(t->name, strcspn(t->name, ":"));
	const char *rest = t->name + strlen(type) + 1;

	t->is_pattern = is_one_of(asked_as, patterns);
	t->is_cidr = strcmp(type, "cidr") == 0;
	t->kind = TABLE_ASKED;
	if (is_one_of(type, listed))
		load_all(maps, t);
	else if (strcmp(type, "inline") == 0)
		load_inline(t, rest);
	else if (strcmp(type, "static") == 0)
		load_static(t, rest);
	else if (strcmp(type, "regexp") == 0)
		load_patterns(t, PATTERN_REGEXP, rest);
	else if (strcmp(type, "pcre") == 0)
		load_patterns(t, PATTERN_PCRE, rest);
	mem_free(type);
	mem_free(asked_as);
}

static void
add_table(
    struct maps *maps, char *name, const char *param, struct problems *problems)
{
	struct table *t;

	maps->tables = mem_realloc(
	    maps->tables, (maps->count + 1) * sizeof(maps->tables[0]));
	t = &maps->tables[maps->count++];
	*t = (struct table){.name = name, .shown = show(name)};
	if (strchr(name, ':') == NULL || strchr(name, ':') == name ||
	    strchr(name, ':')[1] == '\0')
		set_bad(t, "allowed is type:name");
	else
		open_table(maps, t);
	if (t->kind == TABLE_BAD && problems != NULL)
		problems_addf(problems, "bad parameter: %s = %s: %s", param,
		    t->shown, t->error);
}

struct maps *
maps_open(const struct maps_env *env, const char *param, const char *list,
    struct problems *problems)
{
	struct maps *maps = mem_zalloc(sizeof(*maps));

	maps->env = *env;
	maps->postmap = config_command(env->command_directory, "postmap");
	for (;;) {
		size_t n;

		list += strspn(list, ", \t\r\n");
		n = inline_item_length(list);
		if (n == 0)
			break;
		add_table(maps, mem_strndup(list, n), param, problems);
		list += n;
	}
	if (maps->count > 0 && env->loop != NULL)
		maps->proxymap = proxymap_new(env->loop, env->proxymap_path,
		    env->mail_version, env->timeout_ms);
	return maps;
}

static void
table_fini(struct table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free_secret(t->entries[i].key);
		free_secret(t->entries[i].value);
	}
	mem_free(t->entries);
	pattern_table_free(&t->patterns);
	free_secret(t->name);
	mem_free(t->shown);
	mem_free(t->error);
}

void
maps_close(struct maps **maps)
{
	struct maps *m = *maps;

	*maps = NULL;
	if (m == NULL)
		return;
	proxymap_free(&m->proxymap);
	for (size_t i = 0; i < m->count; i++)
		table_fini(&m->tables[i]);
	mem_free(m->tables);
	mem_free(m->postmap);
	mem_free(m);
}

bool
maps_is_empty(const struct maps *maps)
{
	return maps->count == 0;
}

bool
maps_each(
    const struct maps *maps, maps_each_fn *fn, void *ctx, char **error_out)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct table *t = &maps->tables[i];

		if (t->kind != TABLE_LISTED) {
			*error_out = mem_printf("%s: %s", t->shown,
			    t->kind == TABLE_BAD
				? t->error
				: "this type of table cannot be listed");
			return false;
		}
		for (size_t k = 0; k < t->count; k++)
			fn(ctx, t->name, t->entries[k].key,
			    t->entries[k].value);
	}
	return true;
}

void
maps_each_key(const struct maps *maps, maps_key_fn *fn, void *ctx)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct table *t = &maps->tables[i];

		for (size_t k = 0; t->kind == TABLE_LISTED && k < t->count; k++)
			fn(ctx, t->entries[k].key);
	}
}

char *
maps_names(const struct maps *maps)
{
	char *names = mem_strdup("");

	for (size_t i = 0; i < maps->count; i++) {
		char *longer = mem_printf(
		    "%s%s%s", names, i > 0 ? ", " : "", maps->tables[i].shown);

		mem_free(names);
		names = longer;
	}
	return names;
}

void
maps_preload(struct maps *maps, const char *key)
{
	char *folded = fold(key);

	for (size_t i = 0; i < maps->count; i++) {
		struct table *t = &maps->tables[i];
		const char *wanted = t->is_pattern ? key : folded;

		/* Each attempt may take a minute, as with a dead server. */
		if (t->kind != TABLE_ASKED || is_proxied(t) ||
		    t->error != NULL || lookup(t, wanted) != NULL)
			continue;
		load_key(maps, t, wanted);
		sort(t);
	}
	mem_free(folded);
}

static void
query_free(struct maps_query *q)
{
	free_secret(q->key);
	free_secret(q->folded);
	mem_free(q);
}

/* The last words of a query. */
static void
finish(struct maps_query *q, enum maps_result result, const char *value,
    const char *error)
{
	maps_fn *fn = q->fn;
	void *ctx = q->ctx;

	query_free(q);
	fn(ctx, result, value, error);
}

static void
finish_error(struct maps_query *q, const char *error)
{
	char *text =
	    mem_printf("table %s: %s", q->maps->tables[q->at].shown, error);

	finish(q, MAPS_ERROR, NULL, text);
	mem_free(text);
}

/* As in Postfix: whoever has no answer must not give an empty one. */
static void
finish_found(struct maps_query *q, const char *value)
{
	if (*value == '\0')
		finish_error(q, "it gives an empty result");
	else
		finish(q, MAPS_FOUND, value, NULL);
}

static bool search(struct maps_query *q);

/* What postmap said at start may be what is wrong. */
static void
finish_unasked(struct maps_query *q, const char *error)
{
	const struct table *t = &q->maps->tables[q->at];
	char *text = t->error != NULL
			 ? mem_printf("%s (at start: %s)", error, t->error)
			 : mem_strdup(error);

	finish_error(q, text);
	mem_free(text);
}

static void
on_proxymap(void *ctx, enum proxymap_result result, const char *text)
{
	struct maps_query *q = ctx;

	q->pending = NULL;
	switch (result) {
	case PROXYMAP_FOUND:
		finish_found(q, text);
		break;
	case PROXYMAP_NOT_FOUND:
		q->at++;
		(void)search(q);
		break;
	case PROXYMAP_ERROR:
		finish_unasked(q, text);
		break;
	}
}

static void
ask(struct maps_query *q, const struct table *t, const char *key)
{
	q->pending = proxymap_ask(q->maps->proxymap,
	    is_proxied(t) ? t->name + strlen("proxy:") : t->name, key,
	    on_proxymap, q);
}

/* true when that finished (and freed) q. */
static bool
match(struct maps_query *q, struct table *t)
{
	char error[PATTERN_ERROR_SIZE] = "";
	enum pattern_result result;
	struct buf value;

	buf_init(&value, PATTERN_RESULT_MAX);
	result = pattern_table_find(
	    t->patterns, q->key, &value, error, sizeof(error));
	if (result == PATTERN_FOUND)
		finish_found(q, buf_str(&value));
	else if (result == PATTERN_ERROR)
		finish_error(q, error);
	buf_fini_secret(&value);
	return result != PATTERN_NONE;
}

static bool
is_address(const char *key)
{
	unsigned char octets[16];

	return inet_pton(AF_INET, key, octets) == 1 ||
	       inet_pton(AF_INET6, key, octets) == 1;
}

enum step { STEP_OVER, STEP_WAITS, STEP_NEXT };

/* What one table has to say; STEP_OVER: q was finished (and freed). */
static enum step
search_one(struct maps_query *q, struct table *t)
{
	const char *key = t->is_pattern ? q->key : q->folded;
	const struct entry *e;

	if (t->is_pattern && q->is_partial)
		return STEP_NEXT;
	if (t->kind == TABLE_BAD) {
		finish_error(q, t->error);
		return STEP_OVER;
	}
	if (t->kind == TABLE_PATTERNS)
		return match(q, t) ? STEP_OVER : STEP_NEXT;
	e = t->kind == TABLE_STATIC ? t->entries : lookup(t, key);
	if (e != NULL && e->value != NULL) {
		finish_found(q, e->value);
		return STEP_OVER;
	}
	if (t->kind != TABLE_ASKED || e != NULL ||
	    (t->is_cidr && !is_address(key)))
		return STEP_NEXT;
	if (q->maps->proxymap != NULL) {
		ask(q, t, key);
		return STEP_WAITS;
	}
	finish_unasked(q, "it was not read at start");
	return STEP_OVER;
}

/* Goes on from table q->at; true when q was finished (and freed). */
static bool
search(struct maps_query *q)
{
	for (; q->at < q->maps->count; q->at++) {
		enum step step = search_one(q, &q->maps->tables[q->at]);

		if (step != STEP_NEXT)
			return step == STEP_OVER;
	}
	finish(q, MAPS_NOT_FOUND, NULL, NULL);
	return true;
}

static struct maps_query *
find(
    struct maps *maps, const char *key, bool is_partial, maps_fn *fn, void *ctx)
{
	struct maps_query *q = mem_zalloc(sizeof(*q));

	q->maps = maps;
	q->key = mem_strdup(key);
	q->folded = fold(key);
	q->is_partial = is_partial;
	q->fn = fn;
	q->ctx = ctx;
	return search(q) ? NULL : q;
}

struct maps_query *
maps_find(struct maps *maps, const char *key, maps_fn *fn, void *ctx)
{
	return find(maps, key, false, fn, ctx);
}

struct maps_query *
maps_find_partial(struct maps *maps, const char *key, maps_fn *fn, void *ctx)
{
	return find(maps, key, true, fn, ctx);
}

void
maps_cancel(struct maps_query **query)
{
	if (*query == NULL)
		return;
	proxymap_cancel(&(*query)->pending);
	query_free(*query);
	*query = NULL;
}
