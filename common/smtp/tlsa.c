#include "common/smtp/tlsa.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

enum {
	FIXED_SIZE = 3, /* usage, selector, matching type */
	MATCHING_PRIVATE = 255,
	END_SHOWN = 32, /* octets of long data at each end */
};

struct tlsa_set *
tlsa_set_new(void)
{
	return mem_zalloc(sizeof(struct tlsa_set));
}

void
tlsa_set_free(struct tlsa_set **set)
{
	struct tlsa_set *old = *set;

	*set = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->count; i++)
		mem_free(old->records[i].data);
	mem_free(old);
}

struct tlsa_set *
tlsa_set_dup(const struct tlsa_set *set)
{
	struct tlsa_set *new = tlsa_set_new();

	*new = *set;
	for (size_t i = 0; i < set->count; i++) {
		new->records[i].data = mem_alloc(set->records[i].n);
		memcpy(new->records[i].data, set->records[i].data,
		    set->records[i].n);
	}
	return new;
}

static size_t
put_hex(char *out, size_t size, const unsigned char *data, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n && used + 3 <= size; i++)
		used +=
		    (size_t)snprintf(out + used, size - used, "%02X", data[i]);
	return used;
}

const char *
tlsa_text(const struct tlsa *r, char out[TLSA_TEXT_SIZE])
{
	size_t used = (size_t)snprintf(out, TLSA_TEXT_SIZE, "%u %u %u ",
	    (unsigned)r->usage, (unsigned)r->selector, (unsigned)r->matching);

	if (r->n <= (size_t)2 * END_SHOWN) {
		(void)put_hex(out + used, TLSA_TEXT_SIZE - used, r->data, r->n);
		return out;
	}
	used += put_hex(out + used, TLSA_TEXT_SIZE - used, r->data, END_SHOWN);
	used += (size_t)snprintf(out + used, TLSA_TEXT_SIZE - used, "...");
	(void)put_hex(out + used, TLSA_TEXT_SIZE - used,
	    r->data + r->n - END_SHOWN, END_SHOWN);
	return out;
}

static void
leave_out(struct tlsa_set *set, const char *why, const struct tlsa *record)
{
	char text[TLSA_TEXT_SIZE] = "";

	if (record->data != NULL)
		(void)tlsa_text(record, text);
	if (set->left_out++ == 0)
		(void)snprintf(set->why, sizeof(set->why), "%s%s%s", why,
		    *text != '\0' ? ": " : "", text);
}

static int
compare(const struct tlsa *a, const struct tlsa *b)
{
	if (a->usage != b->usage)
		return a->usage - b->usage;
	if (a->selector != b->selector)
		return a->selector - b->selector;
	if (a->matching != b->matching)
		return a->matching - b->matching;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->data, b->data, a->n);
}

static void
insert(struct tlsa_set *set, const struct tlsa *record)
{
	size_t i = set->count++;

	for (; i > 0 && compare(&set->records[i - 1], record) > 0; i--)
		set->records[i] = set->records[i - 1];
	set->records[i] = *record;
}

void
tlsa_set_add(struct tlsa_set *set, const unsigned char *data, size_t n)
{
	struct tlsa r = {0, 0, 0, NULL, 0};

	if (n <= FIXED_SIZE) {
		leave_out(set, "truncated TLSA record", &r);
		return;
	}
	if (set->count == TLSA_MAX) {
		leave_out(set, "more TLSA records than are looked at", &r);
		return;
	}
	r = (struct tlsa){data[0], data[1], data[2], mem_alloc(n - FIXED_SIZE),
	    n - FIXED_SIZE};
	memcpy(r.data, data + FIXED_SIZE, r.n);
	if (r.usage == TLSA_USAGE_AUTHORITY || r.usage == TLSA_USAGE_SERVER) {
		if (r.matching != MATCHING_PRIVATE) {
			insert(set, &r);
			return;
		}
		leave_out(set, "reserved private-use matching type", &r);
	} else {
		leave_out(set, "unsupported TLSA certificate usage", &r);
	}
	mem_free(r.data);
}
