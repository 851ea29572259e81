/* status_json: how lanes and accounts are, as one JSON object: what
 * "postlane -j status" prints and lanestat answers.
 *
 * The model's object (model_json.h) with, for each lane, "health" and
 * "sentence" (health.h), "not_in_force", names of settings that wait for a
 * reload, and "queue", its part of Postfix's queue with the forecast, null when
 * that is not known; and with "status", the exit status of the command. Tokens
 * have "health" and "sentence" as well.
 */
#ifndef STATUS_JSON_H
#define STATUS_JSON_H

#include <jansson.h>

#include "monitor/backlog.h"
#include "monitor/health.h"
#include "monitor/model.h"

/* The caller's, json_decref(). "status" is that of the lanes asked for by this
 * name (model_is_asked_for()); lanes are there all. */
json_t *status_json(const struct model *m, const struct backlog *b,
    enum postfix_state postfix, const char *name);

#endif
