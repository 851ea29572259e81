#include "agent/token/confdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/token/jwt.h"
#include "agent/token/refresh_file.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/shared/tokenproto.h"

/* Who may do what with a file. */
enum { FOREIGN_WRITE = 022, FOREIGN_ANY = 077 };

static char *
rights_error(const struct stat *st, unsigned forbidden, const char *path)
{
	if (st->st_uid != geteuid())
		return mem_printf("%s: must belong to root", path);
	if ((st->st_mode & forbidden) != 0)
		return mem_printf("%s: must not be %s by others (chmod %s)",
		    path, forbidden == FOREIGN_ANY ? "accessible" : "writable",
		    forbidden == FOREIGN_ANY ? "go-rwx" : "go-w");
	return NULL;
}

static char *
system_error(const char *path)
{
	return mem_printf("%s: %s", path, strerror(errno));
}

static bool
read_all(int fd, struct buf *out)
{
	ssize_t n;

	for (;;) {
		char *to = buf_reserve(out, 4096);

		if (to == NULL) {
			errno = EFBIG;
			return false;
		}
		n = read(fd, to, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_commit(out, (size_t)n);
	}
}

/* Reads a file into a text; an error, or NULL. *text_out is wiped by its
 * owner. */
static char *
read_file(int dir_fd, const char *path, unsigned forbidden, char **text_out)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *error = NULL;
	struct stat st;
	struct buf text;

	if (fd < 0)
		return system_error(path);
	buf_init(&text, CONF_FILE_MAX + 4096);
	if (fstat(fd, &st) != 0)
		error = system_error(path);
	else if (!S_ISREG(st.st_mode))
		error = mem_printf("%s: must be a file", path);
	else
		error = rights_error(&st, forbidden, path);
	(void)buf_reserve(&text, CONF_FILE_MAX);
	if (error == NULL && !read_all(fd, &text))
		error = system_error(path);
	if (error == NULL &&
	    memchr(buf_slice(&text).p, '\0', buf_len(&text)) != NULL)
		error = mem_printf("%s: must be text", path);
	(void)close(fd);
	if (error == NULL) {
		mem_free(*text_out);
		*text_out = mem_strdup(buf_str(&text));
	}
	buf_fini_secret(&text);
	return error;
}

/* The first line, as an editor leaves a secret. */
static char *
read_secret(int dir_fd, struct conf *c)
{
	char *error = read_file(
	    dir_fd, c->client_secret_file, FOREIGN_ANY, &c->client_secret);
	size_t n;

	if (error != NULL)
		return error;
	n = strcspn(c->client_secret, "\r\n");
	if (n == 0 || strspn(c->client_secret + n, "\r\n") !=
			  strlen(c->client_secret + n))
		return mem_printf(
		    "%s: must be one line", c->client_secret_file);
	c->client_secret[n] = '\0';
	return NULL;
}

static char *
read_service_account(int dir_fd, struct conf *c)
{
	char why[CONF_ERROR_SIZE], *json = mem_strdup("");
	char *error =
	    read_file(dir_fd, c->service_account_file, FOREIGN_ANY, &json);

	if (error == NULL &&
	    !conf_take_service_account(c, slice_str(json), why, sizeof(why)))
		error = mem_strdup(why);
	mem_wipe(json, strlen(json));
	mem_free(json);
	return error;
}

/* The key may stand in the file of the certificate. */
static char *
read_key(int dir_fd, struct conf *c)
{
	char why[CONF_ERROR_SIZE], *error = NULL;

	if (*c->certificate_file != '\0')
		error = read_file(dir_fd, c->certificate_file,
		    *c->key_file != '\0' ? FOREIGN_WRITE : FOREIGN_ANY,
		    &c->certificate);
	if (error == NULL && *c->key_file != '\0')
		error = read_file(dir_fd, c->key_file, FOREIGN_ANY, &c->key);
	else if (error == NULL && *c->certificate != '\0') {
		mem_free(c->key);
		c->key = mem_strdup(c->certificate);
	}
	if (error == NULL && *c->key != '\0' &&
	    !jwt_check(c->key, c->certificate, why, sizeof(why)))
		error = mem_printf("%s: %s",
		    *c->key_file != '\0'           ? c->key_file
		    : *c->certificate_file != '\0' ? c->certificate_file
						   : c->service_account_file,
		    why);
	return error;
}

static char *
read_others(int dir_fd, struct confdir_entry *e)
{
	struct conf *c = &e->conf;
	char *error = NULL;

	if (*c->client_secret_file != '\0')
		error = read_secret(dir_fd, c);
	if (error == NULL && *c->service_account_file != '\0')
		error = read_service_account(dir_fd, c);
	if (error == NULL)
		error = read_key(dir_fd, c);
	if (error == NULL && *c->ca_file != '\0')
		error = read_file(dir_fd, c->ca_file, FOREIGN_WRITE, &c->ca);
	if (error == NULL && c->flow == CONF_REFRESH_TOKEN) {
		e->refresh_fd =
		    refresh_file_open(dir_fd, c->refresh_token_file);
		if (e->refresh_fd < 0 && errno == EPERM)
			error = mem_printf(
			    "%s: must be a file that belongs to root and is "
			    "not accessible by others",
			    c->refresh_token_file);
		else if (e->refresh_fd < 0)
			error = system_error(c->refresh_token_file);
	}
	return error;
}

static void
read_entry(int dir_fd, struct confdir_entry *e, const char *name)
{
	char file[TOKENPROTO_NAME_MAX + 6], why[CONF_ERROR_SIZE];
	char *text = mem_strdup(""), *error;
	bool has_secret;

	(void)snprintf(file, sizeof(file), "%s.conf", name);
	e->refresh_fd = -1;
	error = read_file(dir_fd, file, FOREIGN_WRITE, &text);
	if (!conf_parse(&e->conf, name, slice_str(text), why, sizeof(why)) &&
	    error == NULL)
		error = mem_printf("%s: %s", file, why);
	has_secret = *e->conf.client_secret != '\0';
	if (error == NULL && has_secret) {
		char *again = mem_strdup("");

		error = read_file(dir_fd, file, FOREIGN_ANY, &again);
		mem_wipe(again, strlen(again));
		mem_free(again);
	}
	if (error == NULL)
		error = read_others(dir_fd, e);
	if (error == NULL)
		conf_finish(&e->conf);
	e->error = error;
	mem_wipe(text, strlen(text));
	mem_free(text);
}

/* "work.conf" -> "work". */
static bool
name_of(const char *file, char name[TOKENPROTO_NAME_MAX + 1])
{
	size_t n = strlen(file);

	if (n <= 5 || n - 5 > TOKENPROTO_NAME_MAX ||
	    strcmp(file + n - 5, ".conf") != 0)
		return false;
	(void)snprintf(
	    name, TOKENPROTO_NAME_MAX + 1, "%.*s", (int)(n - 5), file);
	return tokenproto_name_is_valid(name);
}

static void
read_entries(struct confdir *dir, int fd)
{
	char name[TOKENPROTO_NAME_MAX + 1];
	struct dirent **list = NULL;
	int count = scandirat(fd, ".", &list, NULL, alphasort);

	if (count < 0)
		dir->error = system_error(dir->path);
	dir->entries =
	    mem_zarray(count > 0 ? (size_t)count : 1, sizeof(dir->entries[0]));
	for (int i = 0; i < count; i++) {
		if (name_of(list[i]->d_name, name))
			read_entry(fd, &dir->entries[dir->count++], name);
		free(list[i]);
	}
	free(list);
}

void
confdir_read(struct confdir *dir, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	memset(dir, 0, sizeof(*dir));
	dir->path = mem_strdup(path);
	if (fd < 0 || fstat(fd, &st) != 0)
		dir->error = system_error(path);
	else
		dir->error = rights_error(&st, FOREIGN_WRITE, path);
	if (dir->error == NULL)
		read_entries(dir, fd);
	if (fd >= 0)
		(void)close(fd);
}

void
confdir_free(struct confdir *dir)
{
	for (size_t i = 0; i < dir->count; i++) {
		struct confdir_entry *e = &dir->entries[i];

		conf_free(&e->conf);
		if (e->refresh_fd >= 0)
			(void)close(e->refresh_fd);
		mem_free(e->error);
	}
	mem_free(dir->entries);
	mem_free(dir->path);
	mem_free(dir->error);
	memset(dir, 0, sizeof(*dir));
}

struct confdir_entry *
confdir_find(const struct confdir *dir, const char *name)
{
	for (size_t i = 0; i < dir->count; i++)
		if (strcmp(dir->entries[i].conf.name, name) == 0)
			return &dir->entries[i];
	return NULL;
}
