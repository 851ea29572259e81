#include "agent/state/domain_store.h"

#include <assert.h>
#include <stdio.h>

#include "agent/state/persist.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

/* "lane dom" and the version of struct domains_kept. */
#define MAGIC UINT64_C(0x6d6f642d656e0001)

static_assert(sizeof(struct domains_kept) ==
		  DOMAINS_KEPT * (sizeof(uint64_t) + sizeof(struct limiter)),
    "a stored layout: no padding");

struct domain_store {
	struct domains *domains;
	struct persist *file;
};

static void
on_kept(void *ctx, const struct domains_kept *kept)
{
	persist_store(((struct domain_store *)ctx)->file, kept);
}

struct domain_store *
domain_store_open(struct domains *domains, const struct statefile_dir *dir,
    const char *lane_name)
{
	struct domain_store *store;
	char name[64], error[256];

	if (domains == NULL || domains_are_none(domains))
		return NULL;
	store = mem_zalloc(sizeof(*store));
	store->domains = domains;
	(void)snprintf(name, sizeof(name), "domains.%016llx",
	    (unsigned long long)board_hash(lane_name));
	store->file = persist_open(dir, name, MAGIC,
	    sizeof(struct domains_kept), error, sizeof(error));
	if (*error != '\0')
		log_warn("lane_domain_rate_limits begin anew with each "
			 "process: %s",
		    error);
	domains_keep(domains, persist_value(store->file),
	    persist_shift_us(store->file), clock_mono_us(), on_kept, store);
	return store;
}

void
domain_store_drain(struct domain_store *store)
{
	if (store == NULL)
		return;
	domains_keep_no_more(store->domains);
	persist_close(&store->file);
}

void
domain_store_close(struct domain_store **store)
{
	struct domain_store *old = *store;

	*store = NULL;
	domain_store_drain(old);
	mem_free(old);
}
