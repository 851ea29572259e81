/* page: the live page of lanestat, as files that are part of the program.
 *
 * page.html has a place where the server puts plain tables of what there is
 * now: all that a browser without JavaScript has, and what page.js takes the
 * place of. Nothing is loaded from elsewhere.
 */
#ifndef PAGE_H
#define PAGE_H

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "monitor/backlog.h"
#include "monitor/lanestat/history.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

/* Appends the whole document. */
void page_write(struct buf *out, const struct model *m,
    const struct backlog *backlog, enum postfix_state postfix,
    const struct history *history);

struct slice page_style(void);
struct slice page_script(void);

#endif
