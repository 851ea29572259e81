/* Answers of name servers: any octets are read without harm, and what is taken
 * from them is bounded. The first octet chooses the type that was asked for.
 */
#include <arpa/nameser.h>
#include <stdint.h>
#include <string.h>

#include "agent/io/dnsreply.h"
#include "agent/io/resolver_records.h"
#include "common/base/log.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 65535, TTL_S = 3600 };

static const unsigned types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX,
    DNS_TYPE_SRV, DNS_TYPE_CNAME, DNS_TYPE_TLSA};

static void
check_tlsa(const struct resolver_answer *a)
{
	CHECK(a->count <= 1 && a->addrs == NULL && a->mx == NULL);
	if (a->tlsa == NULL)
		return;
	CHECK(a->tlsa->count <= TLSA_MAX);
	CHECK((a->tlsa->left_out > 0) == (a->tlsa->why[0] != '\0'));
	for (size_t i = 0; i < a->tlsa->count; i++) {
		const struct tlsa *one = &a->tlsa->records[i];
		char text[TLSA_TEXT_SIZE];

		CHECK(one->usage == TLSA_USAGE_AUTHORITY ||
		      one->usage == TLSA_USAGE_SERVER);
		CHECK(one->n > 0 && one->n < MESSAGE_MAX);
		CHECK(strlen(tlsa_text(one, text)) < TLSA_TEXT_SIZE);
	}
}

static void
check(const struct resolver_answer *a, unsigned type)
{
	bool is_address = type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
	int family = type == DNS_TYPE_A ? AF_INET : AF_INET6;

	if (type == DNS_TYPE_TLSA) {
		check_tlsa(a);
		return;
	}
	CHECK(a->count <=
	      (size_t)(is_address ? RESOLVER_ADDRS_MAX : RESOLVER_MX_MAX));
	for (size_t i = 0; i < a->count; i++) {
		const struct resolver_mx *mx;

		if (is_address) {
			CHECK(a->addrs[i].ss_family == family);
			continue;
		}
		mx = &a->mx[i];
		CHECK(memchr(mx->host, '\0', sizeof(mx->host)) != NULL);
		CHECK(mx->preference <= UINT16_MAX && mx->weight <= UINT16_MAX);
		CHECK(mx->port <= UINT16_MAX);
		CHECK(type == DNS_TYPE_SRV || mx->port == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resolver_answer a = {.status = RESOLVER_OK};
	enum resolver_records records;
	unsigned char *message;
	int ttl_s = TTL_S;
	unsigned type;

	if (size == 0 || size > MESSAGE_MAX)
		return 0;
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	/* of its own, so that no octet behind it can be read unseen */
	message = mem_alloc(size - 1);
	memcpy(message, data + 1, size - 1);
	records = resolver_records_read(
	    &a, type, NULL, true, message, size - 1, &ttl_s);
	CHECK(records != RESOLVER_RECORDS_DROPPED &&
	      records != RESOLVER_RECORDS_FILTER_FAILED);
	CHECK((records == RESOLVER_RECORDS_FOUND) == (a.count > 0));
	CHECK(ttl_s >= 0 && ttl_s <= TTL_S);
	check(&a, type);
	CHECK(!a.origin.is_secure || a.count > 0 ||
	      records == RESOLVER_RECORDS_MALFORMED);
	mem_free(a.addrs);
	mem_free(a.mx);
	tlsa_set_free(&a.tlsa);
	mem_free(message);
	return 0;
}
