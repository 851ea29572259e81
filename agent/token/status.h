/* status: how an access token stands, asked of the token service. */
#ifndef TOKEN_STATUS_H
#define TOKEN_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"

/* A line of text for each NAME.conf of lane_token_directory; nothing when there
 * is no such directory. To stdout. */
void status_print(const struct settings *set);

/* The line for one: "token work: lives 41 min 3 s". True: there is a token. */
bool status_print_one(const struct settings *set, const char *name);

#endif
