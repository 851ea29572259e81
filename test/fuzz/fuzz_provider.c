/* Provider files and reply rules: any text is read without harm, and whatever
 * was taken from it is a valid value. A NUL ends the file; what follows is a
 * reply that the rules are asked about, at every stage.
 */
#include <stdint.h>
#include <string.h>

#include "agent/engine/rules.h"
#include "agent/settings/provider.h"
#include "common/base/log.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 8192, ERRORS_MAX = 1024 * 1024 };

static void
check_limits(const struct provider *provider)
{
	char text[RATE_TEXT_SIZE], value[400], error[200];

	for (size_t i = 0; i < provider->limit_count; i++) {
		const struct provider_limit *limit = &provider->limits[i];
		const char *parameter = provider_parameter(limit);
		struct rate again;

		CHECK(limit->unit < PROVIDER_UNITS && limit->line > 0);
		CHECK(limit->value != NULL && limit->remark != NULL);
		if (limit->unit <= PROVIDER_CONNECTS) {
			rate_to_text(&limit->rate, text, sizeof(text));
			CHECK(rate_parse(
			    slice_str(text), &again, error, sizeof(error)));
			CHECK(again.count_milli == limit->rate.count_milli);
			CHECK(again.period_us == limit->rate.period_us);
		} else {
			CHECK(limit->count > 0);
		}
		if (parameter != NULL && provider_value(provider, parameter,
					     value, sizeof(value), NULL))
			CHECK(
			    value[0] != '\0' && strlen(value) < sizeof(value));
	}
}

static void
check_match(const struct rules *rules, const char *reply)
{
	struct rule_hit hit;
	struct rules_query query = {
	    .code = 454,
	    .status = "4.7.0",
	    .text = reply,
	    .wall_s = 1767225600,
	};

	for (int stage = RULE_CONNECT; stage <= RULE_IDLE; stage++) {
		query.stage = (enum rule_stage)stage;
		query.code = stage % 2 == 0 ? 454 : 550;
		CHECK(rules_match(rules, &query, &hit) == (hit.file != NULL));
		CHECK(hit.wait_us >= 0 && hit.wait_us <= RULES_WAIT_MAX_US);
		CHECK(rule_outcome_name(hit.outcome) != NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rules *rules = rules_new();
	struct buf errors;
	struct provider provider;
	char *text, *reply;
	size_t n;

	buf_init(&errors, ERRORS_MAX);
	if (size > TEXT_MAX)
		size = TEXT_MAX;
	text = mem_strndup((const char *)data, size);
	n = strlen(text);
	reply = n < size ? mem_strndup((const char *)data + n + 1, size - n - 1)
			 : mem_strdup("454 4.7.0 try again in 92 seconds");
	/* What the C library's expressions cost is not the question. */
	for (size_t i = 0; i < n; i++)
		if (strchr("{\\(+", text[i]) != NULL)
			text[i] = '.';
	CHECK(provider_parse(&provider, "fuzz.conf", (struct slice){text, n},
		  rules, &errors) == (buf_len(&errors) == 0));
	CHECK(rules_count(rules) <= RULES_MAX);
	check_limits(&provider);
	(void)provider_has_host(&provider, reply);
	check_match(rules, reply);
	provider_fini(&provider);
	rules_free(&rules);
	buf_fini(&errors);
	mem_free(text);
	mem_free(reply);
	return 0;
}
