#include "agent/postfix/logline.h"

#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/postfix/delay.h"
#include "common/postfix/version.h"
#include "common/smtp/address.h"

static void
put_address(struct buf *out, const struct settings *set, const char *label,
    const char *address)
{
	/* Before 3.5 there was only the internal form. */
	bool internal = !version_at_least(set->mail_version, 3, 5) ||
			strcmp(set->info_log_address_format, "internal") == 0;

	(void)buf_add_str(out, label);
	(void)buf_add_str(out, "=<");
	if (internal)
		(void)buf_add_str(out, address);
	else
		(void)address_to_log(out, slice_str(address));
	(void)buf_add_str(out, ">, ");
}

static void
put_delays(struct buf *out, const struct settings *set,
    const struct request *req, const struct verdict *v, struct timeval now)
{
	struct delay_times times = req->times;
	char text[DELAY_TEXT_SIZE];

	times.conn_done = v->conn_done;
	times.deliver_done = v->deliver_done;
	delay_to_text(&times, now, set->delay_logging_resolution_limit, text,
	    sizeof(text));
	(void)buf_add_str(out, text);
	(void)buf_add_str(out, ", ");
}

/* One line, whatever the server sent. */
static void
put_reason(struct buf *out, const char *text)
{
	(void)buf_add_char(out, '(');
	for (;;) {
		size_t n = strcspn(text, "\r\n");

		(void)buf_add(out, text, n);
		text += n;
		if (*text == '\0')
			break;
		(void)buf_add_char(out, ' ');
		text++;
	}
	(void)buf_add_char(out, ')');
}

void
logline_format(struct buf *out, const struct settings *set,
    const struct request *req, size_t i, const char *word, struct timeval now)
{
	const struct recipient *r = &req->rcpts[i];
	const struct verdict *v = r->verdict;

	(void)buf_add_str(out, req->queue_id);
	(void)buf_add_str(out, ": ");
	put_address(out, set, "to", r->address);
	if (r->original[0] != '\0' && strcasecmp(r->original, r->address) != 0)
		put_address(out, set, "orig_to", r->original);
	(void)buf_add_str(out, "relay=");
	(void)buf_add_str(out, v->relay);
	(void)buf_add_str(out, ", ");
	if (v->conn_use >= 2) {
		(void)buf_add_str(out, "conn_use=");
		(void)buf_add_number(out, (uint64_t)v->conn_use);
		(void)buf_add_str(out, ", ");
	}
	put_delays(out, set, req, v, now);
	if (set->smtp_log_tls_feature_status &&
	    version_at_least(set->mail_version, 3, 11))
		(void)buf_addf(out, "tls=%s, ", v->tls ? v->tls : "unknown");
	(void)buf_add_str(out, "dsn=");
	(void)buf_add_str(out, v->dsn.status);
	(void)buf_add_str(out, ", status=");
	(void)buf_add_str(out, word);
	(void)buf_add_char(out, ' ');
	put_reason(out, v->dsn.text);
}

void
logline_write(const struct settings *set, const struct request *req, size_t i,
    const char *word, struct timeval now)
{
	struct buf line;

	buf_init(&line, LOGLINE_MAX);
	logline_format(&line, set, req, i, word, now);
	log_info("%s", buf_str(&line));
	buf_fini(&line);
}
