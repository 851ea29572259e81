#include "agent/settings/fleet_access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

#define UNIX_PREFIX "unix:"
#define TLS_PREFIX "tls:"

enum {
	PORT_MAX = 65535,
	FOREIGN_ANY = 077,
	PASSWORD_SHOWN = 8, /* so many octets of it would tell something */
	LINE_SIZE = sizeof(((struct fleet_access *)0)->user) +
		    sizeof(((struct fleet_access *)0)->password),
};

static bool
fail(char *why, size_t n, const char *text)
{
	(void)snprintf(why, n, "%s", text);
	return false;
}

/* ---- where --------------------------------------------------------------- */

static bool
parse_path(const char *path, struct fleet_access *out, char *why, size_t n)
{
	if (path[0] != '/' || strlen(path) >= sizeof(out->path))
		return fail(
		    why, n, "must have a whole path of at most 107 octets");
	(void)snprintf(out->path, sizeof(out->path), "%s", path);
	return true;
}

/* 0: it is none. */
static int
parse_port(const char *text)
{
	char *end;
	long port;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	port = strtol(text, &end, 10);
	return *end == '\0' && errno == 0 && port <= PORT_MAX ? (int)port : 0;
}

static bool
parse_host(const char *text, struct fleet_access *out, char *why, size_t n)
{
	static const char forms[] = "must be unix:/path, host:port, "
				    "[address]:port or tls:host:port";
	const char *colon = strrchr(text, ':');
	const char *name = text;
	size_t length;

	if (colon == NULL || (out->port = parse_port(colon + 1)) == 0 ||
	    strstr(text, "//") != NULL)
		return fail(why, n, forms);
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		name++;
		length -= 2;
	} else if (memchr(text, ':', length) != NULL) {
		return fail(
		    why, n, "an IPv6 address must have [ and ] around it");
	}
	if (length == 0 || length >= sizeof(out->host) ||
	    strcspn(name, " \t/[]@") < length)
		return fail(why, n, forms);
	(void)snprintf(out->host, sizeof(out->host), "%.*s", (int)length, name);
	return true;
}

bool
fleet_access_parse(
    const char *lane_fleet, struct fleet_access *out, char *why, size_t n)
{
	out->path[0] = out->host[0] = '\0';
	out->port = 0;
	out->is_tls = false;
	out->authorities = NULL;
	if (strncmp(lane_fleet, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		return parse_path(
		    lane_fleet + strlen(UNIX_PREFIX), out, why, n);
	out->is_tls = strncmp(lane_fleet, TLS_PREFIX, strlen(TLS_PREFIX)) == 0;
	if (out->is_tls)
		lane_fleet += strlen(TLS_PREFIX);
	return parse_host(lane_fleet, out, why, n);
}

/* ---- who ----------------------------------------------------------------- */

static bool
read_line(const char *file, char line[LINE_SIZE], char *why, size_t n)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *fault = NULL;
	ssize_t got = -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		fault = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		fault = "it is no file";
	else if ((st.st_mode & FOREIGN_ANY) != 0)
		fault = "it must not be accessible by others (chmod go-rwx)";
	else if ((got = read(fd, line, LINE_SIZE - 1)) < 0)
		fault = strerror(errno);
	if (fault != NULL)
		(void)snprintf(why, n, "cannot read %s: %s", file, fault);
	if (fd >= 0)
		(void)close(fd);
	if (fault != NULL || got < 0)
		return false;
	line[got] = '\0';
	if (strlen(line) != (size_t)got || got == LINE_SIZE - 1) {
		(void)snprintf(why, n,
		    "%s must have one line, PASSWORD or USER PASSWORD", file);
		return false;
	}
	return true;
}

/* One line, with or without its end; a blank in it parts user and password. */
static bool
take_line(char *line, struct fleet_access *out)
{
	char *blank;

	line[strcspn(line, "\r\n")] = '\0';
	blank = strpbrk(line, " \t");
	if (blank != NULL)
		*blank++ = '\0';
	if (line[0] == '\0' || (blank != NULL && blank[0] == '\0') ||
	    (blank != NULL && strpbrk(blank, " \t") != NULL))
		return false;
	if (blank != NULL && strlen(line) >= sizeof(out->user))
		return false;
	if (strlen(blank != NULL ? blank : line) >= sizeof(out->password))
		return false;
	(void)snprintf(
	    out->user, sizeof(out->user), "%.63s", blank != NULL ? line : "");
	(void)snprintf(out->password, sizeof(out->password), "%.511s",
	    blank != NULL ? blank : line);
	return true;
}

bool
fleet_access_password(
    const char *file, struct fleet_access *out, char *why, size_t n)
{
	char line[LINE_SIZE] = "";
	const char *rest;
	bool is_good;

	out->user[0] = out->password[0] = '\0';
	if (file[0] == '\0')
		return true;
	if (!read_line(file, line, why, n)) {
		explicit_bzero(line, sizeof(line));
		return false;
	}
	rest = line + strcspn(line, "\r\n");
	is_good = strspn(rest, "\r\n") == strlen(rest) && take_line(line, out);
	explicit_bzero(line, sizeof(line));
	if (!is_good)
		(void)snprintf(why, n,
		    "%s must have one line, PASSWORD or USER PASSWORD", file);
	return is_good;
}

bool
fleet_access_lock(struct fleet_access *a)
{
	return mlock(a, sizeof(*a)) == 0;
}

void
fleet_access_hide(const struct fleet_access *a, char *error)
{
	/* By which something is done, whatever the password may be. */
	static const char *const codes[] = {
	    "NOSCRIPT", "READONLY", "NOAUTH", "WRONGPASS", "NOPERM", "ERR"};
	size_t code = strcspn(error, " "), from = 0;
	size_t shown = strnlen(a->password, PASSWORD_SHOWN);
	char *at;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strlen(codes[i]) == code &&
		    strncmp(error, codes[i], code) == 0)
			from = code;
	at = memmem(error + from, strlen(error + from), a->password, shown);
	if (shown > 0 && at != NULL)
		mem_wipe(at, strlen(at));
}

void
fleet_access_forget(struct fleet_access *a)
{
	explicit_bzero(a, sizeof(*a));
}
