#include "agent/settings/main_cf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

enum { LOGICAL_LINE_MAX = 1 << 20 };

static bool
is_space(char c)
{
	return isspace((unsigned char)c) != 0;
}

/* "name = value"; false when it is no setting. */
static bool
split(const char *line, struct main_cf_setting *out)
{
	const char *end = line, *value;
	size_t n;

	while (*end != '\0' && *end != '=' && !is_space(*end))
		end++;
	value = end;
	while (is_space(*value))
		value++;
	if (end == line || *value++ != '=')
		return false;
	while (is_space(*value))
		value++;
	n = strlen(value);
	while (n > 0 && is_space(value[n - 1]))
		n--;
	out->name = mem_strndup(line, (size_t)(end - line));
	out->value = mem_strndup(value, n);
	return true;
}

static void
add(void *ctx, const char *line)
{
	struct main_cf *cf = ctx;
	struct main_cf_setting s;

	if (!split(line, &s))
		return;
	for (size_t i = 0; i < cf->count; i++)
		if (strcmp(cf->v[i].name, s.name) == 0) {
			mem_free(cf->v[i].value);
			cf->v[i].value = s.value;
			mem_free(s.name);
			return;
		}
	cf->v = mem_realloc(cf->v, (cf->count + 1) * sizeof(cf->v[0]));
	cf->v[cf->count++] = s;
}

/* Blank, or the first octet that is not is "#". */
static bool
is_comment(const char *line)
{
	while (is_space(*line))
		line++;
	return *line == '\0' || *line == '#';
}

static void
finish(struct buf *logical, main_cf_line_fn *fn, void *ctx)
{
	const char *line = buf_str(logical);

	/* A continuation of nothing is passed over, with a warning there. */
	if (*line != '\0' && !is_space(*line))
		fn(ctx, line);
	buf_reset(logical);
}

static int
read_lines(FILE *file, main_cf_line_fn *fn, void *ctx)
{
	struct buf logical;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	buf_init(&logical, LOGICAL_LINE_MAX);
	errno = 0;
	while ((n = getline(&line, &size, file)) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		if (is_comment(line))
			continue;
		if (!is_space(*line))
			finish(&logical, fn, ctx);
		(void)buf_add_str(&logical, line);
	}
	n = ferror(file) || !feof(file) ? errno : 0;
	if (n == 0 && !buf_ok(&logical))
		n = EFBIG;
	finish(&logical, fn, ctx);
	buf_fini(&logical);
	free(line);
	return (int)n;
}

int
main_cf_each_line(const char *path, main_cf_line_fn *fn, void *ctx)
{
	FILE *file = fopen(path, "re");
	int error = file == NULL ? errno : 0;

	if (file == NULL)
		return error;
	error = read_lines(file, fn, ctx);
	(void)fclose(file);
	return error;
}

int
main_cf_read(struct main_cf *out, const char *directory)
{
	char *path = mem_printf("%s/main.cf", directory);
	int error;

	*out = (struct main_cf){NULL, 0};
	error = main_cf_each_line(path, add, out);
	mem_free(path);
	if (error != 0)
		main_cf_fini(out);
	return error;
}

const char *
main_cf_find(const struct main_cf *cf, const char *name)
{
	for (size_t i = 0; i < cf->count; i++)
		if (strcmp(cf->v[i].name, name) == 0)
			return cf->v[i].value;
	return NULL;
}

void
main_cf_fini(struct main_cf *cf)
{
	for (size_t i = 0; i < cf->count; i++) {
		mem_free(cf->v[i].name);
		mem_free(cf->v[i].value);
	}
	mem_free(cf->v);
	*cf = (struct main_cf){NULL, 0};
}
