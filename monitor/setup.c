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
#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/hunk.h"
#include "monitor/setupmerge.h"

enum {
	FILE_MAX = 16 << 20,
	POSTCONF_MS = 20000,
	SCHEMA = 1,
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

/* NULL: errno. Without octets that are NUL, which Postfix's files have not. */
static char *
read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	struct buf text;
	char block[8192], *result = NULL;
	size_t n;

	if (file == NULL)
		return NULL;
	buf_init(&text, FILE_MAX);
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		(void)buf_add(&text, block, n);
	errno = ferror(file) ? EIO : buf_ok(&text) ? 0 : EFBIG;
	if (errno == 0 && memchr(buf_slice(&text).p, '\0', buf_len(&text)))
		errno = EINVAL;
	if (errno == 0)
		result = mem_strdup(buf_str(&text));
	buf_fini(&text);
	(void)fclose(file);
	return result;
}

static bool
write_all(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t done = write(fd, text, n);

		if (done < 0)
			return false;
		text += done;
		n -= (size_t)done;
	}
	return fsync(fd) == 0;
}

/* With the owner and mode of like, or of root alone where there is none. */
static bool
write_new(const char *path, const char *text, const struct stat *like)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool is_good;

	if (fd < 0)
		return false;
	is_good =
	    write_all(fd, text) &&
	    (like == NULL || (fchown(fd, like->st_uid, like->st_gid) == 0 &&
				 fchmod(fd, like->st_mode & 07777) == 0));
	if (close(fd) != 0 || !is_good) {
		int error = errno;

		(void)unlink(path);
		errno = error;
		return false;
	}
	return true;
}

/* In one step. */
static bool
replace(const char *path, const char *text)
{
	char real[PATH_MAX];
	struct stat st;
	bool is_there = realpath(path, real) != NULL && stat(real, &st) == 0;
	const char *target = is_there ? real : path;
	char *new = mem_printf("%s.new", target);
	bool is_good = write_new(new, text, is_there ? &st : NULL) &&
		       rename(new, target) == 0;

	mem_free(new);
	return is_good;
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
	char scratch[64];
	char *now[FILES]; /* text of the copies */
	json_t *hunks; /* [{"file", "old", "new"}] in the order of steps */
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
	is_good = write_new(copy, ended, NULL);
	mem_free(ended);
	mem_free(copy);
	return is_good || fail(w, w->scratch);
}

/* What a step made of the copy becomes a hunk. */
static bool
note_step(struct work *w, int file)
{
	char *copy = copy_of(w, file), *text = read_text(copy);
	struct hunk hunk;
	json_t *one;

	if (text == NULL) {
		(void)fail(w, copy);
		mem_free(copy);
		return false;
	}
	hunk_make(&hunk, w->now[file], text);
	one = json_pack("{s:s, s:s, s:s}", "file", file_names[file], "old",
	    hunk.old, "new", hunk.new);
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
		   note_step(w, file));
}

static bool
edit_copies(struct work *w)
{
	static const char *const main_cf[] = {"-e", NULL};
	static const char *const master_cf[] = {"-M", "-e", NULL};
	const struct setupplan *p = w->plan;

	return step(w, 0, main_cf, &p->maps, p->maps != NULL) &&
	       step(w, 0, main_cf, &p->senders, p->senders != NULL) &&
	       step(w, 0, main_cf, p->lines, p->line_count) &&
	       step(w, 1, master_cf, &p->entries[0], 1) &&
	       step(w, 1, master_cf, &p->entries[1], 1);
}

static bool
begin(struct work *w)
{
	(void)snprintf(
	    w->scratch, sizeof(w->scratch), "/tmp/postlane-setup.XXXXXX");
	if (mkdtemp(w->scratch) == NULL) {
		w->scratch[0] = '\0';
		return fail(w, "/tmp");
	}
	for (int i = 0; i < FILES; i++) {
		char *path = path_in(w->plan->directory, file_names[i]);
		char *copy = copy_of(w, i);
		bool is_good;

		w->now[i] = read_text(path);
		is_good = (w->now[i] != NULL || fail(w, path)) &&
			  (write_new(copy, w->now[i], NULL) || fail(w, copy));
		mem_free(path);
		mem_free(copy);
		if (!is_good)
			return false;
	}
	return true;
}

static void
finish(struct work *w)
{
	for (int i = 0; i < FILES; i++) {
		char *copy = copy_of(w, i);

		if (w->scratch[0] != '\0')
			(void)unlink(copy);
		mem_free(copy);
		mem_free(w->now[i]);
	}
	if (w->scratch[0] != '\0')
		(void)rmdir(w->scratch);
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
	*made_out = write_new(path, text, &like);
	return *made_out;
}

static bool
is_line_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) == 0 && strchr(" \t", line[n]) != NULL &&
	       line[n] != '\0';
}

bool
setup_has_login(const struct setupplan *plan)
{
	char *text = read_text(plan->login), *line;
	bool has = false;

	for (line = text; line != NULL && *line != '\0' && !has;) {
		has = is_line_of(line, plan->nexthop);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	if (text != NULL)
		mem_wipe(text, strlen(text));
	mem_free(text);
	return has;
}

bool
setup_add_login(const struct setupplan *plan, const char *login)
{
	char *text = read_text(plan->login), *all;
	size_t n = text != NULL ? strlen(text) : 0;
	bool is_good;

	all = mem_printf("%s%s%s %s\n", text != NULL ? text : "",
	    n > 0 && text[n - 1] != '\n' ? "\n" : "", plan->nexthop, login);
	is_good = replace(plan->login, all);
	mem_wipe(all, strlen(all));
	if (text != NULL)
		mem_wipe(text, n);
	mem_free(all);
	mem_free(text);
	return is_good;
}

/* The line of the nexthop goes, with the end that it gave to the one before, if
 * it is there; a table in which nothing is left, too, if it was made for it. */
static bool
remove_login(const struct setupplan *plan, bool was_made, bool was_unended)
{
	char *text = read_text(plan->login), *kept, *to;
	bool is_good, is_taken;

	if (text == NULL)
		return errno == ENOENT;
	kept = to = mem_zalloc(strlen(text) + 1);
	for (const char *line = text; *line != '\0';) {
		size_t n = strcspn(line, "\n");

		n += line[n] == '\n';
		if (!is_line_of(line, plan->nexthop)) {
			memcpy(to, line, n);
			to += n;
		}
		line += n;
	}
	is_taken = strlen(text) != (size_t)(to - kept);
	if (was_unended && is_taken && to > kept && to[-1] == '\n')
		to--;
	*to = '\0';
	is_good = kept[0] == '\0' && was_made
		      ? unlink(plan->login) == 0
		      : !is_taken || replace(plan->login, kept);
	mem_wipe(kept, strlen(kept));
	mem_wipe(text, strlen(text));
	mem_free(kept);
	mem_free(text);
	return is_good;
}

static bool
is_missing(const char *path)
{
	return access(path, F_OK) != 0;
}

/* ---- the record -----------------------------------------------------------
 */

static json_t *
read_record(const struct setupplan *plan)
{
	char *text = read_text(plan->record);
	json_t *record = text != NULL ? json_loads(text, 0, NULL) : NULL;

	mem_free(text);
	if (json_is_object(record))
		return record;
	json_decref(record);
	return NULL;
}

static bool
is_set(const json_t *record, const char *key)
{
	return json_is_true(json_object_get(record, key));
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

/* Its last line has no end. */
static bool
is_unended(const char *path)
{
	char *text = read_text(path);
	size_t n = text != NULL ? strlen(text) : 0;
	bool is_so = n > 0 && text[n - 1] != '\n';

	if (text != NULL)
		mem_wipe(text, n);
	mem_free(text);
	return is_so;
}

static bool
write_record(const struct work *w)
{
	const struct setupplan *p = w->plan;
	json_t *record = json_pack("{s:i, s:s, s:O, s:b, s:b, s:b, s:b}",
	    "schema", SCHEMA, "nexthop", p->nexthop, "hunks", w->hunks,
	    "made_login", is_missing(p->login), "had_login", setup_has_login(p),
	    "unended_login", is_unended(p->login), "made_transport",
	    is_missing(p->transport));
	char *text;
	bool is_good;

	CHECK(record != NULL);
	text = json_dumps(record, JSON_INDENT(1));
	CHECK(text != NULL);
	is_good = replace(w->plan->record, text);
	free(text);
	json_decref(record);
	return is_good;
}

bool
setup_is_there(const struct setupplan *plan)
{
	return access(plan->record, F_OK) == 0;
}

/* ---- apply ----------------------------------------------------------------
 */

/* The record first: who is interrupted can undo. */
static bool
carry_out(struct work *w)
{
	const struct setupplan *p = w->plan;
	char *domains = domains_text(p);
	bool made, is_good;

	is_good =
	    (write_record(w) || fail(w, p->record)) &&
	    (make_table(p->login, "", 0600, &made) || fail(w, p->login)) &&
	    (make_table(p->transport, domains, 0644, &made) ||
		fail(w, p->transport));
	mem_free(domains);
	/* main.cf last: a transport that it names has to be there. */
	for (int i = FILES - 1; i >= 0 && is_good; i--) {
		char *path = path_in(p->directory, file_names[i]);

		is_good = replace(path, w->now[i]) || fail(w, path);
		mem_free(path);
	}
	return is_good;
}

enum setup_result
setup_apply(const struct site *site, const struct setupplan *plan, char *error,
    size_t n)
{
	json_t *record = read_record(plan);
	struct work w = {.site = site,
	    .plan = plan,
	    .hunks = json_array(),
	    .error = error,
	    .error_size = n};
	enum setup_result result = SETUP_FAILED;
	char ignored[256];
	struct buf told;

	if (record != NULL) {
		result = strcmp(text_of(record, "nexthop"), plan->nexthop) == 0
			     ? SETUP_NOTHING
			     : SETUP_OTHER;
		(void)snprintf(error, n, "%s is of %s", plan->record,
		    text_of(record, "nexthop"));
	} else if (begin(&w) && edit_copies(&w)) {
		result = SETUP_DONE;
		if (!carry_out(&w)) {
			result = SETUP_FAILED;
			buf_init(&told, TOLD_MAX);
			(void)setup_undo(plan, &told, ignored, sizeof(ignored));
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
				*text =
				    merges[file](plan, hunk.new, *text, told);
		}
		if (less != NULL) {
			mem_free(*text);
			*text = less;
		}
		hunk_fini(&hunk);
	}
}

/* Nothing of the configuration, as it will be, has the table. */
static bool
is_free(const char *path, char *const texts[FILES], struct buf *told)
{
	for (int i = 0; i < FILES; i++)
		if (setupmerge_names(texts[i], path)) {
			(void)buf_addf(told,
			    "%s is used in %s elsewhere, and is kept\n", path,
			    file_names[i]);
			return false;
		}
	return true;
}

static bool
remove_tables(const struct setupplan *plan, const json_t *record,
    char *const texts[FILES], struct buf *told)
{
	char *text = read_text(plan->transport);
	char *ours = domains_text(plan);
	bool is_good = true;

	if (text != NULL && is_set(record, "made_transport") &&
	    is_free(plan->transport, texts, told)) {
		if (strcmp(text, ours) == 0)
			is_good = unlink(plan->transport) == 0;
		else
			(void)buf_addf(told,
			    "%s has entries of yours, and is kept\n",
			    plan->transport);
	}
	if (!is_set(record, "had_login") && !is_missing(plan->login) &&
	    is_free(plan->login, texts, told)) {
		if (setup_has_login(plan))
			(void)buf_addf(told, "%s: the login of %s is removed\n",
			    plan->login, plan->nexthop);
		is_good = remove_login(plan, is_set(record, "made_login"),
			      is_set(record, "unended_login")) &&
			  is_good;
	}
	mem_free(text);
	mem_free(ours);
	return is_good;
}

/* The name of a setting whose value is a transport. */
static bool
is_transport(const char *name, size_t n)
{
	static const char *const ends[] = {"_transport", "content_filter"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t end = strlen(ends[i]);

		if (n >= end && strncmp(name + n - end, ends[i], end) == 0)
			return true;
	}
	return false;
}

/* main.cf would name a transport that is gone. */
static bool
is_named(
    const struct setupplan *plan, const char *main_cf, char *error, size_t n)
{
	const char *const lanes[] = {plan->fast, plan->slow};

	for (const char *line = main_cf; *line != '\0';) {
		size_t name = strcspn(line, " \t=\n#");
		const char *value = line + name;

		value += strspn(value, " \t=");
		for (size_t i = 0; i < 2 && is_transport(line, name); i++) {
			size_t lane = strlen(lanes[i]);

			if (strncmp(value, lanes[i], lane) != 0 ||
			    strchr(": \t\n", value[lane]) == NULL)
				continue;
			(void)snprintf(error, n,
			    "%s/main.cf has %.*s = %s, which would be gone: "
			    "set it to another transport (smtp) first",
			    plan->directory, (int)name, line, lanes[i]);
			return true;
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}

static enum setup_result
undo(const struct setupplan *plan, const json_t *record, struct buf *told,
    char *error, size_t n)
{
	const json_t *hunks = json_object_get(record, "hunks");
	char *texts[FILES] = {NULL, NULL}, *paths[FILES];
	enum setup_result result = SETUP_DONE;
	bool is_changed = false;

	for (int i = 0; i < FILES; i++) {
		paths[i] = path_in(plan->directory, file_names[i]);
		texts[i] = read_text(paths[i]);
		if (texts[i] == NULL) {
			(void)snprintf(
			    error, n, "%s: %s", paths[i], strerror(errno));
			result = SETUP_FAILED;
		} else {
			revert_all(plan, hunks, i, &texts[i], told);
		}
	}
	if (result == SETUP_DONE && is_named(plan, texts[0], error, n))
		result = SETUP_IN_USE;
	/* main.cf first: it must not name a transport that is gone. */
	for (int i = 0; i < FILES && result == SETUP_DONE; i++) {
		if (!replace(paths[i], texts[i])) {
			(void)snprintf(
			    error, n, "%s: %s", paths[i], strerror(errno));
			result = SETUP_FAILED;
		} else {
			is_changed = true;
		}
	}
	if (result == SETUP_DONE &&
	    (!remove_tables(plan, record, texts, told) ||
		unlink(plan->record) != 0)) {
		(void)snprintf(
		    error, n, "%s: %s", plan->directory, strerror(errno));
		result = SETUP_FAILED;
	}
	if (!is_changed)
		buf_reset(told);
	for (int i = 0; i < FILES; i++) {
		mem_free(texts[i]);
		mem_free(paths[i]);
	}
	return result;
}

enum setup_result
setup_undo(
    const struct setupplan *plan, struct buf *told, char *error, size_t n)
{
	json_t *record = read_record(plan);
	enum setup_result result = SETUP_NOTHING;

	if (record == NULL && setup_is_there(plan)) {
		(void)snprintf(error, n, "%s cannot be read", plan->record);
		return SETUP_FAILED;
	}
	if (record != NULL &&
	    strcmp(text_of(record, "nexthop"), plan->nexthop) != 0) {
		(void)snprintf(error, n, "%s is of %s", plan->record,
		    text_of(record, "nexthop"));
		result = SETUP_OTHER;
	} else if (record != NULL) {
		result = undo(plan, record, told, error, n);
	}
	json_decref(record);
	return result;
}
