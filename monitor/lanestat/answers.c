#include "monitor/lanestat/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/lanestat/page.h"

enum { STATUS_DOWN = 2 };

static const char json_type[] = "application/json";
static const char text_type[] = "text/plain; charset=utf-8";

/* The number behind "name=" in the query; none, or one that is no number:
 * otherwise. */
static int64_t
number_of(const char *query, const char *name, int64_t otherwise)
{
	size_t n = strlen(name);
	const char *p = query;

	while (p != NULL) {
		if (strncmp(p, name, n) == 0 && p[n] == '=') {
			char *end;
			long long value;

			errno = 0;
			value = strtoll(p + n + 1, &end, 10);
			return errno == 0 && end > p + n + 1 &&
				       (*end == '\0' || *end == '&') &&
				       value >= 0
				   ? value
				   : otherwise;
		}
		p = strchr(p, '&');
		if (p != NULL)
			p++;
	}
	return otherwise;
}

static void
give_page(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)r;
	out->type = "text/html; charset=utf-8";
	out->body = snapshot_page(s);
}

static void
give_style(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)s;
	(void)r;
	out->type = "text/css; charset=utf-8";
	out->body = page_style();
}

static void
give_script(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)s;
	(void)r;
	out->type = "text/javascript; charset=utf-8";
	out->body = page_script();
}

static void
give_metrics(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	enum metrics_format format = metrics_choose(r->accept);

	out->type = metrics_content_type(format);
	out->body = snapshot_metrics(s, format);
}

static void
give_status(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)r;
	out->type = json_type;
	out->body = snapshot_status(s);
}

static void
give_history(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	int64_t step_s = number_of(r->query, "step", 1);

	if (step_s != 1 && step_s != 60) {
		out->code = 400;
		out->type = text_type;
		out->body = slice_str("bad query: step must be 1 or 60\n");
		return;
	}
	out->type = json_type;
	out->body =
	    snapshot_history(s, step_s, number_of(r->query, "since", 0));
}

static void
give_health(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)r;
	out->code = snapshot_health(s) == STATUS_DOWN ? 503 : 200;
	out->type = text_type;
	out->body = snapshot_sentences(s);
}

/* Browsers ask for it by themselves. */
static void
give_nothing(
    struct snapshot *s, const struct web_request *r, struct web_answer *out)
{
	(void)s;
	(void)r;
	out->code = 204;
}

void
answers_give(struct snapshot *s, const struct web_request *request,
    struct web_answer *answer_out)
{
	static const struct {
		const char *path;
		void (*give)(struct snapshot *s, const struct web_request *r,
		    struct web_answer *out);
	} rows[] = {
	    {"/", give_page},
	    {"/page.css", give_style},
	    {"/page.js", give_script},
	    {"/metrics", give_metrics},
	    {"/api/status", give_status},
	    {"/api/history", give_history},
	    {"/healthz", give_health},
	    {"/favicon.ico", give_nothing},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(request->path, rows[i].path) == 0) {
			answer_out->code = 200;
			rows[i].give(s, request, answer_out);
			return;
		}
	answer_out->code = 404;
	answer_out->type = text_type;
	answer_out->body = slice_str("there is no such page: / has all\n");
}
