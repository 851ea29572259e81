/* main_cf: the settings that stand in main.cf, as they are written there.
 *
 * The file is read as Postfix's own readllines() and split_nameval() read it:
 * a line that begins with white space continues the one before, comment lines
 * and blank lines between them are passed over, the last setting of a name
 * counts. Values are not expanded; what they come to is postconf(1)'s to say.
 * This is for what postconf does not tell: names that nobody knows, and what a
 * value refers to.
 */
#ifndef MAIN_CF_H
#define MAIN_CF_H

#include <stddef.h>

struct main_cf_setting {
	char *name, *value;
};

/* A zeroed struct is one without settings. */
struct main_cf {
	struct main_cf_setting *v;
	size_t count;
};

/* Reads directory/main.cf. 0, or an errno value; then *out is empty. Lines
 * that are no settings are left out: Postfix's programs refuse the file for
 * them. */
int main_cf_read(struct main_cf *out, const char *directory);

/* One logical line, continued ones joined; of master.cf, too. */
typedef void main_cf_line_fn(void *ctx, const char *line);

/* 0, or an errno value; then fn may have had some of the lines. */
int main_cf_each_line(const char *path, main_cf_line_fn *fn, void *ctx);

/* NULL when the name is not set. */
const char *main_cf_find(const struct main_cf *cf, const char *name);

void main_cf_fini(struct main_cf *cf);

#endif
