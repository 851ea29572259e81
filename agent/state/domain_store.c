#include "agent/state/domain_store.h"

#include <stdio.h>

#include "agent/state/persist.h"
#include "common/shared/board.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* "lane dom" and the version of struct domains_kept. */
#define MAGIC UINT64_C(0x6d6f642d656e0001)

struct domainbook {
	struct domains *domains;
	struct keepfile *file;
};

static void
store(void *ctx, const struct domains_kept *kept)
{
	keepfile_store(((struct domainbook *)ctx)->file, kept);
}

struct domainbook *
domainbook_new(struct domains *domains, const struct statefile_dir *dir,
    const char *lane_name)
{
	struct domainbook *book;
	char name[64], error[256];

	if (domains == NULL || domains_are_none(domains))
		return NULL;
	book = mem_zalloc(sizeof(*book));
	book->domains = domains;
	(void)snprintf(name, sizeof(name), "domains.%016llx",
	    (unsigned long long)board_hash(lane_name));
	book->file = keepfile_open(dir, name, MAGIC,
	    sizeof(struct domains_kept), error, sizeof(error));
	if (*error != '\0')
		log_warn("lane_domain_rate_limits begin anew with each "
			 "process: %s",
		    error);
	domains_keep(domains, keepfile_value(book->file),
	    keepfile_shift_us(book->file), clock_mono_us(), store, book);
	return book;
}

void
domainbook_drain(struct domainbook *book)
{
	if (book == NULL)
		return;
	domains_keep_no_more(book->domains);
	keepfile_close(&book->file);
}

void
domainbook_free(struct domainbook **book)
{
	struct domainbook *old = *book;

	*book = NULL;
	domainbook_drain(old);
	mem_free(old);
}
