/* sim_models: the providers, and mail for them, that simulations are made of.
 */
#ifndef SIM_MODELS_H
#define SIM_MODELS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "tools/lane-sim/sim_world.h"

/* After sim_init(); false: there is no such model. */
bool sim_model_set(struct sim_world *w, const char *name);

/* A line for each. */
void sim_models_list(struct buf *out);

#endif
