/* confdir: the files of lane_token_directory, read as root.
 *
 * The directory and each file in it that is used belong to root (to whoever
 * reads them), and nobody else may write to them; files with secrets nobody
 * else may read. What is not so is not used, and said.
 *
 * A NAME.conf that cannot be used stays in the list with its error: who asks
 * for that token is told.
 */
#ifndef TOKEN_CONFDIR_H
#define TOKEN_CONFDIR_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/token/conf.h"

struct confdir_entry {
	struct conf conf; /* name is set in any case */
	int refresh_fd; /* of refresh_token_file, opened; else -1 */
	char *error; /* one line; NULL: it can be used */
};

struct confdir {
	char *path;
	struct confdir_entry *entries; /* in the order of their names */
	size_t count;
	char *error; /* the directory cannot be read: why */
};

void confdir_read(struct confdir *dir, const char *path);
void confdir_free(struct confdir *dir);

/* NULL: there is no NAME.conf. */
struct confdir_entry *confdir_find(const struct confdir *dir, const char *name);

#endif
