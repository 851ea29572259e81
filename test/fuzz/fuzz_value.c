/* Values of parameters and tables, of any octets: nexthops, ports, rates,
 * networks, words of a TLS policy (versions and ciphers are judged when a
 * session begins), addresses. What is taken is valid, and what is refused has a
 * sentence that says why.
 */
#include <stdint.h>
#include <string.h>

#include "agent/smarthost/tlspolicy.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/netblock.h"
#include "common/limits/rate.h"
#include "common/smtp/address.h"
#include "common/smtp/nexthop.h"
#include "common/smtp/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 4096, ERROR_SIZE = 300, CIPHERS_SIZE = 2048 };

static void
use_nexthops(struct slice text)
{
	struct slice list = text;
	const char *error = NULL;
	struct nexthop hop;
	unsigned port;

	while (nexthop_next(&list, &hop, &error) || error != NULL) {
		if (error != NULL)
			continue;
		CHECK(memchr(hop.host, '\0', sizeof(hop.host)) != NULL);
		CHECK(hop.host[0] != '\0');
		CHECK(hop.is_literal
			  ? nexthop_is_address(slice_str(hop.host))
			  : nexthop_is_hostname(slice_str(hop.host)));
		CHECK(!hop.is_literal || !hop.use_mx);
	}
	list = text;
	while (nexthop_next_port(&list, &port))
		CHECK(port <= UINT16_MAX);
}

static void
use_rates(struct slice text)
{
	struct rate rates[RATE_LIST_MAX], again;
	char error[ERROR_SIZE] = "", printed[RATE_TEXT_SIZE];
	size_t n = 0;

	if (!rate_list_parse(
		text, rates, RATE_LIST_MAX, &n, error, sizeof(error))) {
		CHECK(error[0] != '\0');
		return;
	}
	CHECK(n <= RATE_LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		CHECK(rates[i].count_milli > 0 && rates[i].period_us > 0);
		CHECK(rates[i].period_us <= RATE_PERIOD_MAX_US);
		CHECK(rates[i].is_quota == (rates[i].burst == 0));
		rate_to_text(&rates[i], printed, sizeof(printed));
		CHECK(rate_parse(
		    slice_str(printed), &again, error, sizeof(error)));
		CHECK(again.count_milli == rates[i].count_milli);
	}
}

/* resolver: smtp_tls_dane_resolver, with what else the DANE levels need. */
static void
use_policy(const char *text, char *resolver)
{
	static char none[] = "", versions_of[] = ">=TLSv1", grade[] = "medium",
		    list[] = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
		    match[] = "nexthop, dot-nexthop", release[] = "3.7.11",
		    support[] = "dnssec", lookup[] = "dns";
	const struct settings set = {
	    .smtp_tls_mandatory_protocols = versions_of,
	    .smtp_tls_protocols = versions_of,
	    .smtp_tls_mandatory_ciphers = grade,
	    .smtp_tls_ciphers = grade,
	    .tls_medium_cipherlist = list,
	    .tls_high_cipherlist = list,
	    .tls_null_cipherlist = list,
	    .tls_low_cipherlist = list,
	    .tls_export_cipherlist = list,
	    .mail_version = release,
	    .smtp_tls_exclude_ciphers = none,
	    .smtp_tls_mandatory_exclude_ciphers = none,
	    .smtp_tls_secure_cert_match = match,
	    .smtp_tls_verify_cert_match = match,
	    .smtp_tls_fingerprint_cert_match = match,
	    .smtp_tls_servername = none,
	    .smtp_tls_security_level = none,
	    .smtp_tls_dane_resolver = resolver,
	    .smtp_dns_support_level = support,
	    .smtp_host_lookup = lookup,
	    .smtp_dns_resolver_options = none,
	};
	char error[ERROR_SIZE] = "", ciphers[CIPHERS_SIZE];
	struct tlspolicy policy;
	unsigned versions;

	if (tlspolicy_parse(&policy, &set, text, error, sizeof(error))) {
		CHECK(policy.level <= TLS_LEVEL_SECURE);
		CHECK(!tls_level_is_dane(policy.level) || *resolver != '\0');
		if (tlspolicy_versions(policy.protocols, &versions))
			CHECK(versions < 16);
		if (tlspolicy_cipher_list(
			&policy, &set, ciphers, sizeof(ciphers)))
			CHECK(strlen(ciphers) < sizeof(ciphers));
	} else {
		CHECK(error[0] != '\0');
	}
	(void)tlspolicy_versions(text, &versions);
}

static void
use_address(struct slice text)
{
	struct buf out;
	bool may_be_utf8 = text.n % 2 == 0;

	buf_init(&out, TEXT_MAX * 8);
	if (address_to_smtp(&out, text, may_be_utf8)) {
		struct slice sent = buf_slice(&out);

		/* What would end the command, or the path within it. */
		CHECK(memchr(sent.p, '\n', sent.n) == NULL);
		CHECK(memchr(sent.p, '\r', sent.n) == NULL);
		CHECK(memchr(sent.p, '\0', sent.n) == NULL);
		CHECK(may_be_utf8 || address_is_ascii(sent));
		CHECK(address_is_sendable(text, may_be_utf8));
	}
	buf_reset(&out);
	(void)address_to_log(&out, text);
	buf_reset(&out);
	if (xtext_encode(&out, text)) {
		struct slice sent = buf_slice(&out);

		CHECK(address_is_ascii(sent));
		CHECK(sent.n == 0 || memchr(sent.p, ' ', sent.n) == NULL);
	}
	buf_reset(&out);
	(void)unitext_encode(&out, text);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netblock net;
	static char no_resolver[] = "", resolver[] = "127.0.0.1";
	struct slice text;
	char *copy;

	if (size > TEXT_MAX)
		size = TEXT_MAX;
	copy = mem_zalloc(size + 1);
	if (size > 0)
		memcpy(copy, data, size);
	text = slice_of(copy, size);
	use_nexthops(text);
	use_rates(text);
	use_address(text);
	use_policy(copy, no_resolver);
	use_policy(copy, resolver);
	if (netblock_parse(copy, &net))
		(void)netblock_has(&net, "192.0.2.1");
	mem_free(copy);
	return 0;
}
