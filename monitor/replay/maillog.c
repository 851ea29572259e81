#include "monitor/replay/maillog.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/postfix/queueid.h"
#include "common/shared/board.h"

enum {
	READ_SIZE = 1 << 16,
	LINE_MAX_SIZE = 1 << 16, /* beyond, the rest of a line is dropped */
	ID_SIZE = 24,
	TABLE_FIRST = 1 << 12,
	YEAR_FIRST = 2024, /* a leap year: it has every day */
	HALF_YEAR_S = 180 * 86400,
	SESSION_MESSAGES_MIN = 10,
	DIAL_RTTS = 7, /* lane-sim's, too */
};

/* A queue file's name is made some time after its message came. */
static const double ID_SLACK_S = 0.1;

/* A message whose end was not seen. */
struct open_message {
	char id[ID_SIZE]; /* "": free */
	size_t at; /* in messages; SIZE_MAX: none of ours so far */
	uint32_t octets;
	double first_s; /* of its first line, or when that is over at last */
};

/* A session was surely open from, or until then. */
struct edge {
	double s;
	int change;
};

struct samples {
	float *values;
	size_t count, room;
};

struct reading {
	struct maillog *log;
	const struct maillog_choice *choice; /* NULL: all */
	struct maillog_owners *owners; /* to be found, and nothing else */
	size_t room;
	struct open_message *table;
	size_t table_size, table_used;
	int year;
	int64_t before_s; /* of the line before */
	/* lines of the present second, to be spread over it */
	size_t *second;
	size_t second_count, second_room;
	int64_t second_s;
	struct samples before, answers;
	/* of sessions; dialled -1: their lines do not say how long it took */
	struct samples ages, counts, dialled;
	bool knows_dials; /* some do */
	struct samples dials;
	struct edge *edges;
	size_t edge_count, edge_room;
};

/* ---- numbers ---------------------------------------------------------------
 */

static void
add_sample(struct samples *s, double value)
{
	if (s->count == s->room) {
		s->room = s->room > 0 ? s->room * 2 : 1024;
		s->values =
		    mem_realloc(s->values, s->room * sizeof(s->values[0]));
	}
	s->values[s->count++] = (float)value;
}

static int
by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static double
quantile(struct samples *s, double share)
{
	size_t i = (size_t)((double)s->count * share);

	if (s->count == 0)
		return 0;
	qsort(s->values, s->count, sizeof(s->values[0]), by_value);
	return (double)s->values[i < s->count ? i : s->count - 1];
}

/* The number behind a name in a line; -1: there is none. */
static double
number_of(const char *line, const char *name)
{
	const char *at = strstr(line, name);
	char *end;
	double value;

	if (at == NULL)
		return -1;
	at += strlen(name);
	value = strtod(at, &end);
	return end == at || value < 0 ? -1 : value;
}

/* ---- time ------------------------------------------------------------------
 */

/* "2026-11-28T16:14:51.123456+00:00 " or "Nov 28 16:14:51 "; *rest is behind
 * it. False: neither. */
static bool
take_time(struct reading *r, const char *line, double *s_out, bool *is_whole,
    const char **rest)
{
	struct tm tm = {0};
	const char *end = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0;
	int64_t s;

	*is_whole = true;
	if (end != NULL && *end == '.') {
		char *after;

		fraction = strtod(end, &after);
		end = after;
		*is_whole = false;
	}
	if (end == NULL) {
		tm.tm_year = r->year - 1900;
		end = strptime(line, "%b %d %H:%M:%S", &tm);
		if (end == NULL)
			return false;
		tm.tm_year = r->year - 1900;
	}
	s = timegm(&tm);
	if (r->before_s - s > HALF_YEAR_S && r->before_s != 0) {
		r->year++;
		tm.tm_year++;
		s = timegm(&tm);
	}
	r->before_s = s;
	end += strcspn(end, " ");
	*rest = end + strspn(end, " ");
	*s_out = (double)s + fraction;
	return true;
}

/* ---- messages that are under way -------------------------------------------
 */

static uint64_t
hash(const char *id)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT64_C(1099511628211);
	return h ^ h >> 29;
}

static struct open_message *
place_of(struct open_message *table, size_t size, const char *id)
{
	size_t i = (size_t)hash(id) & (size - 1);

	while (table[i].id[0] != '\0' && strcmp(table[i].id, id) != 0)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static void
grow_table(struct reading *r)
{
	size_t size = r->table_size > 0 ? r->table_size * 2 : TABLE_FIRST;
	struct open_message *table = mem_zarray(size, sizeof(table[0]));

	for (size_t i = 0; i < r->table_size; i++)
		if (r->table[i].id[0] != '\0')
			*place_of(table, size, r->table[i].id) = r->table[i];
	mem_free(r->table);
	r->table = table;
	r->table_size = size;
}

static struct open_message *
open_of(struct reading *r, const char *id, double now_s, bool is_whole)
{
	struct open_message *m;

	if (r->table_used * 2 >= r->table_size)
		grow_table(r);
	m = place_of(r->table, r->table_size, id);
	if (m->id[0] == '\0') {
		(void)snprintf(m->id, sizeof(m->id), "%s", id);
		m->at = SIZE_MAX;
		m->octets = 0;
		m->first_s = now_s + (is_whole ? 1 : 0);
		r->table_used++;
	}
	return m;
}

/* Its place is filled from those behind it that were pushed on. */
static void
forget(struct reading *r, const char *id)
{
	struct open_message *hole;
	size_t i, mask = r->table_size - 1;

	if (r->table_size == 0)
		return;
	hole = place_of(r->table, r->table_size, id);
	if (hole->id[0] == '\0')
		return;
	r->table_used--;
	hole->id[0] = '\0';
	for (i = ((size_t)(hole - r->table) + 1) & mask;
	     r->table[i].id[0] != '\0'; i = (i + 1) & mask) {
		struct open_message moved = r->table[i];

		r->table[i].id[0] = '\0';
		*place_of(r->table, r->table_size, moved.id) = moved;
	}
}

/* ---- lines -----------------------------------------------------------------
 */

static size_t
new_message(struct reading *r, const struct open_message *open, double came_s)
{
	struct maillog *log = r->log;

	if (log->count == r->room) {
		r->room = r->room > 0 ? r->room * 2 : 4096;
		log->messages = mem_realloc(
		    log->messages, r->room * sizeof(log->messages[0]));
	}
	log->messages[log->count] = (struct maillog_message){
	    .came_ms = (int64_t)(came_s * 1000),
	    .took_ms = -1,
	    .octets = open->octets,
	};
	return log->count++;
}

/* Those of a second that is over are where they were in it. */
static void
spread(struct reading *r)
{
	for (size_t i = 0; i < r->second_count; i++)
		r->log->messages[r->second[i]].came_ms +=
		    (int64_t)(((double)i + 0.5) * 1000 /
			      (double)r->second_count);
	r->second_count = 0;
}

static void
note_second(struct reading *r, size_t at, int64_t s)
{
	if (s != r->second_s)
		spread(r);
	r->second_s = s;
	if (r->second_count == r->second_room) {
		r->second_room = r->second_room > 0 ? r->second_room * 2 : 256;
		r->second = mem_realloc(
		    r->second, r->second_room * sizeof(r->second[0]));
	}
	r->second[r->second_count++] = at;
}

/* Of a delay that is written with two digits. */
static double
doubt_of(double delay_s)
{
	return delay_s >= 10 ? 0.5 : delay_s >= 1 ? 0.05 : 0.005;
}

/* about_s, give or take doubt_s: made exact by the queue ID's fraction. False:
 * it has none. Its file is made just before its first line: the moment is the
 * last one with that fraction before it, or a second earlier, where a line was
 * written late. If neither agrees with the delay, the line was no first one. */
static bool
came_at(
    const struct open_message *open, double about_s, double doubt_s, double *s)
{
	uint32_t fraction_us;
	double fraction_s, last_s;

	if (!queueid_usec(open->id, &fraction_us))
		return false;
	fraction_s = fraction_us / 1e6;
	last_s = floor(open->first_s - fraction_s) + fraction_s;
	for (int late = 0; late <= 1; late++) {
		*s = last_s - late;
		if (fabs(*s - about_s) <= doubt_s + ID_SLACK_S)
			return true;
	}
	*s = round(about_s - fraction_s) + fraction_s;
	return true;
}

/* When it came. */
static double
arrival_of(struct reading *r, const struct open_message *open, double now_s,
    double delay_s, bool is_whole, bool *is_vague)
{
	double doubt_s = doubt_of(delay_s) + (is_whole ? 0.5 : 0);
	double about_s = now_s + (is_whole ? 0.5 : 0) - delay_s, s;

	*is_vague = !came_at(open, about_s, doubt_s, &s);
	if (!*is_vague)
		return s;
	r->log->vague += is_whole;
	return now_s - delay_s;
}

static void
on_delivery(struct reading *r, const char *id, const char *line, double now_s,
    bool is_whole, bool is_known)
{
	double delay = number_of(line, " delay="), a = -1, b, c, d, came_s;
	const char *delays = strstr(line, " delays=");
	bool is_sent = strstr(line, " status=sent ") != NULL, is_vague;
	struct open_message *open;
	struct maillog_message *m;

	if (delay < 0)
		return;
	open = open_of(r, id, now_s, is_whole);
	if (open->at == SIZE_MAX) {
		came_s = arrival_of(r, open, now_s, delay, is_whole, &is_vague);
		open->at = new_message(r, open, came_s);
		r->log->unknown += !is_known;
		if (is_whole && is_vague)
			note_second(r, open->at, (int64_t)now_s);
		if (delays != NULL &&
		    sscanf(delays, " delays=%lf/%lf/%lf/%lf", &a, &b, &c, &d) ==
			4 &&
		    is_sent) {
			add_sample(&r->before, a);
			add_sample(&r->answers, d);
		}
	}
	m = &r->log->messages[open->at];
	m->rcpts += strstr(line, " status=deferred ") == NULL;
	if (is_sent)
		m->took_ms = (int64_t)(delay * 1000);
}

static void
add_edge(struct reading *r, double s, int change)
{
	if (r->edge_count == r->edge_room) {
		r->edge_room = r->edge_room > 0 ? r->edge_room * 2 : 1024;
		r->edges =
		    mem_realloc(r->edges, r->edge_room * sizeof(r->edges[0]));
	}
	r->edges[r->edge_count++] = (struct edge){s, change};
}

static void
on_session(struct reading *r, const char *line, double now_s, bool is_whole)
{
	double messages = number_of(line, " messages=");
	double age = number_of(line, " age=");
	double dial = number_of(line, " dial=");
	double from_s = now_s - age + (is_whole ? 1 : 0);

	if (age > 0 && from_s < now_s) {
		add_edge(r, from_s, 1);
		add_edge(r, now_s, -1);
	}
	if (dial > 0)
		add_sample(&r->dials, dial);
	if (messages < (double)SESSION_MESSAGES_MIN || age <= 0)
		return;
	add_sample(&r->ages, age);
	add_sample(&r->counts, messages);
	add_sample(&r->dialled, dial);
	r->knows_dials = r->knows_dials || dial >= 0;
}

/* answer_s: a round trip and the server's work on a message. An age is the
 * dial, an answer to the first, and that work for each of the others: so the
 * two are told apart. Where no line has the dial it is round trips, too. */
static double
apart_of(const struct reading *r, double answer_s)
{
	struct samples apart = {0};
	double found;

	for (size_t i = 0; i < r->ages.count; i++) {
		double age = (double)r->ages.values[i];
		double messages = (double)r->counts.values[i];
		double dial = (double)r->dialled.values[i];

		if (dial >= 0)
			found = (age - dial - answer_s) / (messages - 1);
		else if (!r->knows_dials)
			found = (age - DIAL_RTTS * answer_s) /
				(messages - DIAL_RTTS);
		else
			continue;
		add_sample(&apart, found > 0 ? found : 0);
	}
	found = quantile(&apart, 0.5);
	mem_free(apart.values);
	return found;
}

static void
on_qmgr(struct reading *r, const char *id, const char *text, double now_s,
    bool is_whole)
{
	double size = number_of(text, " size=");

	if (strcmp(text, "removed") == 0)
		forget(r, id);
	else if (strncmp(text, "from=<", 6) == 0 && size > 0 &&
		 size < UINT32_MAX)
		open_of(r, id, now_s, is_whole)->octets = (uint32_t)size;
}

/* Of a program that took it in: of the time before it was queued. */
static void
on_other(struct reading *r, const char *id, double now_s, bool is_whole)
{
	uint32_t us;

	if (queueid_usec(id, &us))
		(void)open_of(r, id, now_s, is_whole);
}

/* Who wrote a line. */
struct writer {
	char host[MAILLOG_HOST]; /* cut to that */
	char program[MAILLOG_PROGRAM];
	uint64_t process; /* 0: not known */
};

static uint64_t
process_of(const char *host, const char *number)
{
	char name[MAILLOG_HOST + 16];
	unsigned long pid = strtoul(number, NULL, 10);

	(void)snprintf(name, sizeof(name), "%s %lu", host, pid);
	return pid != 0 ? board_hash(name) : 0;
}

/* "HOST NAME/PROGRAM[PID]:"; what follows it, or NULL. */
static const char *
take_writer(const char *text, struct writer *w)
{
	const char *host_end = strchr(text, ' '), *tag, *end, *slash;
	size_t n;

	if (host_end == NULL)
		return NULL;
	tag = host_end + 1;
	end = strpbrk(tag, "[: ");
	if (end == NULL)
		return NULL;
	slash = memrchr(tag, '/', (size_t)(end - tag));
	if (slash == NULL)
		return NULL;
	n = (size_t)(end - slash - 1);
	if (n == 0 || n >= MAILLOG_PROGRAM)
		return NULL;
	memcpy(w->program, slash + 1, n);
	w->program[n] = '\0';
	(void)snprintf(
	    w->host, sizeof(w->host), "%.*s", (int)(host_end - text), text);
	w->process = *end == '[' ? process_of(w->host, end + 1) : 0;
	end = strstr(end, ": ");
	return end != NULL ? end + 2 : NULL;
}

/* A queue id and ": "; what follows, or NULL. */
static const char *
take_id(const char *text, char id[ID_SIZE])
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]))
		n++;
	if (n < 5 || n >= ID_SIZE || strncmp(text + n, ": ", 2) != 0)
		return NULL;
	memcpy(id, text, n);
	id[n] = '\0';
	return text + n + 2;
}

/* ---- whose lines they are --------------------------------------------------
 */

static struct maillog_owner *
owner_of(const struct maillog_owners *owners, uint64_t process)
{
	/* A process has many lines in a row. */
	for (size_t i = owners->count; i > 0; i--)
		if (owners->v[i - 1].process == process)
			return &owners->v[i - 1];
	return NULL;
}

/* "... lane=NAME left_out=... why="..."" */
static void
note_owner(struct maillog_owners *owners, uint64_t process, const char *line)
{
	static const char key[] = " lane=";
	const char *why = strstr(line, " why="), *at = strstr(line, key);
	struct maillog_owner *owner = owner_of(owners, process);
	char lane[MAILLOG_LANE];
	size_t n;

	if (at == NULL || (why != NULL && at > why) || process == 0)
		return;
	at += strlen(key);
	n = strcspn(at, " ");
	if (n == 0 || n >= sizeof(lane))
		return;
	memcpy(lane, at, n);
	lane[n] = '\0';
	if (owner == NULL) {
		owners->v = mem_realloc(
		    owners->v, (owners->count + 1) * sizeof(owners->v[0]));
		owner = &owners->v[owners->count++];
		owner->process = process;
		memcpy(owner->lane, lane, n + 1);
	} else if (strcmp(owner->lane, lane) != 0) {
		owner->lane[0] = '\0';
	}
}

bool
maillog_owners_have(const struct maillog_owners *owners, const char *lane)
{
	for (size_t i = 0; i < owners->count; i++)
		if (strcmp(owners->v[i].lane, lane) == 0)
			return true;
	return false;
}

/* *is_known: that it is this lane's. */
static bool
is_chosen(const struct reading *r, uint64_t process, bool *is_known)
{
	const struct maillog_owner *owner;

	*is_known = true;
	if (r->choice == NULL)
		return true;
	owner = owner_of(r->choice->owners, process);
	if (owner != NULL && owner->lane[0] != '\0')
		return strcmp(owner->lane, r->choice->lane) == 0;
	*is_known = false;
	return r->choice->takes_unknown;
}

static void
note_host(struct maillog *log, const char *host)
{
	char *place = log->host;

	if (place[0] != '\0' && strcmp(place, host) != 0)
		place = log->other_host;
	if (place[0] == '\0')
		(void)snprintf(place, MAILLOG_HOST, "%s", host);
}

static void
take_text(struct reading *r, const struct writer *w, const char *text,
    double now_s, bool is_whole)
{
	char id[ID_SIZE];
	const char *rest;
	bool is_ours = strcmp(w->program, r->log->program) == 0, is_known;

	if (is_ours && strncmp(text, "session=", 8) == 0 &&
	    strstr(text, " end=") != NULL) {
		if (r->owners != NULL)
			note_owner(r->owners, w->process, text);
		else if (is_chosen(r, w->process, &is_known))
			on_session(r, text, now_s, is_whole);
		return;
	}
	rest = r->owners == NULL ? take_id(text, id) : NULL;
	if (rest == NULL)
		return;
	if (is_ours && strncmp(rest, "to=<", 4) == 0) {
		if (is_chosen(r, w->process, &is_known)) {
			note_host(r->log, w->host);
			on_delivery(r, id, rest, now_s, is_whole, is_known);
		}
	} else if (strcmp(w->program, "qmgr") == 0) {
		on_qmgr(r, id, rest, now_s, is_whole);
	} else {
		on_other(r, id, now_s, is_whole);
	}
}

static void
take_line(struct reading *r, const char *line)
{
	struct writer w;
	const char *text;
	double now_s;
	bool is_whole;

	r->log->lines++;
	/* Most of a log are others. */
	if (r->owners != NULL && strstr(line, " lane=") == NULL)
		return;
	if (!take_time(r, line, &now_s, &is_whole, &text))
		return;
	text = take_writer(text, &w);
	if (text != NULL)
		take_text(r, &w, text, now_s, is_whole);
}

/* ---- all of it -------------------------------------------------------------
 */

static int
by_coming(const void *a, const void *b)
{
	const struct maillog_message *x = a, *y = b;

	return x->came_ms < y->came_ms ? -1 : x->came_ms > y->came_ms;
}

/* An end before a beginning of the same moment. */
static int
by_moment(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->s < y->s             ? -1
	       : x->s > y->s           ? 1
	       : x->change < y->change ? -1
				       : x->change > y->change;
}

static void
count_sessions(struct reading *r)
{
	int64_t now = 0, most = 0;

	if (r->edge_count == 0)
		return;
	qsort(r->edges, r->edge_count, sizeof(r->edges[0]), by_moment);
	for (size_t i = 0; i < r->edge_count; i++) {
		now += r->edges[i].change;
		if (now > most)
			most = now;
	}
	r->log->sessions = (size_t)most;
}

static void
sum_up(struct reading *r)
{
	struct maillog *log = r->log;

	spread(r);
	qsort(log->messages, log->count, sizeof(log->messages[0]), by_coming);
	for (size_t i = 0; i < log->count; i++) {
		const struct maillog_message *m = &log->messages[i];
		int64_t end_ms = m->came_ms + (m->took_ms > 0 ? m->took_ms : 0);

		if (i == 0)
			log->first_ms = m->came_ms;
		if (end_ms > log->last_ms)
			log->last_ms = end_ms;
	}
	log->before_ms = quantile(&r->before, 0.25) * 1000;
	log->dial_ms = quantile(&r->dials, 0.5) * 1000;
	log->answer_ms = quantile(&r->answers, 0.05) * 1000;
	log->apart_ms = apart_of(r, log->answer_ms / 1000) * 1000;
	count_sessions(r);
}

static bool
read_lines(struct reading *r, int fd)
{
	char *text = mem_alloc(LINE_MAX_SIZE);
	size_t length = 0;
	ssize_t got;

	while (
	    (got = read(fd, text + length, LINE_MAX_SIZE - 1 - length)) > 0) {
		char *from = text, *end;

		length += (size_t)got;
		while ((end = memchr(from, '\n',
			    length - (size_t)(from - text))) != NULL) {
			*end = '\0';
			take_line(r, from);
			from = end + 1;
		}
		length -= (size_t)(from - text);
		memmove(text, from, length);
		/* Longer than any of ours. */
		if (length == LINE_MAX_SIZE - 1)
			length = 0;
	}
	text[length] = '\0';
	if (got == 0 && length > 0)
		take_line(r, text);
	mem_free(text);
	return got == 0;
}

bool
maillog_owners_read(struct maillog_owners *owners, int fd, const char *program,
    char *error, size_t n)
{
	struct maillog log = {.messages = NULL};
	struct reading r = {.log = &log, .owners = owners, .year = YEAR_FIRST};
	bool is_read;

	memset(owners, 0, sizeof(*owners));
	(void)snprintf(log.program, sizeof(log.program), "%s", program);
	is_read = read_lines(&r, fd);
	if (!is_read)
		(void)snprintf(error, n, "%s", strerror(errno));
	return is_read;
}

void
maillog_owners_fini(struct maillog_owners *owners)
{
	mem_free(owners->v);
	memset(owners, 0, sizeof(*owners));
}

bool
maillog_read(struct maillog *log, int fd, const char *program,
    const struct maillog_choice *choice, char *error, size_t n)
{
	struct reading r = {.log = log, .choice = choice, .year = YEAR_FIRST};
	bool is_read;

	memset(log, 0, sizeof(*log));
	(void)snprintf(log->program, sizeof(log->program), "%s", program);
	is_read = read_lines(&r, fd);
	if (!is_read)
		(void)snprintf(error, n, "%s", strerror(errno));
	sum_up(&r);
	mem_free(r.table);
	mem_free(r.second);
	mem_free(r.before.values);
	mem_free(r.answers.values);
	mem_free(r.dialled.values);
	mem_free(r.dials.values);
	mem_free(r.ages.values);
	mem_free(r.counts.values);
	mem_free(r.edges);
	return is_read;
}

void
maillog_fini(struct maillog *log)
{
	mem_free(log->messages);
	memset(log, 0, sizeof(*log));
}
