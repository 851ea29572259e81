#include "monitor/lanestat/exposition.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

void
exposition_begin(struct exposition *e, struct buf *out, bool is_openmetrics)
{
	*e = (struct exposition){.out = out, .is_openmetrics = is_openmetrics};
}

void
exposition_end(struct exposition *e)
{
	if (e->is_openmetrics)
		(void)buf_add_str(e->out, "# EOF\n");
}

static const char *
suffix_of(enum exposition_type type)
{
	switch (type) {
	case EXPOSITION_COUNTER:
		return "_total";
	case EXPOSITION_INFO:
		return "_info";
	case EXPOSITION_GAUGE:
	case EXPOSITION_HISTOGRAM:
		break;
	}
	return "";
}

/* An info is a gauge of the value 1 where there is no such type. */
static const char *
type_name(const struct exposition *e, enum exposition_type type)
{
	switch (type) {
	case EXPOSITION_COUNTER:
		return "counter";
	case EXPOSITION_HISTOGRAM:
		return "histogram";
	case EXPOSITION_INFO:
		return e->is_openmetrics ? "info" : "gauge";
	case EXPOSITION_GAUGE:
		break;
	}
	return "gauge";
}

void
exposition_family(struct exposition *e, enum exposition_type type,
    const char *family, const char *help)
{
	const char *suffix = e->is_openmetrics ? "" : suffix_of(type);

	CHECK(e->label_length == 0);
	e->type = type;
	e->family = family;
	(void)buf_addf(e->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", family,
	    suffix, help, family, suffix, type_name(e, type));
}

static void
add_octet(struct exposition *e, char c)
{
	CHECK(e->label_length < sizeof(e->labels) - 1);
	e->labels[e->label_length++] = c;
}

void
exposition_label(struct exposition *e, const char *name, const char *value)
{
	if (e->label_length > 0)
		add_octet(e, ',');
	for (const char *p = name; *p != '\0'; p++)
		add_octet(e, *p);
	add_octet(e, '=');
	add_octet(e, '"');
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			add_octet(e, '\\');
		add_octet(e, *p == '\n' ? ' ' : *p);
	}
	add_octet(e, '"');
}

/* Everything in front of the value. */
static void
add_name(struct exposition *e, const char *suffix)
{
	e->labels[e->label_length] = '\0';
	if (e->label_length > 0)
		(void)buf_addf(
		    e->out, "%s%s{%s} ", e->family, suffix, e->labels);
	else
		(void)buf_addf(e->out, "%s%s ", e->family, suffix);
	e->label_length = 0;
}

static void
add_value(struct exposition *e, double value)
{
	if (isnan(value))
		(void)buf_add_str(e->out, "NaN\n");
	else if (isinf(value))
		(void)buf_add_str(e->out, value > 0 ? "+Inf\n" : "-Inf\n");
	else
		(void)buf_addf(e->out, "%.15g\n", value);
}

void
exposition_count(struct exposition *e, uint64_t n)
{
	add_name(e, suffix_of(e->type));
	(void)buf_addf(e->out, "%" PRIu64 "\n", n);
}

void
exposition_value(struct exposition *e, double value)
{
	add_name(e, suffix_of(e->type));
	add_value(e, value);
}

void
exposition_part(struct exposition *e, const char *suffix, double value)
{
	add_name(e, suffix);
	add_value(e, value);
}

void
exposition_bucket(struct exposition *e, const char *edge, uint64_t count)
{
	exposition_label(e, "le", edge);
	add_name(e, "_bucket");
	(void)buf_addf(e->out, "%" PRIu64 "\n", count);
}
