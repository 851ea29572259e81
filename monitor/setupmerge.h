/* setupmerge: takes out of a main.cf or master.cf what setup added there, also
 * where somebody has changed it since.
 *
 *   entry of a lane            goes; what it had come to is told
 *   the same name, not a lane  stays, and is told
 *   fast_..., slow_...         go; what they had come to is told
 *   the table of transport_maps, senders' relays: goes out of the list
 *   default_transport and other settings of Postfix: go as they were added,
 *                              else stay, and are told
 *
 * What is not there any more is nothing to be done. Pure: texts in, text out.
 */
#ifndef SETUPMERGE_H
#define SETUPMERGE_H

#include "common/base/buf.h"
#include "monitor/setupplan.h"

/* text (the caller's before and after) without what added, the new part of a
 * change of that file (hunk.h), brought there. told gets lines about what was
 * changed by hand. */
char *setupmerge_main_cf(const struct setupplan *plan, const char *added,
    char *text, struct buf *told);
char *setupmerge_master_cf(const struct setupplan *plan, const char *added,
    char *text, struct buf *told);

/* A line of text that counts has path, alone or behind "type:". */
bool setupmerge_names(const char *text, const char *path);

#endif
