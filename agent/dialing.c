#include "agent/dialing.h"

#include <errno.h>
#include <string.h>

#include "common/base/log.h"

static void
open_maps(
    struct dialing *d, const struct maps_env *env, const struct settings *set)
{
	struct problems unreadable = {0};

	/* Before they are read: a change in between is noticed later. */
	if (set->smtp_sasl_auth_enable)
		mapwatch_add(d->tables, set->smtp_sasl_password_maps);
	mapwatch_add(d->tables, set->smtp_tls_policy_maps);
	d->passwords = maps_open(env, "smtp_sasl_password_maps",
	    set->smtp_sasl_auth_enable ? set->smtp_sasl_password_maps : "",
	    &unreadable);
	d->policies = maps_open(env, "smtp_tls_policy_maps",
	    set->smtp_tls_policy_maps, &unreadable);
	mapwatch_follow(d->tables, d->passwords);
	mapwatch_follow(d->tables, d->policies);
	for (size_t i = 0; i < unreadable.count; i++)
		log_error("%s", unreadable.text[i]);
	problems_fini(&unreadable);
}

void
dialing_open(struct dialing *d, struct loop *loop, const struct settings *set,
    struct problems *problems)
{
	struct maps_env env;

	maps_env_init(&env, loop, set);
	d->tables = mapwatch_new();
	open_maps(d, &env, set);
	d->replies = rewrite_table_open(&env, "smtp_reply_filter",
	    set->smtp_reply_filter, d->tables, problems);
	d->ehlo_words = rewrite_table_open(&env,
	    "smtp_discard_ehlo_keyword_address_maps",
	    set->smtp_discard_ehlo_keyword_address_maps, d->tables, problems);
	d->records = rewrite_table_open(&env, "smtp_dns_reply_filter",
	    set->smtp_dns_reply_filter, d->tables, problems);
	d->credentials = credentials_new(set, d->passwords);
	credentials_preload(d->credentials, set->relayhost);
	credentials_preload(d->credentials, set->lane_smarthost);
	if (!maps_keep_in_memory(d->passwords))
		log_info("passwords cannot be kept out of the swap area: %s",
		    strerror(errno));
	maps_preload(d->policies, set->relayhost);
	maps_preload(d->policies, set->lane_smarthost);
	d->dialer = dialer_new(loop, set, d->credentials, d->policies);
	dialer_filter(d->dialer, rewrite_table_rewriter(d->replies),
	    rewrite_table_rewriter(d->ehlo_words));
	dialer_filter_dns(d->dialer, rewrite_table_rewriter(d->records));
	d->requiretls = requiretls_table_open(
	    &env, set->smtp_requiretls_policy, d->tables, problems);
	dialer_set_requiretls(d->dialer, d->requiretls);
}

void
dialing_close(struct dialing *d)
{
	dialer_free(&d->dialer);
	credentials_free(&d->credentials);
	mapwatch_free(&d->tables);
	maps_close(&d->passwords);
	maps_close(&d->policies);
	rewrite_table_close(&d->replies);
	rewrite_table_close(&d->ehlo_words);
	rewrite_table_close(&d->records);
	requiretls_table_close(&d->requiretls);
}
