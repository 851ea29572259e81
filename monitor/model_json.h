/* model_json: the model as one JSON object, for programs.
 *
 *   {"schema": 1, "release": ..., "version": ..., "now_wall_ms": ...,
 *    "boards": [...], "accounts": [...], "lanes": [...], "tokens": [...]}
 *
 * "schema" grows when a member changes its meaning or goes; new members may
 * come at any time. Numbers keep the names and units of model.h; counters,
 * gauges and histograms those of common/shared/board.h. An account is referred
 * to by its "index".
 */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <jansson.h>

#include "monitor/model.h"

/* The caller's, json_decref(). */
json_t *model_json(const struct model *m);

/* Parts of it, for commands that tell less. */
json_t *model_json_lane(const struct model_lane *lane);
json_t *model_json_account(const struct model_account *a, size_t index);

/* null: the account has none. */
json_t *model_json_fleet(const struct model_fleet *f);
json_t *model_json_fleet_heard(const struct model_fleet *f);

#endif
