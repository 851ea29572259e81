#include "monitor/envelope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/postfix/record.h"

enum {
	TYPE_SIZE = 'C',
	TYPE_TIME = 'T',
	TYPE_FROM = 'S',
	TYPE_FILTER = 'L', /* within the content it means something else */
	RECORDS_MAX = 200000, /* of one file: what is beyond is not counted */
};

static ssize_t
read_at(void *ctx, char *p, size_t n, int64_t off)
{
	const int *fd = ctx;
	ssize_t got;

	do {
		got = pread(*fd, p, n, (off_t)off);
	} while (got < 0 && errno == EINTR);
	return got;
}

static void
replace(char **to, struct slice text)
{
	mem_free(*to);
	*to = mem_strndup(text.p, text.n);
}

static int64_t
number(const char **p)
{
	char *end;
	long long n = strtoll(*p, &end, 10);

	*p = end;
	return n > 0 ? n : 0;
}

/* Where the content begins and how long it is. */
struct extent {
	int64_t size, offset;
};

static void
take(struct envelope *e, struct extent *content, const struct record *rec)
{
	char text[64];
	const char *p = text;
	size_t n =
	    rec->data.n < sizeof(text) - 1 ? rec->data.n : sizeof(text) - 1;

	memcpy(text, rec->data.p, n);
	text[n] = '\0';
	switch (rec->type) {
	case TYPE_SIZE:
		content->size = number(&p);
		content->offset = number(&p);
		break;
	case TYPE_TIME:
		e->arrival_wall_ms = number(&p) * 1000;
		break;
	case TYPE_FROM:
		replace(&e->sender, rec->data);
		break;
	case TYPE_FILTER:
		replace(&e->filter, rec->data);
		break;
	case RECORD_TYPE_RCPT:
		e->rcpts_left++;
		if (e->rcpt_count < ENVELOPE_RCPTS)
			e->rcpts[e->rcpt_count++] =
			    mem_strndup(rec->data.p, rec->data.n);
		break;
	case RECORD_TYPE_DONE:
		e->rcpts_done++;
		break;
	default:
		break;
	}
}

/* Up to the content, or from behind it to the end. */
static bool
read_part(struct envelope *e, struct record_source source, int64_t from,
    struct extent *content)
{
	struct record_reader reader;
	struct record rec;
	bool is_sound = true;

	record_reader_init(&reader, source, from);
	for (int i = 0; i < RECORDS_MAX; i++) {
		enum record_result result = record_reader_next(&reader, &rec);

		if (result != RECORD_OK) {
			is_sound = result == RECORD_EOF && from > 0;
			break;
		}
		if (rec.type == RECORD_TYPE_MESG)
			break;
		take(e, content, &rec);
	}
	record_reader_fini(&reader);
	return is_sound;
}

bool
envelope_read(struct envelope *e, int dir_fd, const char *name)
{
	int fd = openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct extent content = {0, 0};
	struct record_source source = {.read_at = read_at, .ctx = &fd};
	bool is_read = false;
	struct stat st;

	memset(e, 0, sizeof(*e));
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		source.size = st.st_size;
		e->next_try_wall_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		is_read = read_part(e, source, 0, &content) &&
			  content.offset > 0 &&
			  read_part(e, source, content.offset + content.size,
			      &content);
		e->size = (size_t)content.size;
	}
	(void)close(fd);
	if (e->sender == NULL)
		e->sender = mem_strdup("");
	if (!is_read)
		envelope_fini(e);
	return is_read;
}

void
envelope_fini(struct envelope *e)
{
	mem_free(e->sender);
	mem_free(e->filter);
	for (size_t i = 0; i < e->rcpt_count; i++)
		mem_free(e->rcpts[i]);
	memset(e, 0, sizeof(*e));
}
