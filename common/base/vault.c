#include "common/base/vault.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct vault {
	char *octets;
	size_t size, used;
};

struct vault *
vault_new(size_t n)
{
	struct vault *v;
	void *octets = mmap(NULL, n > 0 ? n : 1, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (octets == MAP_FAILED)
		return NULL;
	(void)madvise(octets, n > 0 ? n : 1, MADV_DONTDUMP);
	v = mem_zalloc(sizeof(*v));
	v->octets = octets;
	v->size = n;
	return v;
}

void
vault_free(struct vault **vault)
{
	struct vault *v = *vault;

	*vault = NULL;
	if (v == NULL)
		return;
	mem_wipe(v->octets, v->used);
	(void)munmap(v->octets, v->size > 0 ? v->size : 1);
	mem_free(v);
}

bool
vault_lock(struct vault *vault)
{
	return mlock(vault->octets, vault->size > 0 ? vault->size : 1) == 0;
}

char *
vault_put(struct vault *vault, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = vault->octets + vault->used;

	CHECK(n <= vault->size - vault->used);
	memcpy(copy, text, n);
	vault->used += n;
	return copy;
}

bool
vault_holds(const struct vault *vault, const char *text)
{
	uintptr_t at = (uintptr_t)text;

	return vault != NULL && at >= (uintptr_t)vault->octets &&
	       at < (uintptr_t)vault->octets + vault->size;
}
