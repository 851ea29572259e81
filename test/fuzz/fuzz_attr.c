/* fuzz_attr: attribute lists from a hostile partner. Each input is read whole
 * and again cut in two at every place its first octet says; both readings must
 * agree, and what was read must survive being written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/postfix/attr.h"

enum { BYTES_MAX = 4096, PAIRS_MAX = 16, OUT_MAX = 1048576 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use_list(const struct attr_reader *r, struct buf *out)
{
	struct buf blob;
	int32_t as_int;
	int64_t as_long;
	struct attr_pair pair;
	size_t typed = 0, count = 0;

	buf_init(&blob, BYTES_MAX);
	for (; attr_at(r, count, &pair); count++) {
		if (strlen(pair.name.p) != pair.name.n ||
		    strlen(pair.value.p) != pair.value.n)
			abort();
		typed += attr_get_int(r, pair.name.p, &as_int);
		typed += attr_get_long(r, pair.name.p, &as_long);
		typed += attr_get_data(r, pair.name.p, &blob);
		attr_put_str(out, pair.name.p, pair.value);
	}
	if (typed > 3 * count)
		abort();
	attr_put_end(out);
	buf_fini(&blob);
}

/* Feeds parts of at most `part` octets; appends what the lists held. */
static void
read_lists(const char *p, size_t n, size_t part, struct buf *out)
{
	struct attr_reader r;
	size_t used;

	attr_reader_init(&r, BYTES_MAX, PAIRS_MAX);
	while (n > 0) {
		enum attr_result result =
		    attr_reader_feed(&r, p, n < part ? n : part, &used);

		if (result == ATTR_BAD) {
			(void)buf_add_str(out, "bad");
			break;
		}
		if (used == 0)
			abort();
		if (result == ATTR_LIST)
			use_list(&r, out);
		p += used;
		n -= used;
	}
	attr_reader_fini(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;

	buf_init(&whole, OUT_MAX);
	buf_init(&cut, OUT_MAX);
	read_lists((const char *)data, size, SIZE_MAX, &whole);
	read_lists((const char *)data, size, size ? data[0] % 16 + 1 : 1, &cut);
	if (buf_len(&whole) != buf_len(&cut) ||
	    memcmp(buf_slice(&whole).p, buf_slice(&cut).p, buf_len(&cut)) != 0)
		abort();
	buf_fini(&cut);
	buf_fini(&whole);
	return 0;
}
