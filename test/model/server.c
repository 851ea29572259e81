#include "test/model/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

enum { IN_MAX = 4 << 20, LINE_SIZE = 256 };

/* The order is that of fault_names. */
enum fault {
	FAULT_NONE,
	FAULT_450,
	FAULT_550,
	FAULT_503,
	FAULT_CLOSE_BEFORE,
	FAULT_CLOSE_AFTER,
	FAULT_BREAK_AFTER,
	FAULT_HALF_REPLY,
	FAULT_STALL_BEFORE,
	FAULT_STALL_AFTER,
	FAULT_GARBAGE_LINE,
	FAULT_TWO_CODES,
	FAULT_221,
	FAULT_421,
	FAULT_421_GOES_ON,
	/* From here on replies and commands do not correspond any more. */
	FAULT_MISSING,
	FAULT_TWICE,
	FAULT_EXTRA,
	FAULT_GARBAGE_ONLY,
	FAULT_MERGED,
	FAULT_REFUSED_MISSING,
	FAULT_REFUSED_GARBAGE,
	FAULT_REFUSED_TWICE,
	FAULTS,
};

static const char *const fault_names[FAULTS] = {
    "obeyed",
    "refused with 450",
    "refused with 550",
    "refused with 503",
    "closed in its place",
    "done, and closed without a reply",
    "done, and broken before what was said arrived",
    "done, half a reply, and closed",
    "stalled in its place",
    "done, and stalled without a reply",
    "a garbage line before the reply",
    "a reply of two codes",
    "done, and answered by 221",
    "421, and closed",
    "refused with 421, and goes on",
    "done, the reply left out",
    "done, answered twice",
    "done, another reply before its own",
    "done, garbage in the place of the reply",
    "done, the reply merged into the next",
    "refused, the reply left out",
    "refused, garbage in the place of the reply",
    "refused with 550, twice",
};

enum command { RSET, MAIL, RCPT, DATA, END, CHUNK, QUIT };

static const char *const command_names[] = {
    "RSET", "MAIL", "RCPT", "DATA", "end of data", "BDAT", "QUIT"};

static const struct {
	int code;
	const char *words;
} obeyed[] = {
    [RSET] = {250, "2.0.0 ok"},
    [MAIL] = {250, "2.1.0 sender ok"},
    [RCPT] = {250, "2.1.5 recipient ok"},
    [DATA] = {354, "go on"},
    [END] = {250, "2.0.0 taken as 4Model1"},
    [CHUNK] = {250, "2.0.0 chunk"},
    [QUIT] = {221, "2.0.0 bye"},
};

void
server_init(struct server *s, struct server_site *site)
{
	*s = (struct server){.site = site};
	buf_init(&s->in, IN_MAX);
	buf_init(&s->content, IN_MAX);
}

void
server_fini(struct server *s)
{
	buf_fini(&s->in);
	buf_fini(&s->content);
}

/* ---- replies ------------------------------------------------------------
 */

static void
say_octets(struct server *s, const char *text)
{
	CHECK(s->reply_count < SERVER_REPLIES_MAX);
	(void)snprintf(
	    s->replies[s->reply_count++], SERVER_REPLY_SIZE, "%s", text);
}

static void
say(struct server *s, int code, const char *words)
{
	char text[SERVER_REPLY_SIZE];

	(void)snprintf(text, sizeof(text), "%d %s\r\n", code, words);
	say_octets(s, text);
}

static bool
is_alike(const struct server *s)
{
	return s->site->words == SERVER_ALIKE;
}

static const char *
words(const struct server *s, enum command command)
{
	return is_alike(s) && command != DATA && command != QUIT
		   ? "OK"
		   : obeyed[command].words;
}

/* The usual reply to a command that was obeyed. */
static void
say_done(struct server *s, enum command command)
{
	say(s, obeyed[command].code, words(s, command));
}

bool
server_has_reply(const struct server *s)
{
	return s->replies_read < s->reply_count;
}

const char *
server_read(struct server *s)
{
	return server_has_reply(s) ? s->replies[s->replies_read++] : NULL;
}

void
server_break(struct server *s)
{
	s->close = SERVER_RST;
	s->replies_read = s->reply_count;
}

bool
server_may_say_bye(const struct server *s)
{
	return !server_may_not_end(s);
}

bool
server_may_not_end(const struct server *s)
{
	return s->has_hidden ||
	       (s->said_421 > 0 && s->replies_read <= s->said_421);
}

void
server_say_bye(struct server *s)
{
	if (s->owes)
		ledger_unseen(s->site->ledger, s->owed);
	say(s, 421, "4.3.2 going down");
	s->close = SERVER_FIN;
}

/* ---- what goes wrong ----------------------------------------------------
 */

static bool
is_slip(enum fault fault)
{
	return fault >= FAULT_MISSING;
}

/* A reply is said that nobody asked for. */
static bool
is_surplus(enum fault fault)
{
	return fault == FAULT_TWICE || fault == FAULT_EXTRA ||
	       fault == FAULT_REFUSED_TWICE;
}

/* Does the command have its usual effect? */
static bool
is_done(enum fault fault)
{
	switch (fault) {
	case FAULT_450:
	case FAULT_550:
	case FAULT_503:
	case FAULT_421:
	case FAULT_421_GOES_ON:
	case FAULT_CLOSE_BEFORE:
	case FAULT_STALL_BEFORE:
	case FAULT_TWO_CODES:
	case FAULT_REFUSED_MISSING:
	case FAULT_REFUSED_GARBAGE:
	case FAULT_REFUSED_TWICE:
		return false;
	case FAULT_NONE:
	case FAULT_CLOSE_AFTER:
	case FAULT_BREAK_AFTER:
	case FAULT_HALF_REPLY:
	case FAULT_STALL_AFTER:
	case FAULT_GARBAGE_LINE:
	case FAULT_221:
	case FAULT_MISSING:
	case FAULT_TWICE:
	case FAULT_EXTRA:
	case FAULT_GARBAGE_ONLY:
	case FAULT_MERGED:
	case FAULTS:
		break;
	}
	return true;
}

#define BIT(fault) (UINT32_C(1) << (fault))
#define REFUSALS                                                               \
	(BIT(FAULT_450) | BIT(FAULT_550) | BIT(FAULT_503) |                    \
	    BIT(FAULT_TWO_CODES))
#define ALL_421 (BIT(FAULT_421) | BIT(FAULT_421_GOES_ON))
#define CLOSES                                                                 \
	(BIT(FAULT_CLOSE_BEFORE) | BIT(FAULT_CLOSE_AFTER) |                    \
	    BIT(FAULT_BREAK_AFTER) | BIT(FAULT_HALF_REPLY))
#define SLIPS (EXPLORE_ALL(FAULTS) & ~EXPLORE_ALL(FAULT_MISSING))

static bool
has_rcpt(const struct server *s)
{
	for (size_t m = 0; m < LEDGER_MAILS; m++)
		for (size_t i = 0; i < LEDGER_RCPTS; i++)
			if (s->rcpts[m][i])
				return true;
	return false;
}

/* What nobody can tell from something else is left out. Replies slip once in a
 * run: several slips within a message may make the count right again.
 * Who says 421 to one command and means no more than that does not close before
 * the next reply was heard; nor does who refuses and does not say so: what came
 * next would be the last word on it. */
static uint32_t
allowed(const struct server *s)
{
	uint32_t all = EXPLORE_ALL(FAULTS);

	if (server_may_not_end(s))
		all &= ~(CLOSES | ALL_421);
	if (s->site->has_slipped)
		all &= ~SLIPS;
	return all;
}

/* A transaction stays open, and what stands behind RSET is read as part of it.
 */
static bool
keeps_open(const struct server *s, enum command command, enum fault fault)
{
	return command == RSET && s->has_mail && buf_len(&s->in) > 0 &&
	       !is_done(fault);
}

/* Behind a reply that was left out a 421, or the refusal of RSET, is taken for
 * that: one copy more than are in doubt may be what comes of it. */
static void
note_unseen(struct server *s, enum command command, enum fault fault)
{
	uint32_t refusals =
	    command == RSET ? ALL_421 | REFUSALS : (uint32_t)ALL_421;

	if (s->owes && (BIT(fault) & refusals) != 0)
		ledger_unseen(s->site->ledger, s->owed);
	if (keeps_open(s, command, fault))
		ledger_mixing(s->site->ledger);
}

static enum fault
choose(struct server *s, enum command command)
{
	struct explore *x = s->site->explore;
	enum fault fault;

	if (x == NULL)
		return FAULT_NONE;
	fault = (enum fault)explore_pick(
	    x, command_names[command], (int)s->meant, fault_names, allowed(s));
	note_unseen(s, command, fault);
	if (fault == FAULT_421_GOES_ON)
		s->said_421 = s->reply_count + 1;
	s->has_hidden = s->has_hidden || fault == FAULT_REFUSED_MISSING;
	if (is_slip(fault))
		s->site->has_slipped = true;
	if ((is_slip(fault) && !is_surplus(fault)) ||
	    fault == FAULT_STALL_AFTER) {
		s->owes = true;
		s->owed = s->meant;
	}
	return fault;
}

static void
say_half(struct server *s, enum command command)
{
	char *text;

	say_done(s, command);
	text = s->replies[s->reply_count - 1];
	text[strlen(text) / 2] = '\0';
	s->close = SERVER_FIN;
}

static void
say_merged(struct server *s, enum command command)
{
	char text[SERVER_REPLY_SIZE];

	(void)snprintf(text, sizeof(text), "%d-%s\r\n", obeyed[command].code,
	    words(s, command));
	say_octets(s, text);
}

/* The reply to a command that had its usual effect, or none. */
static void
answer(struct server *s, enum command command, enum fault fault)
{
	switch (fault) {
	case FAULT_NONE:
		say_done(s, command);
		break;
	case FAULT_450:
		say(s, 450, "4.2.0 not now");
		break;
	case FAULT_550:
		say(s, 550, "5.7.1 no");
		break;
	case FAULT_503:
		say(s, 503, "5.5.1 bad sequence");
		break;
	case FAULT_421:
		server_say_bye(s);
		break;
	case FAULT_421_GOES_ON:
		say(s, 421, "4.3.2 busy");
		break;
	case FAULT_CLOSE_BEFORE:
	case FAULT_CLOSE_AFTER:
		s->close = SERVER_FIN;
		break;
	case FAULT_BREAK_AFTER:
		server_break(s);
		break;
	case FAULT_HALF_REPLY:
		say_half(s, command);
		break;
	case FAULT_STALL_BEFORE:
		s->is_deaf = s->is_gone = true;
		break;
	case FAULT_STALL_AFTER:
		s->is_deaf = true;
		break;
	case FAULT_GARBAGE_LINE:
		say_octets(s, "what is this\r\n");
		say_done(s, command);
		break;
	case FAULT_TWO_CODES:
		say_octets(s, "550-5.7.1 no\r\n450 4.2.0 not now\r\n");
		break;
	case FAULT_221:
		say(s, 221, "2.0.0 bye");
		break;
	case FAULT_MISSING:
	case FAULT_REFUSED_MISSING:
		break;
	case FAULT_TWICE:
		say_done(s, command);
		say_done(s, command);
		break;
	case FAULT_EXTRA:
		say(s, 250, is_alike(s) ? "OK" : "2.0.0 well");
		say_done(s, command);
		break;
	case FAULT_GARBAGE_ONLY:
	case FAULT_REFUSED_GARBAGE:
		say_octets(s, "what is this\r\n");
		break;
	case FAULT_MERGED:
		say_merged(s, command);
		break;
	case FAULT_REFUSED_TWICE:
		say(s, 550, "5.7.1 no");
		say(s, 550, "5.7.1 no");
		break;
	case FAULTS:
		CHECK(false);
	}
}

static bool
is_final(enum fault fault)
{
	return fault == FAULT_550 || fault == FAULT_503 ||
	       fault == FAULT_TWO_CODES || fault == FAULT_REFUSED_MISSING ||
	       fault == FAULT_REFUSED_GARBAGE || fault == FAULT_REFUSED_TWICE;
}

static bool
is_about_mail(enum command command)
{
	return command != RSET && command != QUIT;
}

/* A choice, and its reply; true: the command has its effect. A refusal that was
 * chosen is noted for the message, or one of its recipients. */
static bool
obey(struct server *s, enum command command, size_t mail, size_t rcpt)
{
	enum fault fault = choose(s, command);

	if (is_final(fault) && is_about_mail(command))
		ledger_refused(s->site->ledger, mail, rcpt);
	answer(s, command, fault);
	return is_done(fault);
}

/* ---- commands -----------------------------------------------------------
 */

static void
reset(struct server *s)
{
	s->has_mail = false;
	memset(s->rcpts, 0, sizeof(s->rcpts));
	buf_reset(&s->content);
}

static void
do_mail(struct server *s, const char *line)
{
	size_t number = strtoul(line + strlen("MAIL FROM:<m"), NULL, 10);

	CHECK(number < LEDGER_MAILS);
	s->meant = number;
	if (s->has_mail) {
		say(s, 503, "5.5.1 nested MAIL command");
		return;
	}
	if (!obey(s, MAIL, number, LEDGER_RCPTS))
		return;
	s->has_mail = true;
	s->sender = number;
}

static void
do_rcpt(struct server *s, const char *line)
{
	char *end;
	size_t number = strtoul(line + strlen("RCPT TO:<r"), &end, 10);
	size_t i = strtoul(end + 1, NULL, 10);

	CHECK(number < LEDGER_MAILS && i < LEDGER_RCPTS);
	if (!s->has_mail)
		say(s, 503, "5.5.1 need MAIL command");
	else if (obey(s, RCPT, number, i))
		s->rcpts[number][i] = true;
}

static void
take(struct server *s)
{
	struct slice got = buf_slice(&s->content);

	for (size_t m = 0; m < LEDGER_MAILS; m++) {
		struct slice all = buf_slice(&s->site->contents[m]);

		if (got.n == all.n && memcmp(got.p, all.p, got.n) == 0) {
			ledger_taken(s->site->ledger, m, s->sender, s->rcpts);
			return;
		}
	}
	ledger_wrong(
	    s->site->ledger, "a content of %zu octets is nobody's", got.n);
}

static void
end_of_data(struct server *s)
{
	bool is_over = s->site->kind == SERVER_EXIM || s->in_bdat;

	s->in_data = s->in_bdat = false;
	if (!has_rcpt(s))
		say(s, 554, "5.5.1 no valid recipients");
	else if (obey(s, END, s->meant, LEDGER_RCPTS)) {
		take(s);
		is_over = true;
	}
	if (is_over)
		reset(s);
	buf_reset(&s->content);
}

static void
do_data(struct server *s)
{
	if (!s->has_mail || !has_rcpt(s)) {
		say(s, s->has_mail ? 554 : 503, "5.5.1 no valid recipients");
		return;
	}
	if (!obey(s, DATA, s->meant, LEDGER_RCPTS))
		return;
	buf_reset(&s->content);
	s->in_data = true;
}

static void
end_of_chunk(struct server *s)
{
	if (s->is_bdat_refused) {
		s->in_bdat = false;
	} else if (s->is_last) {
		end_of_data(s);
	} else {
		s->in_bdat = false;
		if (!obey(s, CHUNK, s->meant, LEDGER_RCPTS))
			reset(s);
	}
}

static void
do_bdat(struct server *s, const char *line)
{
	s->payload_left = strtoul(line + 5, NULL, 10);
	s->is_last = strstr(line, " LAST") != NULL;
	s->in_bdat = true;
	s->is_bdat_refused = !s->has_mail || !has_rcpt(s);
	if (s->is_bdat_refused) {
		say(s, 503, "5.5.1 no valid recipients");
		if (s->site->kind == SERVER_POSTFIX)
			reset(s);
	}
	if (s->payload_left == 0)
		end_of_chunk(s);
}

static void
do_command(struct server *s, const char *line)
{
	s->commands++;
	if (strncmp(line, "MAIL FROM:<m", 12) == 0) {
		do_mail(s, line);
	} else if (strncmp(line, "RCPT TO:<r", 10) == 0) {
		do_rcpt(s, line);
	} else if (strcmp(line, "DATA") == 0) {
		do_data(s);
	} else if (strncmp(line, "BDAT ", 5) == 0) {
		do_bdat(s, line);
	} else if (strcmp(line, "RSET") == 0) {
		if (obey(s, RSET, s->meant, LEDGER_RCPTS))
			reset(s);
	} else if (strcmp(line, "QUIT") == 0) {
		(void)obey(s, QUIT, s->meant, LEDGER_RCPTS);
		if (s->close == SERVER_OPEN && !s->is_deaf)
			s->close = SERVER_FIN;
	} else {
		ledger_wrong(s->site->ledger, "not a command: %.60s", line);
		s->close = SERVER_FIN;
	}
}

/* The line that begins what arrived, its end included; 0: there is none. */
static size_t
line_length(const struct server *s)
{
	struct slice all = buf_slice(&s->in);
	const char *end = memchr(all.p, '\n', all.n);

	return end != NULL ? (size_t)(end - all.p) + 1 : 0;
}

static void
eat_payload(struct server *s)
{
	struct slice all = buf_slice(&s->in);
	size_t n = all.n < s->payload_left ? all.n : s->payload_left;

	if (!s->is_bdat_refused)
		CHECK(buf_add(&s->content, all.p, n));
	buf_consume(&s->in, n);
	s->payload_left -= n;
	if (s->payload_left == 0)
		end_of_chunk(s);
}

/* Lines of content up to its end, as far as they are here. */
static void
eat_content(struct server *s)
{
	size_t n;

	while (s->in_data && (n = line_length(s)) > 0) {
		const char *p = buf_slice(&s->in).p;
		bool is_end = n == 3 && p[0] == '.';

		if (!is_end)
			CHECK(buf_add(
			    &s->content, p + (p[0] == '.'), n - (p[0] == '.')));
		buf_consume(&s->in, n);
		if (is_end)
			end_of_data(s);
	}
}

static void
eat_line(struct server *s)
{
	char line[LINE_SIZE];
	size_t n = line_length(s);

	CHECK(n >= 2 && n < sizeof(line));
	memcpy(line, buf_slice(&s->in).p, n - 2);
	line[n - 2] = '\0';
	buf_consume(&s->in, n);
	do_command(s, line);
}

bool
server_is_due(const struct server *s)
{
	if (s->close != SERVER_OPEN || s->is_deaf || s->is_gone)
		return false;
	return s->in_bdat ? buf_len(&s->in) > 0 : line_length(s) > 0;
}

void
server_step(struct server *s)
{
	CHECK(server_is_due(s));
	if (s->in_bdat)
		eat_payload(s);
	else if (s->in_data)
		eat_content(s);
	else
		eat_line(s);
}

void
server_step_out(struct server *s)
{
	struct explore *x = s->site->explore;

	s->site->explore = NULL;
	while (server_is_due(s))
		server_step(s);
	s->site->explore = x;
}
