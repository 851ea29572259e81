#include "monitor/setupmarks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "monitor/mastercf.h"
#include "monitor/setupfile.h"
#include "monitor/setupmerge.h"
#include "monitor/setupspan.h"

#define BLANKS " \t\r"
#define BEGIN "# --- lanes: begin"
#define END "# --- lanes: end"

enum { MAIN_CF, MASTER_CF, TEXT_MAX = 16 << 20 };

static const char *const names[SETUPMARKS_FILES] = {"main.cf", "master.cf"};

/* Of Postfix, and not of the lanes alone. */
static const char *const shared[] = {"transport_maps", "default_transport",
    "sender_dependent_default_transport_maps",
    "address_verify_default_transport",
    "address_verify_sender_dependent_default_transport_maps"};

enum { SHARED = sizeof(shared) / sizeof(shared[0]) };

/* ---- what was kept --------------------------------------------------------
 */

bool
setupmarks_are_there(const char *directory)
{
	char *kept = mem_printf("%s/lanes.kept", directory);
	bool are = access(kept, F_OK) == 0;

	mem_free(kept);
	return are;
}

static char *
read_kept(const struct setupmarks *marks, const char *name, const char *suffix,
    char *error, size_t n)
{
	char *path = mem_printf("%s/%s%s", marks->directory, name, suffix);
	char *text = setupfile_read(path);

	if (text == NULL)
		(void)snprintf(error, n, "%s: %s", path, strerror(errno));
	mem_free(path);
	return text;
}

bool
setupmarks_read(
    struct setupmarks *marks, const char *directory, char *error, size_t n)
{
	bool is_good = true;

	*marks = (struct setupmarks){
	    .directory = mem_printf("%s/lanes.kept", directory)};
	for (int i = 0; i < SETUPMARKS_FILES && is_good; i++) {
		marks->before[i] = read_kept(marks, names[i], "", error, n);
		is_good = marks->before[i] != NULL;
		if (is_good)
			marks->made[i] =
			    read_kept(marks, names[i], ".lanes", error, n);
		is_good = is_good && marks->made[i] != NULL;
	}
	if (!is_good)
		setupmarks_fini(marks);
	return is_good;
}

void
setupmarks_fini(struct setupmarks *marks)
{
	mem_free(marks->directory);
	for (int i = 0; i < SETUPMARKS_FILES; i++) {
		mem_free(marks->before[i]);
		mem_free(marks->made[i]);
	}
	*marks = (struct setupmarks){.directory = NULL};
}

bool
setupmarks_forget(const struct setupmarks *marks)
{
	static const char *const suffixes[] = {"", ".lanes"};

	for (int i = 0; i < SETUPMARKS_FILES; i++)
		for (int k = 0; k < 2; k++) {
			char *path = mem_printf(
			    "%s/%s%s", marks->directory, names[i], suffixes[k]);
			bool is_gone = unlink(path) == 0 || errno == ENOENT;

			mem_free(path);
			if (!is_gone)
				return false;
		}
	return rmdir(marks->directory) == 0;
}

/* ---- between the marks ----------------------------------------------------
 */

static bool
begins_with(const char *line, const char *mark)
{
	return strncmp(line, mark, strlen(mark)) == 0;
}

/* What stands there in a file as it was made: with the first mark, to the end,
 * since nothing was behind it. */
static const char *
inside(const char *made)
{
	const char *line = made;

	while (*line != '\0' && !begins_with(line, BEGIN))
		line = setupspan_next_line(line);
	return line;
}

static bool
has_line(const char *text, const char *line)
{
	size_t n = strcspn(line, "\n");

	for (; *text != '\0'; text = setupspan_next_line(text))
		if (strcspn(text, "\n") == n && strncmp(text, line, n) == 0)
			return true;
	return false;
}

static size_t
name_size(const char *line, int file)
{
	return strcspn(line, file == MAIN_CF ? BLANKS "=\n" : BLANKS "\n");
}

static const char *
behind_name(int file)
{
	return file == MAIN_CF ? BLANKS "=" : BLANKS;
}

static bool
are_alike(struct setupspan a, struct setupspan b)
{
	char *one, *other;
	bool are;

	if (a.start == NULL || b.start == NULL)
		return false;
	one = setupspan_squeezed(a);
	other = setupspan_squeezed(b);
	are = strcmp(one, other) == 0;
	mem_free(one);
	mem_free(other);
	return are;
}

static bool
is_lane_entry(struct setupspan s)
{
	char *line = setupspan_squeezed(s);
	struct mastercf_entry entry;
	bool is = mastercf_parse(&entry, line) && mastercf_is_lane(&entry);

	mastercf_fini(&entry);
	mem_free(line);
	return is;
}

static bool
is_name(const char *name, size_t n, const char *of)
{
	return n == strlen(of) && strncmp(name, of, n) == 0;
}

/* It means nothing without the lanes. */
static bool
is_lanes(const struct setupplan *plan, int file, struct setupspan s)
{
	const char *const lanes[] = {plan->fast, plan->slow};
	size_t n = name_size(s.start, file);

	for (size_t i = 0; i < 2; i++) {
		size_t k = strlen(lanes[i]);

		if (file == MASTER_CF && is_name(s.start, n, lanes[i]))
			return is_lane_entry(s);
		if (file == MAIN_CF && n > k && s.start[k] == '_' &&
		    strncmp(s.start, lanes[i], k) == 0)
			return true;
	}
	return file == MAIN_CF && begins_with(s.start, "lane_");
}

static void
tell(const struct setupplan *plan, int file, struct setupspan s,
    const char *what, struct buf *told)
{
	(void)buf_addf(told, "%s/%s: was changed by hand since, %s:\n%.*s%s",
	    plan->directory, names[file], what, (int)s.n, s.start,
	    s.n > 0 && s.start[s.n - 1] == '\n' ? "" : "\n");
}

/* As it was made between the marks. */
static struct setupspan
made_as(const struct setupmarks *marks, int file, struct setupspan s)
{
	return setupspan_find(inside(marks->made[file]), s.start,
	    name_size(s.start, file), behind_name(file));
}

/* A setting or an entry stays; what was changed is told. One that was made
 * between the marks may stand elsewhere: postconf(1) moves what it edits. */
static bool
stays(const struct setupmarks *marks, int file, const struct setupplan *plan,
    struct setupspan s, bool is_inside, struct buf *told)
{
	struct setupspan made = made_as(marks, file, s);
	bool is_own = is_lanes(plan, file, s);

	if (!is_inside && !(is_own && made.start != NULL))
		return true;
	if (are_alike(s, made))
		return false;
	tell(plan, file, s, is_own ? "and goes with the lanes" : "and stays",
	    told);
	return !is_own;
}

static char *
take_lines(const struct setupmarks *marks, int file,
    const struct setupplan *plan, char *text, struct buf *told)
{
	const char *made = inside(marks->made[file]), *line = text;
	struct buf out;
	char *less;
	bool is_inside = false;

	buf_init(&out, TEXT_MAX);
	while (*line != '\0') {
		struct setupspan s = {
		    line, (size_t)(setupspan_next_line(line) - line)};
		bool is_kept = !is_inside;

		if (begins_with(line, BEGIN)) {
			is_inside = true;
			is_kept = false;
		} else if (is_inside && begins_with(line, END)) {
			is_inside = false;
		} else if (setupspan_is_passed_over(line)) {
			is_kept = !is_inside || !has_line(made, line);
		} else {
			s.n = setupspan_size(line);
			is_kept = stays(marks, file, plan, s, is_inside, told);
		}
		if (is_kept)
			(void)buf_add(&out, s.start, s.n);
		line += s.n;
	}
	less = mem_strdup(buf_str(&out));
	buf_fini(&out);
	mem_free(text);
	return less;
}

/* ---- settings of Postfix --------------------------------------------------
 */

static char *
replaced(char *text, struct setupspan old, struct setupspan new)
{
	char *more = mem_printf("%.*s%.*s%s", (int)(old.start - text), text,
	    (int)new.n, new.start, old.start + old.n);

	mem_free(text);
	return more;
}

/* One that was set before, and was changed where it stood. */
static char *
put_back(const struct setupmarks *marks, const char *name,
    const struct setupplan *plan, char *text, struct buf *told)
{
	size_t n = strlen(name);
	const char *behind = behind_name(MAIN_CF);
	struct setupspan before =
	    setupspan_find(marks->before[MAIN_CF], name, n, behind);
	struct setupspan made =
	    setupspan_find(marks->made[MAIN_CF], name, n, behind);
	struct setupspan now = setupspan_find(text, name, n, behind);

	if (before.start == NULL || now.start == NULL || are_alike(now, before))
		return text;
	if (are_alike(now, made))
		return replaced(text, now, before);
	tell(plan, MAIN_CF, now, "and stays", told);
	return text;
}

static char *
take_table(const struct setupplan *plan, char *text, struct buf *told)
{
	char *word = mem_printf(" texthash:%s", plan->transport);

	text = setupmerge_main_cf(plan, word, text, told);
	mem_free(word);
	return text;
}

/* But for the end that its last line was given. */
static bool
is_as_before(const char *text, const char *before)
{
	size_t n = strlen(before);

	return strncmp(text, before, n) == 0 &&
	       (text[n] == '\0' || (n > 0 && before[n - 1] != '\n' &&
				       strcmp(text + n, "\n") == 0));
}

char *
setupmarks_take(const struct setupmarks *marks, int file,
    const struct setupplan *plan, char *text, struct buf *told)
{
	bool is_same = strcmp(text, marks->made[file]) == 0;

	if (!is_same) {
		text = take_lines(marks, file, plan, text, told);
		for (int i = 0; i < SHARED && file == MAIN_CF; i++)
			text = put_back(marks, shared[i], plan, text, told);
		if (file == MAIN_CF)
			text = take_table(plan, text, told);
	}
	if (!is_same && !is_as_before(text, marks->before[file]))
		return text;
	mem_free(text);
	return mem_strdup(marks->before[file]);
}

char *
setupmarks_added(const struct setupmarks *marks)
{
	const char *made = marks->made[MAIN_CF];
	char *all = mem_strdup(inside(made));

	for (int i = 0; i < SHARED; i++) {
		struct setupspan s = setupspan_find(
		    made, shared[i], strlen(shared[i]), behind_name(MAIN_CF));
		char *more;

		if (s.start == NULL)
			continue;
		more = mem_printf("%s\n%.*s", all, (int)s.n, s.start);
		mem_free(all);
		all = more;
	}
	return all;
}

/* ---- the plan -------------------------------------------------------------
 */

/* The lanes between the marks, the first two; how many there are. */
static size_t
find_lanes(const struct setupmarks *marks, char *lanes[2])
{
	const char *line = inside(marks->made[MASTER_CF]);
	size_t count = 0;

	while (*line != '\0') {
		struct setupspan s = {line, setupspan_size(line)};

		if (setupspan_is_passed_over(line)) {
			line = setupspan_next_line(line);
			continue;
		}
		if (is_lane_entry(s) && count++ < 2)
			lanes[count - 1] =
			    mem_strndup(line, name_size(line, MASTER_CF));
		line += s.n;
	}
	return count;
}

static char *
nexthop_of(const struct setupmarks *marks)
{
	static const char name[] = "lane_smarthost";
	struct setupspan s = setupspan_find(
	    marks->made[MAIN_CF], name, strlen(name), behind_name(MAIN_CF));
	char *line = s.start != NULL ? setupspan_squeezed(s) : mem_strdup("");
	const char *value = strchr(line, '=');
	char *nexthop;

	nexthop = mem_strdup(
	    value != NULL ? value + 1 + strspn(value + 1, BLANKS) : "");
	mem_free(line);
	return nexthop;
}

bool
setupmarks_plan(const struct setupmarks *marks, struct setupplan *plan,
    const char *directory, char *error, size_t n)
{
	char *lanes[2] = {NULL, NULL};
	size_t count = find_lanes(marks, lanes);

	*plan = (struct setupplan){
	    .nexthop = nexthop_of(marks),
	    .directory = mem_strdup(directory),
	    .fast = lanes[0],
	    .slow = lanes[1],
	    .login = mem_printf("%s/lane_login", directory),
	    .transport = mem_printf("%s/lane_transport", directory),
	    .record = mem_strdup(marks->directory),
	};
	if (count == 2)
		return true;
	(void)snprintf(error, n,
	    "%s/master.cf has %zu lanes between its marks, not two: what is "
	    "between the marks there and in main.cf has to be taken out by "
	    "hand, settings of Postfix to be set to what they are in %s, and "
	    "that folder to be removed",
	    directory, count, marks->directory);
	setupplan_fini(plan);
	return false;
}
