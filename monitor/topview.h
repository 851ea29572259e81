/* topview: what `postlane top` shows, row by row.
 *
 *   Postfix is running                                            12:00:05
 *     LANE         STATE    RATE/S     LIMIT    WAIT   QUEUED    SESS      P95
 *   > fast         well       12.3   50/1s:2       3       14    4/20     120ms
 *       sends, nothing waits
 *       60s |▂▃▃▅▆█▇▆▅▅▃▂▂▁| 15/s
 *   account mx.example ####------ 4 of 20 held, 1 resting, 0 wanted
 *   (sessions of the lane that is chosen, as far as there is room)
 *   p pause  r resume  s sort: as set  q quit
 *
 * Rows fit the width, at least TOPVIEW_WIDTH_MIN; there are as many as the
 * height has, at least TOPVIEW_HEIGHT_MIN. Lanes that have no room lose first
 * the blank row, then the line of their pace, then their sentence; the one that
 * is chosen is always there. In less than 80 columns the limit, the 95th
 * percentile and the account's bar are left out, and the pace begins later.
 * State is a word, so that nothing is told by colour alone. Pure: time is the
 * model's.
 */
#ifndef TOPVIEW_H
#define TOPVIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "monitor/backlog.h"
#include "monitor/health.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

enum {
	TOPVIEW_WIDTH_MIN = 40,
	TOPVIEW_HEIGHT_MIN = 12,
	TOPVIEW_WIDTH_MAX = 400,
	TOPVIEW_HEIGHT_MAX = 200,
	TOPVIEW_TEXT = TOPVIEW_WIDTH_MAX * 4, /* octets of a row: UTF-8 */
};

enum topview_look {
	TOPVIEW_PLAIN,
	TOPVIEW_HEAD,
	TOPVIEW_DIM,
	TOPVIEW_WELL,
	TOPVIEW_SLOWED,
	TOPVIEW_PAUSED,
	TOPVIEW_ALARM, /* and down */
	TOPVIEW_PACE, /* the line of the last minute */
};

struct topview_row {
	char text[TOPVIEW_TEXT];
	enum topview_look look;
	bool is_chosen; /* the lane that keys act on */
};

enum topview_sort {
	TOPVIEW_AS_SET, /* as in master.cf */
	TOPVIEW_BY_RATE,
	TOPVIEW_BY_WAIT,
	TOPVIEW_BY_STATE,
	TOPVIEW_SORTS
};

struct topview_how {
	size_t width, height;
	bool is_utf8;
	enum topview_sort sort;
	const char *chosen; /* name of a lane; NULL, or another: the first */
	const char *remark; /* above the keys; NULL: none */
};

struct topview {
	struct topview_row rows[TOPVIEW_HEIGHT_MAX];
	size_t count;
	/* lanes as they are sorted, by index in the model */
	size_t *order;
	size_t lane_count, chosen; /* chosen: index in order */
};

/* backlog may be NULL. Free with topview_free(). */
struct topview *topview_new(const struct model *m,
    const struct backlog *backlog, enum postfix_state postfix,
    const struct topview_how *how);
void topview_free(struct topview **view);

#endif
