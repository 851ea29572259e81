#include "agent/smarthost/dial.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

const char *
dial_stage_name(enum dial_stage stage)
{
	static const char *const names[] = {
	    [DIAL_RESOLVE] = "resolve",
	    [DIAL_CONNECT] = "connect",
	    [DIAL_GREETING] = "greeting",
	    [DIAL_EHLO] = "ehlo",
	    [DIAL_STARTTLS] = "starttls",
	    [DIAL_TLS] = "tls",
	    [DIAL_AUTH] = "auth",
	    [DIAL_TOKEN] = "token",
	    [DIAL_CONFIG] = "config",
	};

	return names[stage];
}

const char *
dial_namaddr(const struct dial *dial, char *out, size_t n)
{
	(void)snprintf(out, n, "%s[%s]", dial->at.host, dial->at.addr);
	return out;
}

const char *
dial_namaddrport(const struct dial *dial, char *out, size_t n)
{
	(void)snprintf(out, n, "%s[%s]:%u", dial->at.host, dial->at.addr,
	    (unsigned)dial->at.port);
	return out;
}

void
dial_set_timer(struct dial *dial, int64_t ms)
{
	if (ms > 0)
		loop_timer_at(
		    dial->timer, loop_now_ms(dial->dialer->loop) + ms);
	else
		loop_timer_cancel(dial->timer);
}

void
dial_wipe_credentials(struct dial *dial)
{
	if (dial->user != NULL)
		mem_wipe(dial->user, strlen(dial->user));
	if (dial->password != NULL)
		mem_wipe(dial->password, strlen(dial->password));
	if (dial->token != NULL)
		mem_wipe(dial->token, strlen(dial->token));
	mem_free(dial->user);
	mem_free(dial->password);
	mem_free(dial->token);
	dial->user = dial->password = dial->token = NULL;
	dial->is_token_renewed = false;
	dial->has_credentials = false;
}

void
dial_close_connection(struct dial *dial)
{
	loop_unwatch(&dial->watch);
	if (dial->fd >= 0)
		(void)close(dial->fd);
	dial->fd = -1;
	link_free(&dial->link);
	loop_timer_cancel(dial->timer);
	sasl_free(&dial->sasl);
	buf_fini_secret(&dial->out);
	buf_fini_secret(&dial->deferred);
}

void
dial_fail(struct dial *dial, enum dial_stage stage, const char *status,
    const char *format, ...)
{
	struct dial_result *r = &dial->result;
	char text[DSN_TEXT_MAX + 1];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	dsn_set(&r->dsn, status, "%s", text);
	r->dsn.cause =
	    stage == DIAL_CONFIG ? DSN_CAUSE_CONFIG : DSN_CAUSE_UNREACHABLE;
	r->stage = stage;
	mem_free(r->reply_text);
	r->reply_text = NULL;
	r->reply_code = 0;
	r->is_config_error = stage == DIAL_CONFIG;
	r->is_transport = r->is_certificate = r->is_told = false;
	dial->has_failed = true;
	if (stage == DIAL_CONNECT || stage == DIAL_GREETING)
		candidate_rest(&dial->dialer->rests, &dial->at.sa,
		    loop_now_ms(dial->dialer->loop));
	log_info("%s, session=%s", r->dsn.text, dial->session);
}

void
dial_result_fini(struct dial_result *result)
{
	link_free(&result->link);
	mem_free(result->reply_text);
	result->reply_text = NULL;
	mem_free(result->no_login);
	result->no_login = NULL;
}
