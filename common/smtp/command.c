#include "common/smtp/command.h"

#include <string.h>

#include "common/base/utf8.h"
#include "common/smtp/address.h"
#include "common/smtp/xtext.h"

/* A line in the making at the end of `out`; once something fails, finish()
 * takes all of it back. */
struct line {
	struct buf *out;
	size_t mark; /* content of out before the line */
	bool overflow, ok;
};

static struct line
begin(struct buf *out)
{
	return (struct line){
	    .out = out,
	    .mark = buf_len(out),
	    .overflow = out->overflow,
	    .ok = true,
	};
}

static bool
finish(struct line *line)
{
	struct buf *out = line->out;

	line->ok = line->ok && buf_add(out, "\r\n", 2) &&
		   buf_len(out) - line->mark <= COMMAND_LINE_MAX;
	if (!line->ok) {
		out->len = out->off + line->mark;
		out->overflow = line->overflow;
	}
	return line->ok;
}

static void
add(struct line *line, const char *text)
{
	line->ok = line->ok && buf_add_str(line->out, text);
}

static void
add_number(struct line *line, const char *before, uint64_t value)
{
	add(line, before);
	line->ok = line->ok && buf_add_number(line->out, value);
}

/* Octets as they are; those that would end the line or hide its rest are
 * refused. */
static void
add_raw(struct line *line, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\r' || text.p[i] == '\n' || text.p[i] == '\0')
			line->ok = false;
	line->ok = line->ok && buf_add_slice(line->out, text);
}

/* As smtp(8), octets above 127 go out whether or not SMTPUTF8 was agreed on:
 * a site that lives without SMTPUTF8 has its peer decide. */
static void
add_path(struct line *line, struct slice address)
{
	add(line, "<");
	line->ok = line->ok && address_to_smtp(line->out, address, true);
	add(line, ">");
}

bool
command_mail(struct buf *out, const struct command_mail *mail)
{
	struct line line = begin(out);

	add(&line, "MAIL FROM:");
	add_path(&line, mail->sender);
	if (mail->use_size)
		add_number(&line, " SIZE=", mail->size);
	if (mail->body == BODY_8BIT)
		add(&line, " BODY=8BITMIME");
	else if (mail->body == BODY_7BIT)
		add(&line, " BODY=7BIT");
	if (mail->use_dsn && mail->envid.n > 0) {
		add(&line, " ENVID=");
		line.ok = line.ok && xtext_encode(out, mail->envid);
	}
	if (mail->use_dsn && mail->ret == COMMAND_RET_FULL)
		add(&line, " RET=FULL");
	else if (mail->use_dsn && mail->ret == COMMAND_RET_HDRS)
		add(&line, " RET=HDRS");
	if (mail->smtputf8)
		add(&line, " SMTPUTF8");
	if (mail->requiretls)
		add(&line, " REQUIRETLS");
	if (mail->auth_empty)
		add(&line, " AUTH=<>");
	if (mail->use_priority)
		line.ok =
		    line.ok && buf_addf(out, " MT-PRIORITY=%d", mail->priority);
	return finish(&line);
}

enum { ADDRESS_TEXT_MAX = COMMAND_LINE_MAX };

/* Type and address in one go: the type decides on the encoding. A utf-8
 * address that is not UTF-8 gives no parameter at all, as in smtp(8). */
static void
add_orcpt(struct line *line, struct slice type_and_address)
{
	static const char utf8_type[] = "utf-8;";
	size_t n = sizeof utf8_type - 1;
	bool is_utf8 = type_and_address.n >= n &&
		       strncasecmp(type_and_address.p, utf8_type, n) == 0;

	if (is_utf8 && !utf8_is_valid(type_and_address))
		return;
	add(line, " ORCPT=");
	if (is_utf8)
		line->ok =
		    line->ok && unitext_encode(line->out, type_and_address);
	else
		line->ok =
		    line->ok && xtext_encode(line->out, type_and_address);
}

/* ORCPT made from the address that the message was first sent to. */
static void
add_made_orcpt(struct line *line, struct slice original, bool smtputf8)
{
	struct buf text;
	bool as_utf8 =
	    smtputf8 && !address_is_ascii(original) && utf8_is_valid(original);

	buf_init(&text, ADDRESS_TEXT_MAX);
	(void)buf_add_str(&text, as_utf8 ? "utf-8;" : "rfc822;");
	line->ok = line->ok && address_to_log(&text, original);
	if (line->ok)
		add_orcpt(line, buf_slice(&text));
	buf_fini(&text);
}

static void
add_notify(struct line *line, int flags)
{
	static const struct {
		int bit;
		const char *word;
	} words[] = {
	    {COMMAND_NOTIFY_NEVER, "NEVER"},
	    {COMMAND_NOTIFY_SUCCESS, "SUCCESS"},
	    {COMMAND_NOTIFY_FAILURE, "FAILURE"},
	    {COMMAND_NOTIFY_DELAY, "DELAY"},
	};
	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if ((flags & words[i].bit) == 0)
			continue;
		add(line, separator);
		add(line, words[i].word);
		separator = ",";
	}
}

bool
command_rcpt(struct buf *out, const struct command_rcpt *rcpt)
{
	struct line line = begin(out);

	line.ok = rcpt->recipient.n > 0;
	add(&line, "RCPT TO:");
	add_path(&line, rcpt->recipient);
	if (rcpt->use_dsn) {
		if (rcpt->orcpt.n > 0)
			add_orcpt(&line, rcpt->orcpt);
		else if (rcpt->original_recipient.n > 0)
			add_made_orcpt(
			    &line, rcpt->original_recipient, rcpt->smtputf8);
		add_notify(&line, rcpt->notify_flags);
	}
	return finish(&line);
}

bool
command_data(struct buf *out)
{
	return buf_add_str(out, "DATA\r\n");
}

bool
command_bdat(struct buf *out, uint64_t n, bool is_last)
{
	struct line line = begin(out);

	add_number(&line, "BDAT ", n);
	if (is_last)
		add(&line, " LAST");
	return finish(&line);
}

bool
command_rset(struct buf *out)
{
	return buf_add_str(out, "RSET\r\n");
}

bool
command_quit(struct buf *out)
{
	return buf_add_str(out, "QUIT\r\n");
}

bool
command_starttls(struct buf *out)
{
	return buf_add_str(out, "STARTTLS\r\n");
}

bool
command_ehlo(struct buf *out, const char *name)
{
	return command_text(out, "EHLO", slice_str(name));
}

bool
command_helo(struct buf *out, const char *name)
{
	return command_text(out, "HELO", slice_str(name));
}

bool
command_text(struct buf *out, const char *verb, struct slice argument)
{
	struct line line = begin(out);

	add_raw(&line, slice_str(verb));
	if (argument.n > 0) {
		add(&line, " ");
		add_raw(&line, argument);
	}
	return finish(&line);
}
