#include "monitor/findings.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { TEXT_MAX = 1 << 16, QUOTED_MAX = 1 << 20 };

static char *__attribute__((format(printf, 1, 0)))
printed(const char *format, va_list args)
{
	char *text = mem_alloc(TEXT_MAX);

	(void)vsnprintf(text, TEXT_MAX, format, args);
	log_safe(text, strlen(text));
	return text;
}

struct finding *
findings_add(struct findings *f, const char *code,
    enum finding_severity severity, const char *lane, const char *format, ...)
{
	struct finding *one;
	va_list args;

	f->v = mem_realloc(f->v, (f->count + 1) * sizeof(f->v[0]));
	one = &f->v[f->count++];
	va_start(args, format);
	*one = (struct finding){
	    .code = code,
	    .severity = severity,
	    .lane = mem_strdup(lane != NULL ? lane : ""),
	    .text = printed(format, args),
	    .fix = mem_strdup(""),
	};
	va_end(args);
	return one;
}

void
findings_fix(struct findings *f, const char *format, ...)
{
	struct finding *one;
	va_list args;

	CHECK(f->count > 0);
	one = &f->v[f->count - 1];
	mem_free(one->fix);
	va_start(args, format);
	one->fix = printed(format, args);
	va_end(args);
}

void
findings_advise(struct findings *f, const char *format, ...)
{
	struct finding *one;
	char *advice, *text;
	va_list args;

	CHECK(f->count > 0);
	one = &f->v[f->count - 1];
	va_start(args, format);
	advice = printed(format, args);
	va_end(args);
	text = mem_printf("%s: %s", one->text, advice);
	mem_free(advice);
	mem_free(one->text);
	one->text = text;
}

void
findings_fini(struct findings *f)
{
	for (size_t i = 0; i < f->count; i++) {
		mem_free(f->v[i].lane);
		mem_free(f->v[i].text);
		mem_free(f->v[i].fix);
	}
	mem_free(f->v);
	*f = (struct findings){NULL, 0};
}

const char *
finding_severity_name(enum finding_severity severity)
{
	switch (severity) {
	case FINDING_NOTE:
		return "note";
	case FINDING_WARNING:
		return "warning";
	case FINDING_ERROR:
		break;
	}
	return "error";
}

int
findings_status(const struct findings *f)
{
	int worst = 0;

	for (size_t i = 0; i < f->count; i++)
		if ((int)f->v[i].severity > worst)
			worst = (int)f->v[i].severity;
	return worst;
}

json_t *
findings_json(const struct findings *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->count; i++) {
		const struct finding *one = &f->v[i];
		json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o}", "code",
		    one->code, "severity", finding_severity_name(one->severity),
		    "lane", clean_string(one->lane), "text",
		    clean_string(one->text), "fix", clean_string(one->fix));

		CHECK(o != NULL && json_array_append_new(list, o) == 0);
	}
	return list;
}

char *
findings_quoted(const char *text)
{
	struct buf out;
	char *quoted;

	buf_init(&out, QUOTED_MAX);
	(void)buf_add_char(&out, '\'');
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\'')
			(void)buf_add_str(&out, "'\\''");
		else
			(void)buf_add_char(&out, *p);
	}
	(void)buf_add_char(&out, '\'');
	quoted = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return quoted;
}
