#include "tools/smarthost/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { FLUSH_AT = 256 << 10, PENDING_MAX = 16 << 20 };

bool
ledger_open(struct ledger *l, const char *path, const char *dir, bool is_sync)
{
	*l = (struct ledger){.fd = -1, .is_sync = is_sync};
	buf_init(&l->pending, PENDING_MAX);
	if (path != NULL) {
		l->fd =
		    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (l->fd < 0)
			return false;
	}
	if (dir != NULL) {
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return false;
		l->dir = mem_strdup(dir);
	}
	return true;
}

void
ledger_flush(struct ledger *l)
{
	while (l->fd >= 0 && buf_len(&l->pending) > 0) {
		struct slice s = buf_slice(&l->pending);
		ssize_t n = write(l->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		/* A ledger with a hole would prove nothing. */
		if (n < 0)
			log_fatal("ledger: write: %s", strerror(errno));
		buf_consume(&l->pending, (size_t)n);
	}
	buf_reset(&l->pending);
}

static void
add_field(struct buf *b, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == 0x7f || c == '\\')
			buf_addf(b, "\\x%02x", c);
		else
			buf_add_char(b, (char)c);
	}
	buf_add_char(b, '\t');
}

static void
write_file(const char *name, struct slice s)
{
	FILE *f = fopen(name, "we");

	if (f == NULL || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
		log_fatal("%s: %s", name, strerror(errno));
}

static void
store(struct ledger *l, const struct ledger_line *line, struct slice text)
{
	char *name = mem_printf("%s/%" PRIu64 ".eml", l->dir, l->count);

	write_file(name, buf_slice(line->body));
	mem_free(name);
	name = mem_printf("%s/%" PRIu64 ".env", l->dir, l->count);
	write_file(name, text);
	mem_free(name);
}

void
ledger_add(struct ledger *l, const struct ledger_line *line)
{
	struct buf *b = &l->pending;
	size_t from = buf_len(b);
	struct slice all;

	l->count++;
	if (l->fd < 0 && l->dir == NULL)
		return;
	buf_addf(b, "%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t", line->wall_us,
	    line->conn_nr, line->msg_nr);
	add_field(b, line->sender);
	add_field(b, line->rcpts);
	add_field(b, line->mail_params);
	add_field(b, line->rcpt_params);
	buf_addf(b, "%" PRIu64 "\t%s\t", line->octets, line->digest);
	add_field(b, line->xid);
	buf_addf(b, "%s\t%u\t", line->form, line->peer_port);
	add_field(b, line->login);
	b->data[b->len - 1] = '\n';
	all = buf_slice(b);
	if (l->dir != NULL)
		store(l, line, slice_of(all.p + from, all.n - from));
	if (l->fd < 0)
		buf_reset(b);
	else if (l->is_sync || buf_len(b) >= FLUSH_AT)
		ledger_flush(l);
}

void
ledger_close(struct ledger *l)
{
	ledger_flush(l);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	mem_free(l->dir);
	l->dir = NULL;
	buf_fini(&l->pending);
}
