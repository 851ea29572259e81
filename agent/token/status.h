/* status: how an access token stands, asked of the token service. */
#ifndef TOKEN_STATUS_H
#define TOKEN_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"

enum { STATUS_TEXT_SIZE = 1000, STATUS_WAIT_S = 5 };

struct status {
	int64_t lives_s; /* 0: there is no token */
	char text[STATUS_TEXT_SIZE]; /* the last failure; "": none */
};

/* Waits up to STATUS_WAIT_S. False: the service cannot be asked; text says
 * why. */
bool status_ask(
    struct status *out, const struct settings *set, const char *name);

/* A line of text for each NAME.conf of lane_token_directory; nothing when there
 * is no such directory. To stdout. */
void status_print(const struct settings *set);

/* The line for one: "token work: lives 41 min 3 s". True: there is a token. */
bool status_print_one(const struct settings *set, const char *name);

#endif
