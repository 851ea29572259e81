/* fuzz_record: a queue file of any octets. It is walked from its start and
 * from the place its size record calls the start of content, the latter with
 * its lines encoded. A second walk with short reads, records handed out twice
 * and lost windows must see the same; no walk may be longer than the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/postfix/record.h"
#include "common/smtp/content.h"

enum { OUT_MAX = 4194304, SIZE_RECORD = 97, SIZE_FIELD = 15 };

struct memory {
	const uint8_t *data;
	size_t size;
	bool is_moody;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t
read_at(void *ctx, char *p, size_t n, int64_t off)
{
	const struct memory *m = ctx;

	if (off < 0 || n == 0 || (uint64_t)off > m->size)
		abort();
	if (n > m->size - (size_t)off)
		n = m->size - (size_t)off;
	if (m->is_moody && n > 7)
		n = 1 + (size_t)off % 7;
	memcpy(p, m->data + off, n);
	return (ssize_t)n;
}

static void
check_room(struct content *c, struct record rec, struct buf *out)
{
	size_t before = buf_len(out);

	content_put(c, rec.data, rec.type != RECORD_TYPE_CONT, out);
	if (buf_ok(out) && buf_len(out) - before > content_room(c, rec.data.n))
		abort();
}

static void
walk(struct memory *m, int64_t off, struct buf *out)
{
	struct record_source source = {read_at, m, (int64_t)m->size};
	struct record_reader r;
	struct record rec;
	struct content c;
	enum record_result result;
	size_t count = 0;

	record_reader_init(&r, source, off);
	content_init(&c, (int)(m->size % 80), true);
	while ((result = record_reader_next(&r, &rec)) == RECORD_OK) {
		if (++count > m->size)
			abort();
		if (m->is_moody && count % 3 == 0) {
			record_reader_again(&r);
			record_reader_release(&r);
			if (record_reader_next(&r, &rec) != RECORD_OK)
				abort();
		}
		check_room(&c, rec, out);
	}
	content_end(&c, out);
	(void)buf_add_char(out, (char)('0' + result));
	record_reader_fini(&r);
}

/* The second field of the size record, or 0. */
static int64_t
content_offset(const uint8_t *data, size_t size)
{
	char field[SIZE_FIELD + 1] = "";

	if (size > SIZE_RECORD && data[0] == 'C')
		memcpy(field, data + 2 + SIZE_FIELD + 1, SIZE_FIELD);
	return strtoll(field, NULL, 10);
}

static void
compare_walks(const uint8_t *data, size_t size, int64_t off)
{
	struct memory memory = {data, size, false};
	struct buf plain, moody;

	buf_init(&plain, OUT_MAX);
	buf_init(&moody, OUT_MAX);
	walk(&memory, off, &plain);
	memory.is_moody = true;
	walk(&memory, off, &moody);
	if (buf_len(&plain) != buf_len(&moody) ||
	    memcmp(buf_slice(&plain).p, buf_slice(&moody).p, buf_len(&plain)) !=
		0)
		abort();
	buf_fini(&moody);
	buf_fini(&plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	compare_walks(data, size, 0);
	compare_walks(data, size, content_offset(data, size));
	return 0;
}
