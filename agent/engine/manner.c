#include "agent/engine/manner.h"
#include "common/base/log.h"

#include <ctype.h>
#include <string.h>

void
manner_init(struct manner *m)
{
	*m = (struct manner){.fastest = SESSION_BDAT};
}

static void
forget_wordings(struct manner *m)
{
	memset(m->wordings, 0, sizeof(m->wordings));
	memset(m->next, 0, sizeof(m->next));
	m->is_ambiguous = false;
	m->is_seen = m->is_confirmed = false;
}

enum {
	PACKED_NO_RSET = 8, /* beside the mode */
	WORDING_BITS = 28,
};

#define WORDING_MASK ((UINT64_C(1) << WORDING_BITS) - 1)

int
manner_pack(const struct manner *m)
{
	return (int)m->fastest + (m->no_rset ? PACKED_NO_RSET : 0);
}

void
manner_load(struct manner *m, int packed, int64_t learned_us, int64_t now_us)
{
	int mode = packed % PACKED_NO_RSET;

	if (packed <= 0 || packed >= 2 * PACKED_NO_RSET ||
	    mode > SESSION_LOCKSTEP || now_us - learned_us >= MANNER_MEMORY_US)
		return;
	if (mode > (int)m->fastest)
		m->fastest = (enum session_mode)mode;
	if (packed >= PACKED_NO_RSET)
		m->no_rset = true;
	if (m->learned_us == 0 || learned_us > m->learned_us)
		m->learned_us = learned_us;
}

enum session_mode
manner_fastest(struct manner *m, int64_t now_us)
{
	if (m->learned_us != 0 && now_us - m->learned_us >= MANNER_MEMORY_US) {
		m->fastest = SESSION_BDAT;
		m->no_rset = false;
		m->learned_us = 0;
	}
	return m->fastest;
}

bool
manner_slow_down(struct manner *m, enum session_mode mode, int64_t now_us)
{
	CHECK(mode <= SESSION_LOCKSTEP);
	if (m->fastest >= mode)
		return false;
	m->fastest = mode;
	m->learned_us = now_us;
	return true;
}

bool
manner_without_rset(struct manner *m, int64_t now_us)
{
	bool is_news = !m->no_rset;

	m->no_rset = true;
	m->learned_us = now_us;
	(void)manner_slow_down(m, SESSION_GROUP, now_us);
	return is_news;
}

bool
manner_lost_place(struct manner *m, enum session_mode mode, int64_t now_us)
{
	forget_wordings(m);
	m->hangs_up = false;
	if (m->taken_since >= MANNER_LOST_APART)
		m->lost = 0;
	m->taken_since = 0;
	if (mode < m->fastest || mode == SESSION_LOCKSTEP)
		return false; /* it began before the lesson was learned */
	if (++m->lost < MANNER_LOST_MAX)
		return false;
	m->lost = 0;
	return manner_slow_down(m, mode + 1, now_us);
}

void
manner_taken(struct manner *m)
{
	m->is_confirmed = true;
	if (m->taken_since < MANNER_LOST_APART)
		m->taken_since++;
}

static bool
is_plain(char c)
{
	return isalpha((unsigned char)c) || strchr(",.:;!?'()", c) != NULL;
}

static void
mix(uint64_t *hash, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*hash = (*hash ^ (unsigned char)p[i]) *
			UINT64_C(0x100000001b3); /* FNV-1a */
}

/* One word at p, of at most n octets: itself, or "#" for what varies. */
static size_t
mix_word(uint64_t *hash, const char *p, size_t n)
{
	size_t length = 0;
	bool is_word = true;

	while (length < n && p[length] != ' ' && p[length] != '\n') {
		is_word = is_word && is_plain(p[length]);
		length++;
	}
	mix(hash, is_word ? p : "#", is_word ? length : 1);
	mix(hash, " ", 1);
	return length;
}

uint64_t
manner_wording(const struct reply *reply)
{
	struct slice text = buf_slice(&reply->text);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	const char code[3] = {(char)('0' + reply->code / 100),
	    (char)('0' + reply->code / 10 % 10),
	    (char)('0' + reply->code % 10)};

	mix(&hash, code, sizeof(code));
	if (reply->has_status)
		mix(&hash, reply->status, strlen(reply->status));
	for (size_t at = 0; at < text.n; at++)
		if (text.p[at] != ' ' && text.p[at] != '\n')
			at += mix_word(&hash, text.p + at, text.n - at);
	hash = (hash ^ hash >> WORDING_BITS ^ hash >> 2 * WORDING_BITS) &
	       WORDING_MASK;
	return hash != 0 ? hash : 1;
}

enum manner_answer
manner_answer_to(enum command_kind kind)
{
	switch (kind) {
	case COMMAND_RSET:
		return ANSWER_RSET;
	case COMMAND_XFORWARD_CLIENT:
	case COMMAND_XFORWARD_PROTOCOL:
		return ANSWER_XFORWARD;
	case COMMAND_MAIL:
		return ANSWER_MAIL;
	case COMMAND_RCPT:
		return ANSWER_RCPT;
	case COMMAND_BODY:
	case COMMAND_BDAT_LAST:
		return ANSWER_END;
	case COMMAND_BDAT:
		return ANSWER_CHUNK;
	case COMMAND_AUTH:
	case COMMAND_DATA:
	case COMMAND_QUIT:
		break;
	}
	return ANSWER_KINDS;
}

static bool
is_among(const struct manner *m, enum manner_answer answer, uint64_t wording)
{
	for (size_t i = 0; i < MANNER_WORDINGS; i++)
		if (m->wordings[answer][i] == wording)
			return true;
	return false;
}

void
manner_learn(struct manner *m, enum manner_answer answer, uint64_t wording)
{
	CHECK(answer < ANSWER_KINDS);
	m->is_seen = m->is_seen || (answer == ANSWER_END && wording != 0);
	if (wording == 0 || is_among(m, answer, wording))
		return;
	m->wordings[answer][m->next[answer]++ % MANNER_WORDINGS] = wording;
}

bool
manner_is_usual(
    const struct manner *m, enum manner_answer answer, uint64_t wording)
{
	CHECK(answer < ANSWER_KINDS);
	return m->wordings[answer][0] == 0 || is_among(m, answer, wording);
}

bool
manner_is_new(const struct manner *m, uint64_t wording)
{
	for (enum manner_answer a = 0; a < ANSWER_KINDS; a++)
		if (is_among(m, a, wording))
			return false;
	return true;
}

/* Of an envelope, its end and what stands between two. The first of a kind is
 * learned first. */
static bool
is_whole(const struct manner *m)
{
	return m->wordings[ANSWER_RSET][0] != 0 &&
	       m->wordings[ANSWER_MAIL][0] != 0 &&
	       m->wordings[ANSWER_RCPT][0] != 0 &&
	       m->wordings[ANSWER_END][0] != 0;
}

enum manner_answer
manner_only(const struct manner *m, uint64_t wording)
{
	enum manner_answer found = ANSWER_KINDS;

	if (!is_whole(m))
		return ANSWER_KINDS;
	for (enum manner_answer a = 0; a < ANSWER_KINDS; a++) {
		if (!is_among(m, a, wording))
			continue;
		if (found != ANSWER_KINDS)
			return ANSWER_KINDS;
		found = a;
	}
	return found;
}

bool
manner_is_known(const struct manner *m, enum manner_answer answer)
{
	CHECK(answer < ANSWER_KINDS);
	for (size_t i = 0; i < MANNER_WORDINGS; i++) {
		uint64_t wording = m->wordings[answer][i];

		if (wording != 0 && manner_only(m, wording) == answer)
			return true;
	}
	return false;
}

bool
manner_tells_ends(const struct manner *m)
{
	return manner_is_known(m, ANSWER_END);
}

/* One that is the answer to nothing else, else the first. */
static uint64_t
only_wording(const struct manner *m, enum manner_answer answer)
{
	for (size_t i = 0; i < MANNER_WORDINGS; i++) {
		uint64_t wording = m->wordings[answer][i];

		if (wording != 0 && manner_only(m, wording) == answer)
			return wording;
	}
	return m->wordings[answer][0];
}

/* Where they stand in two words. */
static const enum manner_answer packed_kinds[] = {
    ANSWER_RSET, ANSWER_MAIL, ANSWER_RCPT, ANSWER_END};

void
manner_pack_wordings(const struct manner *m, uint64_t packed_out[2])
{
	packed_out[0] = packed_out[1] = 0;
	if (!manner_tells_ends(m))
		return;
	for (size_t i = 0; i < 4; i++)
		packed_out[i / 2] |= only_wording(m, packed_kinds[i])
				     << i % 2 * WORDING_BITS;
}

void
manner_load_wordings(struct manner *m, const uint64_t packed[2])
{
	uint64_t found[4];

	for (size_t i = 0; i < 4; i++) {
		found[i] = packed[i / 2] >> i % 2 * WORDING_BITS & WORDING_MASK;
		if (found[i] == 0)
			return;
	}
	for (size_t i = 0; i < 4; i++)
		manner_learn(m, packed_kinds[i], found[i]);
	m->is_seen = false;
}

const char *
manner_name(enum session_mode mode)
{
	static const char *const names[] = {
	    [SESSION_BDAT] = "BDAT, several messages at once",
	    [SESSION_OVERLAP] = "DATA, the next message's commands behind it",
	    [SESSION_GROUP] = "DATA, one message at a time",
	    [SESSION_LOCKSTEP] = "one command at a time",
	};

	return names[mode];
}
