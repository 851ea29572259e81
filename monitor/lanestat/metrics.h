/* metrics: what is known of lanes and accounts, for Prometheus.
 *
 * Text format 0.0.4, or OpenMetrics 1.0 for who asks for it. Every series of a
 * lane is there from the moment that master.cf has the lane, with 0 as long as
 * nothing happened; only quotas come with being set. Labels are names of lanes
 * and accounts (never a login) and words of fixed lists: no recipient, domain,
 * queue id, address or reply. Two accounts of one name are told apart by "#2"
 * behind it. Counters and histograms are the board's, which never resets them.
 * Histograms have the exact edges of board_hist, in seconds. Pure.
 *
 * Sources: prometheus.io/docs/instrumenting/exposition_formats,
 * prometheus.io/docs/practices/naming, OpenMetrics 1.0.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>

#include "common/base/buf.h"
#include "monitor/backlog.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

enum { METRICS_MAX = 4 << 20 }; /* octets, with room for 32 lanes */

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* By the value of the header field Accept (may be NULL). */
enum metrics_format metrics_choose(const char *accept);

const char *metrics_content_type(enum metrics_format format);

/* Appends all of it. */
void metrics_write(struct buf *out, enum metrics_format format,
    const struct model *m, const struct backlog *backlog,
    enum postfix_state postfix);

#endif
