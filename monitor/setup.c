#include "monitor/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/io/command_output.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/hunk.h"
#include "monitor/setupcheck.h"
#include "monitor/setupfile.h"
#include "monitor/setuplogin.h"
#include "monitor/setupmarks.h"
#include "monitor/setupmerge.h"
#include "monitor/setuprecord.h"

enum {
	POSTCONF_MS = 20000,
	FILES = 2,
	WORDS_MAX = SETUPPLAN_LINES_MAX + 8,
	TOLD_MAX = 1 << 20,
};

#define DOMAINS_TEXT                                                           \
	"# Recipient domains whose mail must not wait, one a line, and then\n" \
	"# postfix reload:\n"                                                  \
	"#example.com    %s:\n"

static const char *const file_names[FILES] = {"main.cf", "master.cf"};

/* ---- files ----------------------------------------------------------------
 */

static char *
path_in(const char *directory, const char *name)
{
	return mem_printf("%s/%s", directory, name);
}

/* Where copies are edited. It is beside the record, and not in /tmp, for what
 * one that was killed has left to be found. */
static char *
scratch_of(const char *record)
{
	return mem_printf("%s.copies", record);
}

/* ---- postconf on copies ---------------------------------------------------
 */

/* Postfix's programs wait for a main.cf to be at rest. */
static void
let_rest(const char *path)
{
	struct timespec times[2] = {
	    {.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 60}};

	(void)utimensat(AT_FDCWD, path, times, 0);
}

static bool
run_postconf(const struct site *site, const char *scratch,
    const char *const *options, char *const *settings, size_t count,
    char *error, size_t n)
{
	char *program = config_command(site->set.command_directory, "postconf");
	char *main_cf = path_in(scratch, "main.cf");
	const char *argv[WORDS_MAX] = {program, "-c", scratch};
	struct command_output_result result;
	size_t words = 3;
	bool is_good;

	for (size_t i = 0; options[i] != NULL; i++)
		argv[words++] = options[i];
	for (size_t i = 0; i < count; i++)
		argv[words++] = settings[i];
	argv[words] = NULL;
	let_rest(main_cf);
	command_output_try(&result, argv, -1, POSTCONF_MS);
	is_good = result.status == 0;
	if (!is_good) {
		(void)snprintf(
		    error, n, "%s: %s", program, buf_str(&result.err));
		error[strcspn(error, "\n")] = '\0';
	}
	command_output_fini(&result);
	mem_free(main_cf);
	mem_free(program);
	return is_good;
}

/* ---- the work -------------------------------------------------------------
 */

struct work {
	const struct site *site;
	const struct setupplan *plan;
	char *scratch; /* a directory beside the files; finish() removes it */
	char *now[FILES]; /* text of the copies */
	json_t *hunks; /* [{"file", "old", "new", "replaces"}], step by step */
	char *error;
	size_t error_size;
};

static bool
fail(struct work *w, const char *what)
{
	(void)snprintf(
	    w->error, w->error_size, "%s: %s", what, strerror(errno));
	return false;
}

static char *
copy_of(const struct work *w, int file)
{
	return path_in(w->scratch, file_names[file]);
}

/* A file may end in the middle of its last line; postconf would go on there. */
static bool
end_last_line(struct work *w, int file)
{
	size_t n = strlen(w->now[file]);
	char *copy, *ended;
	bool is_good;

	if (n == 0 || w->now[file][n - 1] == '\n')
		return true;
	copy = copy_of(w, file);
	ended = mem_printf("%s\n", w->now[file]);
	is_good = setupfile_write(copy, ended, NULL);
	mem_free(ended);
	mem_free(copy);
	return is_good || fail(w, w->scratch);
}

/* What a step made of the copy becomes a hunk, of whole lines where it put one
 * value in the place of another. */
static bool
note_step(struct work *w, int file, bool is_replacing)
{
	char *copy = copy_of(w, file), *text = setupfile_read(copy);
	struct hunk hunk;
	json_t *one;

	if (text == NULL) {
		(void)fail(w, copy);
		mem_free(copy);
		return false;
	}
	if (is_replacing)
		hunk_make_lines(&hunk, w->now[file], text);
	else
		hunk_make(&hunk, w->now[file], text);
	one = json_pack("{s:s, s:s, s:s, s:b}", "file", file_names[file], "old",
	    hunk.old, "new", hunk.new, "replaces", is_replacing);
	/* Postfix's files may be in no character set at all. */
	if (one != NULL)
		CHECK(json_array_append_new(w->hunks, one) == 0);
	else
		(void)snprintf(w->error, w->error_size,
		    "%s: what is changed there is not UTF-8", file_names[file]);
	hunk_fini(&hunk);
	mem_free(w->now[file]);
	w->now[file] = text;
	mem_free(copy);
	return one != NULL;
}

static bool
step(struct work *w, int file, const char *const *options,
    char *const *settings, size_t count)
{
	return count == 0 ||
	       (end_last_line(w, file) &&
		   run_postconf(w->site, w->scratch, options, settings, count,
		       w->error, w->error_size) &&
		   note_step(w, file, settings == &w->plan->usual));
}

static bool
edit_copies(struct work *w)
{
	static const char *const main_cf[] = {"-e", NULL};
	static const char *const master_cf[] = {"-M", "-e", NULL};
	const struct setupplan *p = w->plan;

	/* What ends a last line comes first: it is behind all else. */
	return step(w, 0, main_cf, p->lines, p->line_count) &&
	       step(w, 0, main_cf, &p->usual, p->usual != NULL) &&
	       step(w, 0, main_cf, &p->maps, p->maps != NULL) &&
	       step(w, 0, main_cf, &p->senders, p->senders != NULL) &&
	       step(w, 1, master_cf, &p->entries[0], 1) &&
	       step(w, 1, master_cf, &p->entries[1], 1);
}

static bool
read_files(struct work *w)
{
	for (int i = 0; i < FILES; i++) {
		char *path = path_in(w->plan->directory, file_names[i]);

		w->now[i] = setupfile_read(path);
		if (w->now[i] == NULL)
			(void)fail(w, path);
		mem_free(path);
		if (w->now[i] == NULL)
			return false;
	}
	return true;
}

static bool
make_copies(struct work *w)
{
	if (mkdir(w->scratch, 0700) != 0)
		return fail(w, w->scratch);
	for (int i = 0; i < FILES; i++) {
		char *copy = copy_of(w, i);
		bool is_good =
		    setupfile_write(copy, w->now[i], NULL) || fail(w, copy);

		mem_free(copy);
		if (!is_good)
			return false;
	}
	return true;
}

static void
finish(struct work *w)
{
	for (int i = 0; i < FILES; i++)
		mem_free(w->now[i]);
	setupfile_remove_directory(w->scratch);
	mem_free(w->scratch);
	json_decref(w->hunks);
}

/* ---- tables ---------------------------------------------------------------
 */

static char *
domains_text(const struct setupplan *plan)
{
	return mem_printf(DOMAINS_TEXT, plan->fast);
}

/* Made where it is not there; *made_out says so. */
static bool
make_table(const char *path, const char *text, mode_t mode, bool *made_out)
{
	struct stat like = {.st_uid = 0, .st_gid = 0, .st_mode = mode};

	*made_out = false;
	if (access(path, F_OK) == 0)
		return true;
	*made_out = setupfile_write(path, text, &like);
	return *made_out;
}

static bool
is_missing(const char *path)
{
	return access(path, F_OK) != 0;
}

void
setup_clean(const char *directory, const char *name)
{
	char *const paths[] = {path_in(directory, file_names[0]),
	    path_in(directory, file_names[1]),
	    setupplan_path(directory, name, "login"),
	    setupplan_path(directory, name, "setup.json")};

	char *scratch = scratch_of(paths[3]);

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		setupfile_clean(paths[i]);
		mem_free(paths[i]);
	}
	setupfile_remove_directory(scratch);
	mem_free(scratch);
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static bool
write_record(struct work *w, const json_t *record, bool is_unfinished)
{
	return setuprecord_write(w->plan->record, record, is_unfinished) ||
	       fail(w, w->plan->record);
}

/* ---- apply ----------------------------------------------------------------
 */

/* The record first: what is interrupted can be taken back. */
static bool
carry_out(struct work *w)
{
	const struct setupplan *p = w->plan;
	json_t *record = setuprecord_make(p, w->hunks);
	char *domains = domains_text(p);
	bool made, is_good;

	is_good = write_record(w, record, true) &&
		  (p->is_loginless || make_table(p->login, "", 0600, &made) ||
		      fail(w, p->login)) &&
		  (make_table(p->transport, domains, 0644, &made) ||
		      fail(w, p->transport));
	mem_free(domains);
	/* main.cf last: a transport that it names has to be there. */
	for (int i = FILES - 1; i >= 0 && is_good; i--) {
		char *path = path_in(p->directory, file_names[i]);

		is_good = setupfile_replace(path, w->now[i]) || fail(w, path);
		mem_free(path);
	}
	is_good = is_good && write_record(w, record, false);
	json_decref(record);
	return is_good;
}

/* Of lanes that are there. */
static enum setup_result
judge(const json_t *record, const struct setupplan *plan, char *error, size_t n)
{
	bool is_loginless = setuprecord_is_set(record, "no_login");
	const char *level = setuprecord_tls_level(record);

	if (strcmp(setuprecord_nexthop(record), plan->nexthop) != 0) {
		(void)snprintf(error, n, "%s is of %s", plan->record,
		    setuprecord_nexthop(record));
		return SETUP_OTHER;
	}
	if (level[0] != '\0' && strcmp(level, plan->tls_level) != 0) {
		(void)snprintf(error, n,
		    "%s is of lanes at TLS level %s: --undo takes them out",
		    plan->record, level);
		return SETUP_OTHER;
	}
	if (is_loginless != plan->is_loginless) {
		(void)snprintf(error, n,
		    "%s is of lanes with%s a login: --undo takes them out",
		    plan->record, is_loginless ? "out" : "");
		return SETUP_OTHER;
	}
	return SETUP_NOTHING;
}

enum setup_result
setup_apply(const struct site *site, const struct setupplan *plan, char *error,
    size_t n)
{
	json_t *record = setuprecord_read(plan->record);
	struct work w = {.site = site,
	    .plan = plan,
	    .scratch = scratch_of(plan->record),
	    .hunks = json_array(),
	    .error = error,
	    .error_size = n};
	enum setup_result result = SETUP_FAILED;
	char ignored[256];
	struct buf told;

	if (record != NULL) {
		result = judge(record, plan, error, n);
	} else if (read_files(&w) && make_copies(&w) && edit_copies(&w)) {
		result = SETUP_DONE;
		if (!carry_out(&w)) {
			result = SETUP_FAILED;
			buf_init(&told, TOLD_MAX);
			if (setup_undo(NULL, plan, &told, ignored,
				sizeof(ignored)) == SETUP_FAILED)
				(void)snprintf(error + strlen(error),
				    n - strlen(error),
				    "; some of it is there: --undo takes it "
				    "back");
			buf_fini(&told);
		}
	}
	finish(&w);
	json_decref(record);
	return result;
}

/* ---- undo -----------------------------------------------------------------
 */

static int
file_of(const char *name)
{
	return strcmp(name, file_names[0]) == 0 ? 0 : 1;
}

static char *(*const merges[FILES])(const struct setupplan *plan,
    const char *added, char *text,
    struct buf *told) = {setupmerge_main_cf, setupmerge_master_cf};

/* What a step replaced has its place again: it was taken back, by an undo that
 * was interrupted or by hand, so that there is nothing to say. */
static bool
is_back(const struct hunk *hunk, const char *text)
{
	size_t n = strlen(hunk->old);
	bool is_so = false;

	/* The end of the last line is another step's. */
	if (n > 0 && hunk->old[n - 1] == '\n')
		n--;
	for (const char *line = text; *line != '\0' && n > 0 && !is_so;
	     line += strcspn(line, "\n"), line += *line == '\n')
		is_so = strncmp(line, hunk->old, n) == 0 &&
			(line[n] == '\n' || line[n] == '\0');
	return is_so;
}

/* Of a step that is not there as it was made: the text without what is. */
static char *
merge(const struct setupplan *plan, const json_t *one, const struct hunk *hunk,
    char *text, struct buf *told)
{
	bool is_silent =
	    setuprecord_is_set(one, "replaces") && is_back(hunk, text);
	struct buf unsaid;

	buf_init(&unsaid, TOLD_MAX);
	text = merges[file_of(text_of(one, "file"))](
	    plan, hunk->new, text, is_silent ? &unsaid : told);
	buf_fini(&unsaid);
	return text;
}

/* Takes the steps of this file back, the last one first. */
static void
revert_all(const struct setupplan *plan, const json_t *hunks, int file,
    char **text, struct buf *told)
{
	for (size_t i = json_array_size(hunks); i-- > 0;) {
		const json_t *one = json_array_get(hunks, i);
		struct hunk hunk = {.old = mem_strdup(text_of(one, "old")),
		    .new = mem_strdup(text_of(one, "new"))};
		char *less = NULL;

		if (file_of(text_of(one, "file")) == file) {
			less = hunk_revert(&hunk, *text);
			if (less == NULL)
				*text = merge(plan, one, &hunk, *text, told);
		}
		if (less != NULL) {
			mem_free(*text);
			*text = less;
			/* a later line of that name may have it, too */
			if (file == 0 && !setuprecord_is_set(one, "replaces"))
				*text = setupmerge_main_cf(
				    plan, hunk.new, *text, told);
		}
		hunk_fini(&hunk);
	}
}

/* Nothing of the configuration, as it will be, has the table. */
static bool
is_free(const char *path, char *const texts[FILES],
    const struct setupcheck *check, struct buf *told)
{
	const char *where =
	    setupcheck_has_path(check, path) ? "the configuration" : NULL;

	for (int i = 0; i < FILES; i++)
		if (setupmerge_names(texts[i], path))
			where = file_names[i];
	if (where != NULL)
		(void)buf_addf(told,
		    "%s is used in %s elsewhere, and is kept\n", path, where);
	return where == NULL;
}

/* False: errno. */
static bool
remove_domains(const struct setupplan *plan, struct buf *told)
{
	char *text = setupfile_read(plan->transport);
	char *ours = domains_text(plan);
	bool is_good = true;

	if (text != NULL && (text[0] == '\0' || strcmp(text, ours) == 0))
		is_good = unlinkat(AT_FDCWD, plan->transport, 0) == 0;
	else if (!is_missing(plan->transport))
		(void)buf_addf(told, "%s has entries of yours, and is kept\n",
		    plan->transport);
	mem_free(text);
	mem_free(ours);
	return is_good;
}

/* False: errno. */
static bool
remove_tables(const struct setupplan *plan, const json_t *record,
    char *const texts[FILES], const struct setupcheck *check, struct buf *told)
{
	bool has_login;

	if (setuprecord_is_set(record, "made_transport") &&
	    is_free(plan->transport, texts, check, told) &&
	    !remove_domains(plan, told))
		return false;
	if (setuprecord_is_set(record, "no_login") ||
	    setuprecord_is_set(record, "had_login") ||
	    is_missing(plan->login) ||
	    !is_free(plan->login, texts, check, told))
		return true;
	has_login = setuplogin_has(plan->login, plan->nexthop);
	if (!setuplogin_remove(plan->login, plan->nexthop,
		setuprecord_is_set(record, "made_login"),
		setuprecord_is_set(record, "unended_login")))
		return false;
	if (has_login)
		(void)buf_addf(told, "%s: the login of %s is removed\n",
		    plan->login, plan->nexthop);
	return true;
}

/* What the steps brought into main.cf; the caller's. */
static char *
added_to_main_cf(const json_t *hunks)
{
	char *all = mem_strdup("");

	for (size_t i = 0; i < json_array_size(hunks); i++) {
		const json_t *one = json_array_get(hunks, i);
		char *more;

		if (file_of(text_of(one, "file")) != 0)
			continue;
		more = mem_printf("%s%s\n", all, text_of(one, "new"));
		mem_free(all);
		all = more;
	}
	return all;
}

/* What would be without the lanes, as postconf(1) reads it. */
static enum setup_result
look_ahead(struct work *w, const char *added, struct setupcheck *check,
    struct buf *told)
{
	char *main_cf;
	bool is_well;

	if (!make_copies(w))
		return SETUP_FAILED;
	main_cf = copy_of(w, 0);
	let_rest(main_cf);
	mem_free(main_cf);
	if (!setupcheck_read(
		check, w->site, w->plan, w->scratch, w->error, w->error_size))
		return SETUP_FAILED;
	is_well = setupcheck_is_well(
	    check, w->plan, added, told, w->error, w->error_size);
	return is_well ? SETUP_DONE : SETUP_IN_USE;
}

/* One that has it already is left as it is. */
static bool
make_so(struct work *w, int file)
{
	char *path = path_in(w->plan->directory, file_names[file]);
	char *now = setupfile_read(path);
	bool is_good = (now != NULL && strcmp(now, w->now[file]) == 0) ||
		       setupfile_replace(path, w->now[file]) || fail(w, path);

	mem_free(now);
	mem_free(path);
	return is_good;
}

/* What is to be taken out, and how that is known: by a record, or by marks. */
struct taking {
	const json_t *record;
	const struct setupmarks *marks; /* NULL: by the record */
};

static bool
forget(const struct setupplan *plan, const struct taking *t)
{
	return t->marks != NULL ? setupmarks_forget(t->marks)
				: unlinkat(AT_FDCWD, plan->record, 0) == 0;
}

/* main.cf first: it must not name a transport that is gone. False: nothing was
 * changed. */
static bool
begin_undo(struct work *w, const struct taking *t)
{
	char ignored[256];
	struct work again = *w;

	if (t->marks != NULL || setuprecord_is_set(t->record, "unfinished"))
		return make_so(w, 0);
	if (!write_record(w, t->record, true))
		return false;
	if (make_so(w, 0))
		return true;
	again.error = ignored;
	again.error_size = sizeof(ignored);
	(void)write_record(&again, t->record, false);
	return false;
}

static bool
take_out(struct work *w, const struct taking *t, const struct setupcheck *check,
    struct buf *told)
{
	const struct setupplan *plan = w->plan;

	if (!begin_undo(w, t)) {
		buf_reset(told);
		return false;
	}
	if (!make_so(w, 1))
		return false;
	return (remove_tables(plan, t->record, w->now, check, told) &&
		   forget(plan, t)) ||
	       fail(w, plan->directory);
}

/* The texts as they will be; what was added to main.cf, the caller's. */
static char *
take_from_texts(struct work *w, const struct taking *t, struct buf *told)
{
	const json_t *hunks = setuprecord_hunks(t->record);

	for (int i = 0; i < FILES; i++) {
		if (t->marks != NULL)
			w->now[i] = setupmarks_take(
			    t->marks, i, w->plan, w->now[i], told);
		else
			revert_all(w->plan, hunks, i, &w->now[i], told);
	}
	return t->marks != NULL ? setupmarks_added(t->marks)
				: added_to_main_cf(hunks);
}

/* site NULL: of an apply that failed, so that nobody has changed anything. */
static enum setup_result
undo(const struct site *site, const struct setupplan *plan,
    const struct taking *t, struct buf *told, char *error, size_t n)
{
	struct setupcheck check = {.settings = NULL};
	struct work w = {.site = site,
	    .plan = plan,
	    .scratch = scratch_of(plan->record),
	    .error = error,
	    .error_size = n};
	enum setup_result result = SETUP_FAILED;
	char *added;

	if (read_files(&w)) {
		added = take_from_texts(&w, t, told);
		result = site != NULL ? look_ahead(&w, added, &check, told)
				      : SETUP_DONE;
		mem_free(added);
	}
	if (result != SETUP_DONE)
		buf_reset(told);
	else if (!take_out(&w, t, &check, told))
		result = SETUP_FAILED;
	setupcheck_fini(&check);
	finish(&w);
	return result;
}

/* Their tables were written by hand, as the login of a record is. */
enum setup_result
setup_undo_marks(const struct site *site, const struct setupmarks *marks,
    const struct setupplan *plan, struct buf *told, char *error, size_t n)
{
	json_t *record =
	    json_pack("{s:b, s:b}", "made_login", true, "made_transport", true);
	const struct taking t = {.record = record, .marks = marks};
	enum setup_result result = undo(site, plan, &t, told, error, n);

	json_decref(record);
	return result;
}

enum setup_result
setup_undo(const struct site *site, const struct setupplan *plan,
    struct buf *told, char *error, size_t n)
{
	json_t *record = setuprecord_read(plan->record);
	enum setup_result result = SETUP_NOTHING;

	if (record == NULL && setuprecord_exists(plan->record)) {
		(void)snprintf(error, n, "%s cannot be read", plan->record);
		return SETUP_FAILED;
	}
	if (record != NULL &&
	    strcmp(setuprecord_nexthop(record), plan->nexthop) != 0) {
		(void)snprintf(error, n, "%s is of %s", plan->record,
		    setuprecord_nexthop(record));
		result = SETUP_OTHER;
	} else if (record != NULL) {
		const struct taking t = {.record = record};

		result = undo(site, plan, &t, told, error, n);
	}
	json_decref(record);
	return result;
}
