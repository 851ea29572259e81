/* top: lanes as they are, on a terminal, with keys. */
#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "monitor/postlane/command.h"
#include "monitor/topview.h"

enum {
	EVERY_MS = 1000,
	/* Postfix's queue takes longer to look at (backlog.h). */
	QUEUE_MS = 5000,
	REMARK_MS = 8000,
};

struct top {
	struct command *c;
	struct backlog backlog;
	bool has_backlog, has_colour, is_over;
	int64_t queue_ms, remark_ms;
	enum topview_sort sort;
	char chosen[BOARD_NAME];
	bool asks; /* shall the lane be paused? */
	char remark[512];
};

/* ---- drawing ---------------------------------------------------------------
 */

static void
begin_colours(struct top *t)
{
	static const struct {
		short pair, colour;
	} pairs[] = {
	    {TOPVIEW_WELL, COLOR_GREEN},
	    {TOPVIEW_SLOWED, COLOR_YELLOW},
	    {TOPVIEW_PAUSED, COLOR_CYAN},
	    {TOPVIEW_ALARM, COLOR_RED},
	    {TOPVIEW_PACE, COLOR_GREEN},
	};
	const char *no = getenv("NO_COLOR");

	t->has_colour =
	    has_colors() && (no == NULL || *no == '\0') && start_color() == OK;
	if (!t->has_colour)
		return;
	(void)use_default_colors();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		(void)init_pair(pairs[i].pair, pairs[i].colour, -1);
}

static attr_t
look_of(const struct top *t, const struct topview_row *row)
{
	attr_t look = A_NORMAL;

	if (row->look == TOPVIEW_HEAD || row->look == TOPVIEW_ALARM)
		look |= A_BOLD;
	if (row->look == TOPVIEW_DIM)
		look |= A_DIM;
	if (row->is_chosen)
		look |= A_REVERSE;
	if (t->has_colour && row->look >= TOPVIEW_WELL)
		look |= (attr_t)COLOR_PAIR(row->look);
	return look;
}

static void
show(const struct top *t, const struct topview *v)
{
	(void)erase();
	for (size_t i = 0; i < v->count && (int)i < LINES; i++) {
		(void)attrset((int)look_of(t, &v->rows[i]));
		/* What is longer than the screen is wide would go on below. */
		(void)mvaddnstr((int)i, 0, v->rows[i].text, -1);
		(void)attrset(A_NORMAL);
	}
	(void)refresh();
}

/* The terminal's own word, each time: of a change of its size a signal may be
 * missed, and LINES and COLUMNS may be inherited from another. */
static void
fit_terminal(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
	    size.ws_col == 0)
		return;
	if (is_term_resized(size.ws_row, size.ws_col))
		(void)resizeterm(size.ws_row, size.ws_col);
}

static void
draw(struct top *t)
{
	struct model *m = model_read(&t->c->site, clock_moment());
	int64_t now_ms = clock_mono_ms();
	struct topview_how how = {
	    .width = COLS > 0 ? (size_t)COLS : 0,
	    .height = LINES > 0 ? (size_t)LINES : 0,
	    .is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
	    .sort = t->sort,
	    .chosen = t->chosen,
	    .remark = now_ms < t->remark_ms ? t->remark : NULL,
	};
	struct topview *v;

	if (now_ms >= t->queue_ms) {
		if (t->has_backlog)
			backlog_fini(&t->backlog);
		backlog_read(&t->backlog, &t->c->site);
		t->has_backlog = true;
		t->queue_ms = clock_mono_ms() + QUEUE_MS;
	}
	v = topview_new(m, &t->backlog, postfix_state_of(&t->c->site), &how);
	if (v->lane_count > 0)
		(void)snprintf(t->chosen, sizeof(t->chosen), "%s",
		    m->lanes[v->order[v->chosen]].name);
	show(t, v);
	topview_free(&v);
	model_free(&m);
}

/* ---- keys ------------------------------------------------------------------
 */

static void
say(struct top *t, const char *text)
{
	(void)snprintf(t->remark, sizeof(t->remark), "%s", text);
	t->remark_ms = clock_mono_ms() + REMARK_MS;
}

/* pause and resume, with what they say in the remark. */
static void
steer(struct top *t, int (*verb)(struct command *c))
{
	struct command c = *t->c;
	char said[sizeof(t->remark)] = "";

	c.lane = t->chosen;
	c.is_json = false;
	command_capture(said, sizeof(said));
	(void)verb(&c);
	command_capture(NULL, 0);
	said[strcspn(said, "\n")] = '\0';
	say(t, said);
}

/* The next or the one before, as they are sorted. */
static void
move_on(struct top *t, int by)
{
	struct model *m = model_read(&t->c->site, clock_moment());
	struct topview_how how = {.sort = t->sort, .chosen = t->chosen};
	struct topview *v = topview_new(m, NULL, POSTFIX_UNKNOWN, &how);
	size_t at = v->chosen;

	if (by > 0 && at + 1 < v->lane_count)
		at++;
	if (by < 0 && at > 0)
		at--;
	if (v->lane_count > 0)
		(void)snprintf(t->chosen, sizeof(t->chosen), "%s",
		    m->lanes[v->order[at]].name);
	topview_free(&v);
	model_free(&m);
}

static void
ask(struct top *t)
{
	char text[sizeof(t->remark)];

	if (t->chosen[0] == '\0')
		return;
	(void)snprintf(text, sizeof(text),
	    "pause lane %s until it is told otherwise? (y, n)", t->chosen);
	say(t, text);
	t->asks = true;
	t->remark_ms = INT64_MAX;
}

static void
on_answer(struct top *t, int key)
{
	t->asks = false;
	if (key == 'y' || key == 'Y')
		steer(t, pause_run);
	else
		say(t, "not paused");
}

static void
on_key(struct top *t, int key)
{
	if (key == ERR || key == KEY_RESIZE)
		return;
	if (t->asks) {
		on_answer(t, key);
		return;
	}
	switch (key) {
	case 'q':
	case 'Q':
		t->is_over = true;
		break;
	case 'p':
		ask(t);
		break;
	case 'r':
		if (t->chosen[0] != '\0')
			steer(t, resume_run);
		break;
	case 's':
		t->sort = (t->sort + 1) % TOPVIEW_SORTS;
		break;
	case 'j':
	case KEY_DOWN:
		move_on(t, 1);
		break;
	case 'k':
	case KEY_UP:
		move_on(t, -1);
		break;
	default:
		break;
	}
}

/* ---- life ------------------------------------------------------------------
 */

static bool
begin(struct top *t)
{
	(void)setlocale(LC_ALL, "");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
	    newterm(NULL, stdout, stdin) == NULL) {
		command_complain("top: it needs a terminal (is TERM set to "
				 "what this one is?); without: postlane -w 1");
		return false;
	}
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0);
	timeout(EVERY_MS);
	begin_colours(t);
	return true;
}

int
top_run(struct command *c)
{
	struct top t = {.c = c};

	if (!begin(&t))
		return EX_UNAVAILABLE;
	while (!t.is_over) {
		fit_terminal();
		draw(&t);
		on_key(&t, getch());
		if (!command_renew(c))
			break;
	}
	if (t.has_backlog)
		backlog_fini(&t.backlog);
	(void)endwin();
	return t.is_over ? EX_OK : EX_CONFIG;
}
