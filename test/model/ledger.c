#include "test/model/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

void
ledger_init(struct ledger *l)
{
	*l = (struct ledger){0};
	for (size_t m = 0; m < LEDGER_MAILS; m++)
		l->mails[m].rcpt_count = m == 1 ? 2 : 1;
}

void
ledger_wrong(struct ledger *l, const char *format, ...)
{
	va_list ap;

	if (l->wrong[0] != '\0')
		return;
	va_start(ap, format);
	(void)vsnprintf(l->wrong, sizeof(l->wrong), format, ap);
	va_end(ap);
}

void
ledger_taken(struct ledger *l, size_t content, size_t sender,
    const bool rcpts[LEDGER_MAILS][LEDGER_RCPTS])
{
	if (content != sender && !l->is_mixing)
		ledger_wrong(l,
		    "mix-up: content of message %zu with the sender of %zu",
		    content, sender);
	for (size_t m = 0; m < LEDGER_MAILS; m++)
		for (size_t i = 0; i < LEDGER_RCPTS; i++) {
			if (!rcpts[m][i])
				continue;
			if (m != content && !l->is_mixing)
				ledger_wrong(l,
				    "mix-up: content of message %zu for a "
				    "recipient of %zu",
				    content, m);
			l->mails[m].rcpts[i].taken += m == content;
		}
}

void
ledger_refused(struct ledger *l, size_t mail, size_t rcpt)
{
	CHECK(mail < LEDGER_MAILS);
	for (size_t i = 0; i < LEDGER_RCPTS; i++)
		if (rcpt == LEDGER_RCPTS || i == rcpt)
			l->mails[mail].rcpts[i].refusals++;
}

void
ledger_unseen(struct ledger *l, size_t mail)
{
	CHECK(mail < LEDGER_MAILS);
	for (size_t i = 0; i < LEDGER_RCPTS; i++)
		l->mails[mail].rcpts[i].unseen++;
}

void
ledger_mixing(struct ledger *l)
{
	l->is_mixing = true;
}

void
ledger_decided(
    struct ledger *l, size_t mail, size_t rcpt, const struct verdict *v)
{
	struct ledger_rcpt *r = &l->mails[mail].rcpts[rcpt];

	if (r->is_decided)
		ledger_wrong(
		    l, "message %zu recipient %zu decided twice", mail, rcpt);
	r->is_decided = true;
	r->outcome = v->outcome;
	if (v->outcome == OUTCOME_SENT && r->taken == 0)
		ledger_wrong(l,
		    "false delivery: message %zu recipient %zu is told to be "
		    "sent (%.60s), nothing was taken",
		    mail, rcpt, v->dsn.text);
	if (v->outcome == OUTCOME_BOUNCE && r->refusals == 0)
		ledger_wrong(l,
		    "wrong bounce: message %zu recipient %zu (%.90s), which "
		    "nobody refused",
		    mail, rcpt, v->dsn.text);
	if (v->dsn.maybe_accepted)
		r->doubts++;
	if (v->dsn.maybe_accepted && v->outcome != OUTCOME_DEFER)
		ledger_wrong(l, "message %zu in doubt and not deferred", mail);
}

void
ledger_orphaned(struct ledger *l, size_t mail)
{
	for (size_t i = 0; i < LEDGER_RCPTS; i++)
		if (!l->mails[mail].rcpts[i].is_decided)
			l->mails[mail].rcpts[i].doubts++;
}

bool
ledger_is_decided(const struct ledger *l, size_t mail)
{
	const struct ledger_mail *m = &l->mails[mail];

	for (size_t i = 0; i < m->rcpt_count; i++)
		if (!m->rcpts[i].is_decided)
			return false;
	return true;
}

bool
ledger_all_decided(const struct ledger *l)
{
	for (size_t m = 0; m < LEDGER_MAILS; m++)
		if (!ledger_is_decided(l, m))
			return false;
	return true;
}

void
ledger_close(struct ledger *l)
{
	for (size_t m = 0; m < LEDGER_MAILS; m++)
		for (size_t i = 0; i < l->mails[m].rcpt_count; i++) {
			const struct ledger_rcpt *r = &l->mails[m].rcpts[i];
			int explained =
			    r->doubts + r->unseen +
			    (r->is_decided && r->outcome == OUTCOME_SENT);

			if (!r->is_decided)
				ledger_wrong(l,
				    "loss: message %zu recipient %zu was never "
				    "decided",
				    m, i);
			if (r->taken > explained && !l->is_mixing)
				ledger_wrong(l,
				    "message %zu recipient %zu was taken %d "
				    "times, and %d are explained",
				    m, i, r->taken, explained);
		}
}

static uint64_t
mix(uint64_t hash, int value)
{
	return (hash ^ (uint64_t)value) * UINT64_C(0x100000001b3); /* FNV-1a */
}

uint64_t
ledger_hash(const struct ledger *l)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t m = 0; m < LEDGER_MAILS; m++)
		for (size_t i = 0; i < l->mails[m].rcpt_count; i++) {
			const struct ledger_rcpt *r = &l->mails[m].rcpts[i];

			hash = mix(hash, (int)r->outcome);
			hash = mix(hash, r->taken);
			hash = mix(hash, r->doubts);
			hash = mix(hash, r->refusals);
		}
	return hash;
}
