#include "test/support/queue_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"

void
queue_source_init(struct queue_source *s, struct slice file)
{
	*s = (struct queue_source){.file = file, .fail_at = -1};
}

static ssize_t
read_at(void *ctx, char *p, size_t n, int64_t off)
{
	struct queue_source *s = ctx;
	size_t end = s->cut_at ? (size_t)s->cut_at : s->file.n;

	s->reads++;
	CHECK(off >= 0 && n > 0);
	if (s->fail_at >= 0 && off + (int64_t)n > s->fail_at)
		return -1;
	if ((size_t)off >= end)
		return 0;
	if (n > end - (size_t)off)
		n = end - (size_t)off;
	if (s->random != NULL)
		n = 1 + fixture_random_below(s->random, n);
	memcpy(p, s->file.p + off, n);
	return (ssize_t)n;
}

struct record_source
queue_source_of(struct queue_source *s)
{
	return (struct record_source){
	    .read_at = read_at, .ctx = s, .size = (int64_t)s->file.n};
}

int64_t
queue_put(struct buf *file, char type, struct slice data)
{
	int64_t at = (int64_t)buf_len(file);
	size_t left = data.n;

	CHECK(buf_add_char(file, type));
	do {
		size_t more = left > 0x7f ? 0x80 : 0;

		CHECK(buf_add_char(file, (char)(more | (left & 0x7f))));
		left >>= 7;
	} while (left > 0);
	CHECK(buf_add_slice(file, data));
	return at;
}

int64_t
queue_put_str(struct buf *file, char type, const char *data)
{
	return queue_put(file, type, slice_str(data));
}

int64_t
queue_put_pointer(struct buf *file, int64_t to)
{
	char data[32];

	(void)snprintf(data, sizeof(data), "%15" PRId64, to);
	return queue_put_str(file, RECORD_TYPE_PTR, data);
}

void
queue_set_pointer(struct buf *file, int64_t at, int64_t to)
{
	char data[32];

	(void)snprintf(data, sizeof(data), "%15" PRId64, to);
	memcpy(file->data + file->off + at + 2, data, 15);
}

int64_t
queue_content_offset(const char *name)
{
	char *path = mem_printf("requests/%s.bin", name);
	char *full = mem_printf("test/fixtures/%s", path);
	int64_t off = -1;

	if (access(full, R_OK) == 0) {
		struct attr_reader r;
		struct buf file;
		size_t used;

		fixture_read(path, &file);
		attr_reader_init(&r, FIXTURE_MAX, 100);
		CHECK(attr_reader_feed(&r, buf_slice(&file).p, buf_len(&file),
			  &used) == ATTR_LIST);
		CHECK(attr_get_long(&r, "offset", &off));
		attr_reader_fini(&r);
		buf_fini(&file);
	}
	mem_free(full);
	mem_free(path);
	return off;
}
