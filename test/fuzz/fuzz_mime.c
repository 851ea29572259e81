/* Headers, parts and addresses: any octets, whole and in two pieces, are taken
 * and bounded; without conversion the body keeps its octets. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/mailbox.h"
#include "common/smtp/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 16 << 20, HEADER_MAX = 4096 };

static bool
turn(void *ctx, const char *internal, struct buf *out)
{
	struct buf external;

	(void)ctx;
	buf_init(&external, OUT_MAX);
	mailbox_quote(&external, internal);
	mailbox_unquote(out, buf_str(&external));
	buf_fini(&external);
	return true;
}

static void
on_header(
    void *ctx, enum mime_class class, enum header_kind kind, struct buf *text)
{
	static const struct mailbox_manner manner = {
	    "o.example", "d", true, true};
	struct mailbox_list *list = mailbox_list_parse(buf_str(text));
	struct buf out;

	(void)ctx;
	CHECK(class != MIME_BODY && kind <= HEADER_CONTENT_ENCODING);
	CHECK(header_name_length(buf_slice(text)) > 0);
	buf_init(&out, OUT_MAX);
	(void)mailbox_list_map(list, turn, NULL);
	mailbox_list_write(list, &out);
	mailbox_complete(&out, buf_str(text), &manner);
	CHECK(buf_ok(&out));
	buf_fini(&out);
	mailbox_list_free(&list);
}

static void
on_body(void *ctx, struct slice piece, bool ends_line)
{
	size_t *octets = ctx;

	*octets += piece.n + (ends_line ? 1 : 0);
}

static const struct mime_ops ops = {on_header, on_body};

static void
run(const char *p, size_t n, bool to_7bit)
{
	static const struct mime_limits limits = {HEADER_MAX, 70, 10};
	size_t body = 0;
	struct mime *m = mime_new(&limits, false, to_7bit, &ops, &body);
	bool is_ok = true;

	for (size_t at = 0; at < n && is_ok;) {
		const char *end = memchr(p + at, '\n', n - at);
		size_t line = end != NULL ? (size_t)(end - p) - at : n - at;
		size_t half = line > 40 ? line / 2 : line;

		is_ok = mime_put(m, slice_of(p + at, half), half == line);
		if (is_ok && half < line)
			is_ok = mime_put(
			    m, slice_of(p + at + half, line - half), true);
		at += line + 1;
	}
	CHECK(is_ok || to_7bit);
	if (is_ok)
		is_ok = mime_end(m);
	CHECK(to_7bit || body <= n + 2);
	mime_free(&m);
}

static void
ignore(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size);

	log_set_sink(ignore, NULL);
	memcpy(text, data, size);
	run(text, size, false);
	run(text, size, true);
	mem_free(text);
	return 0;
}
