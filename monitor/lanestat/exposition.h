/* exposition: the syntax of a scrape, line by line.
 *
 *   family -> (label* value)* -> family ... -> end
 *
 * The caller sees to it that a family comes once and each combination of its
 * labels once. Names are given as in OpenMetrics, a counter's without "_total"
 * and an info's without "_info"; what each format wants is added here. Text
 * beyond the buffer's maximum is an error of the buffer.
 */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"

enum exposition_type {
	EXPOSITION_COUNTER,
	EXPOSITION_GAUGE,
	EXPOSITION_HISTOGRAM,
	EXPOSITION_INFO,
};

struct exposition {
	struct buf *out;
	bool is_openmetrics;
	enum exposition_type type;
	const char *family;
	char labels[1024]; /* of the sample to come */
	size_t label_length;
};

void exposition_begin(
    struct exposition *e, struct buf *out, bool is_openmetrics);
void exposition_end(struct exposition *e);

/* family must outlive its samples. */
void exposition_family(struct exposition *e, enum exposition_type type,
    const char *family, const char *help);

/* Of the next sample. */
void exposition_label(
    struct exposition *e, const char *name, const char *value);

void exposition_count(struct exposition *e, uint64_t n);
void exposition_value(struct exposition *e, double value);

/* Of a histogram: "_sum", "_count"; a bucket by its upper edge, as text. */
void exposition_part(struct exposition *e, const char *suffix, double value);
void exposition_bucket(struct exposition *e, const char *edge, uint64_t count);

#endif
