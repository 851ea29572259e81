#include "agent/token/status.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "common/shared/tokenproto.h"

enum { LIST_MAX = 4096, PAIRS_MAX = 16 };

enum { STATUS_TEXT_SIZE = 1000, STATUS_WAIT_S = 5 };

struct status {
	int64_t lives_s; /* 0: there is no token */
	char text[STATUS_TEXT_SIZE]; /* the last failure; "": none */
};

/* -1: errno. */
static int
connect_to(const struct settings *set)
{
	struct timeval wait = {.tv_sec = STATUS_WAIT_S};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/private/%s",
	    set->queue_directory, set->lane_token_service_name);
	int fd;

	errno = ENAMETOOLONG;
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* The next list; false: there is none. */
static bool
next_list(int fd, struct attr_reader *in)
{
	char octet;
	size_t used;

	attr_reader_reset(in);
	for (;;) {
		if (read(fd, &octet, 1) != 1)
			return false;
		switch (attr_reader_feed(in, &octet, 1, &used)) {
		case ATTR_MORE:
			break;
		case ATTR_LIST:
			return true;
		case ATTR_BAD:
			return false;
		}
	}
}

static bool
ask(int fd, const char *name, struct attr_reader *in)
{
	struct slice protocol, s;
	struct buf out;
	bool ok;

	if (!next_list(fd, in) || !attr_find(in, "protocol", &protocol) ||
	    !slice_eq(protocol, TOKENPROTO_PROTOCOL))
		return false;
	buf_init(&out, LIST_MAX);
	attr_put_str(&out, "request", slice_str("status"));
	attr_put_str(&out, "name", slice_str(name));
	attr_put_end(&out);
	s = buf_slice(&out);
	ok = send(fd, s.p, s.n, MSG_NOSIGNAL) == (ssize_t)s.n &&
	     next_list(fd, in);
	buf_fini(&out);
	return ok;
}

static const char *
hint_of(int error_no)
{
	switch (error_no) {
	case ENOENT:
		return " (is it in master.cf, and Postfix reloaded?)";
	case ECONNREFUSED:
		return " (is Postfix running?)";
	case EACCES:
		return " (only root and mail_owner may)";
	default:
		return "";
	}
}

/* Waits up to STATUS_WAIT_S. False: the service cannot be asked; text says
 * why. */
static bool
ask_for(struct status *out, const struct settings *set, const char *name)
{
	int fd = connect_to(set);
	struct attr_reader in;
	struct slice reason;
	bool ok = false;

	memset(out, 0, sizeof(*out));
	if (fd < 0) {
		(void)snprintf(out->text, sizeof(out->text),
		    "service %s cannot be asked: %s%s",
		    set->lane_token_service_name, strerror(errno),
		    hint_of(errno));
		return false;
	}
	attr_reader_init(&in, LIST_MAX, PAIRS_MAX);
	if (ask(fd, name, &in) && attr_find(&in, "reason", &reason)) {
		ok = true;
		(void)snprintf(out->text, sizeof(out->text), "%s", reason.p);
		log_safe(out->text, strlen(out->text));
		if (!attr_get_long(&in, "lives", &out->lives_s))
			out->lives_s = 0;
	} else {
		(void)snprintf(out->text, sizeof(out->text),
		    "service %s gave a malformed answer",
		    set->lane_token_service_name);
	}
	attr_reader_fini(&in);
	(void)close(fd);
	return ok;
}

bool
status_print_one(const struct settings *set, const char *name)
{
	struct status status;
	bool is_told = ask_for(&status, set, name);

	(void)printf("token %s: ", name);
	if (!is_told)
		(void)printf("%s\n", status.text);
	else if (status.lives_s > 0)
		(void)printf("lives %lld min %lld s%s%s\n",
		    (long long)status.lives_s / 60,
		    (long long)status.lives_s % 60,
		    status.text[0] != '\0' ? "; " : "", status.text);
	else
		(void)printf("%s\n",
		    status.text[0] != '\0' ? status.text : "not asked for yet");
	return is_told && status.lives_s > 0;
}

void
status_print(const struct settings *set)
{
	struct dirent **list = NULL;
	int count = scandir(set->lane_token_directory, &list, NULL, alphasort);

	if (count < 0) {
		/* Who uses no tokens has none. */
		if (errno != ENOENT)
			(void)printf("\n%s: %s\n", set->lane_token_directory,
			    strerror(errno));
		return;
	}
	(void)printf("\n");
	for (int i = 0; i < count; i++) {
		char *file = list[i]->d_name;
		size_t n = strlen(file);

		if (n > 5 && strcmp(file + n - 5, ".conf") == 0) {
			file[n - 5] = '\0';
			if (tokenproto_name_is_valid(file))
				(void)status_print_one(set, file);
		}
		free(list[i]);
	}
	free(list);
}
