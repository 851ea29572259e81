/* Asks the resolver that is trusted with DNSSEC as a lane would, for
 * dnssec_probe; and looks for levels that cannot do without one. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/io/dnsquestion.h"
#include "agent/io/resolvconf.h"
#include "agent/io/resolver.h"
#include "agent/io/trusted_resolver.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

enum { LINE_SIZE = 1024, DANE = 4 /* letters */ };

struct asking {
	struct loop *loop;
	struct resolver_query *query;
	char why[RESOLVER_REASON_SIZE]; /* there is no answer; else "" */
};

static void
on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct asking *a = ctx;

	a->query = NULL;
	(void)snprintf(a->why, sizeof(a->why), "%s",
	    answer->status == RESOLVER_OK ? "" : answer->reason);
	loop_stop(a->loop);
}

/* True: it validates, or nobody can say. */
static bool
does_validate(const struct settings *set, struct asking *a)
{
	struct resolver *resolver;
	const char *name;
	unsigned type;
	bool is_good = true;

	if (!dnsquestion_probe(set->dnssec_probe, &type, &name) || type == 0)
		return true;
	a->loop = loop_new();
	resolver = resolver_new_secure(a->loop, set, RESOLVCONF_PATH);
	if (resolver_is_secure(resolver)) {
		a->query = resolver_probe(resolver, type, name, on_answer, a);
		loop_run(a->loop);
		is_good = resolver_has_vouched(resolver);
	}
	resolver_free(&resolver);
	loop_free(&a->loop);
	return is_good;
}

static void
check_answer(struct checkup *c, const struct site_lane *lane)
{
	const struct settings *set = &lane->set;
	struct asking a = {NULL, NULL, ""};

	if (lane->problems.count > 0 || does_validate(set, &a))
		return;
	findings_add(&c->findings, "DANE-RESOLVER", FINDING_ERROR,
	    lane->opt.service_name,
	    "smtp_tls_dane_resolver = %s: %s \"%s\" (dnssec_probe)%s%s: mail "
	    "at the levels dane and dane-only is deferred where no records "
	    "are found",
	    set->smtp_tls_dane_resolver,
	    *a.why == '\0' ? "does not validate its answer to" : "no answer to",
	    set->dnssec_probe, *a.why != '\0' ? ": " : "", a.why);
	findings_advise(&c->findings,
	    "let a resolver listen there that validates DNSSEC, such as "
	    "unbound with the root's trust anchor, and try: dig +dnssec "
	    "@ADDRESS . NS must show the flag ad");
}

/* ---- rows of smtp_tls_policy_maps -----------------------------------------
 */

struct row {
	char *table, *text; /* the first that wants DANE; NULL: none */
};

static bool
wants_dane(const char *line)
{
	const char *level;

	if (*line == '#' || strchr(" \t\n", *line) != NULL)
		return false;
	level = line + strcspn(line, " \t\n");
	level += strspn(level, " \t");
	return strncasecmp(level, "dane", DANE) == 0;
}

static void
search_table(struct checkup *c, void *ctx, const char *type, const char *path)
{
	struct row *row = ctx;
	char line[LINE_SIZE];
	FILE *file;

	(void)c;
	if (row->table != NULL ||
	    (strcmp(type, "texthash") != 0 && checkup_ending(type) == NULL))
		return;
	file = fopen(path, "re");
	while (file != NULL && row->table == NULL &&
	       fgets(line, sizeof(line), file) != NULL) {
		if (!wants_dane(line))
			continue;
		line[strcspn(line, "\n")] = '\0';
		row->table = mem_printf("%s:%s", type, path);
		row->text = mem_strdup(line);
	}
	if (file != NULL)
		(void)fclose(file);
}

static void
check_rows(struct checkup *c, const struct site_lane *lane, const char *missing)
{
	struct row row = {NULL, NULL};

	checkup_each_file(
	    c, lane->set.smtp_tls_policy_maps, search_table, &row);
	if (row.table == NULL)
		return;
	findings_add(&c->findings, "DANE-RESOLVER", FINDING_ERROR,
	    lane->opt.service_name,
	    "smtp_tls_policy_maps = %s: \"%s\": mail there is deferred; not "
	    "supported by lane without %s",
	    row.table, row.text, missing);
	if (*lane->set.smtp_tls_dane_resolver == '\0')
		findings_advise(&c->findings,
		    "postconf %s-P %s/unix/smtp_tls_dane_resolver=127.0.0.1 "
		    "%s/unix/smtp_dns_support_level=dnssec, once a resolver "
		    "that validates listens there; or another level",
		    c->conf, lane->opt.service_name, lane->opt.service_name);
	mem_free(row.table);
	mem_free(row.text);
}

static void
check_lane(struct checkup *c, const struct site_lane *lane)
{
	const struct settings *set = &lane->set;
	const char *missing = trusted_resolver_missing(set);

	if (trusted_resolver_is_wanted(set))
		check_answer(c, lane);
	if (missing != NULL)
		check_rows(c, lane, missing);
	if (*set->smtp_tls_dane_resolver == '\0' ||
	    trusted_resolver_is_wanted(set))
		return;
	findings_add(&c->findings, "DANE-RESOLVER", FINDING_WARNING,
	    lane->opt.service_name,
	    "smtp_tls_dane_resolver = %s has no effect without "
	    "smtp_dns_support_level = dnssec",
	    set->smtp_tls_dane_resolver);
	checkup_fix_lane(c, lane, "smtp_dns_support_level", "dnssec");
}

void
checkup_dane(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++)
		check_lane(c, &c->site->lanes[i]);
}
