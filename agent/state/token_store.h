/* token_store: how the access tokens of a site stand, for who looks.
 *
 * A file of lane_state_directory (persist.h): a row for each NAME.conf, written
 * by the token service when something changes. Never a token or a secret. Times
 * are monotonic, as those of the tokens are: a wrong clock on the wall does not
 * matter. Tokens live in the service's memory: each process of it begins with
 * rows that say that there is none.
 *
 * Without the directory nothing is shown.
 */
#ifndef TOKEN_STORE_H
#define TOKEN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/state/statefile.h"
#include "common/shared/tokenproto.h"

enum {
	TOKEN_STORE_ROWS = 32, /* shown; there may be more */
	TOKEN_STORE_REASON_SIZE = 480,
};

/* Plain, for the file; zeroed: not in use. */
struct token_row {
	char name[TOKENPROTO_NAME_MAX + 8];
	char reason[TOKEN_STORE_REASON_SIZE]; /* why the last fetch failed; "":
						 it did not */
	int64_t end_ms; /* of the token that is held, or was last; 0: none */
	int64_t failing_ms; /* since when fetches fail; 0: they do not */
	int64_t is_lasting; /* somebody has to change something */
};

struct token_rows {
	uint64_t boot; /* whose monotonic times these are */
	struct token_row row[TOKEN_STORE_ROWS];
};

struct token_store;

/* service: its name in master.cf. dir (NULL: none) is borrowed. Never NULL. */
struct token_store *token_store_open(
    const struct statefile_dir *dir, const char *service);
void token_store_close(struct token_store **store);

/* The row of row->name is this from now on. Beyond TOKEN_STORE_ROWS names it is
 * left out. */
void token_store_set(struct token_store *store, const struct token_row *row);

/* Sound rows, in times of this boot: of another boot there are none. False:
 * there is no such file in the directory. */
bool token_store_look(
    int dir_fd, const char *service, uint64_t boot, struct token_rows *out);

#endif
