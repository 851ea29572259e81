#include "agent/io/library_memory.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <sasl/sasl.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"

static void *
claim(size_t n)
{
	return mem_alloc(n);
}

/* Nothing, for a size of 0: so OpenSSL's own does, and so callers know it. */
static void *
claim_for_openssl(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n > 0 ? mem_alloc(n) : NULL;
}

static void *
claim_anew(void *p, size_t n)
{
	return mem_realloc(p, n);
}

static void
give_back_for_openssl(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	mem_free(p);
}

static void *
claim_anew_for_openssl(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n > 0)
		return mem_realloc(p, n);
	mem_free(p);
	return NULL;
}

static void *
claim_zeroed(size_t count, size_t size)
{
	return mem_zarray(count, size > 0 ? size : 1);
}

void
library_memory_claim(void)
{
	int rc = CRYPTO_set_mem_functions(
	    claim_for_openssl, claim_anew_for_openssl, give_back_for_openssl);

	CHECK(rc == 1); /* else it has allocated before */
	event_set_mem_functions(claim, claim_anew, mem_free);
	sasl_set_alloc(claim, claim_zeroed, claim_anew, mem_free);
}
