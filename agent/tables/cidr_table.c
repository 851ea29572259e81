#include "agent/tables/cidr_table.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/tables/logical_lines.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/netblock.h"

enum { NESTING_MAX = 1000 };

enum rule_op { OP_RESULT, OP_IF, OP_ENDIF };

struct rule {
	enum rule_op op;
	bool is_negated;
	struct netblock net;
	char *value;
	size_t endif; /* index of the matching one */
};

struct cidr_table {
	struct rule *rules;
	size_t count;
};

/* A table being read. */
struct reader {
	struct cidr_table *table;
	const char *path;
	int line;
	size_t ifs[NESTING_MAX]; /* indices of those still open */
	size_t nesting;
	char *error;
	size_t error_size;
};

static bool
complain(struct reader *r, const char *what)
{
	(void)snprintf(
	    r->error, r->error_size, "%s, line %d: %s", r->path, r->line, what);
	return false;
}

static struct rule *
add_rule(struct reader *r, enum rule_op op)
{
	struct cidr_table *t = r->table;

	/* Doubling: a copy for each rule would be slow with large tables. */
	if ((t->count & (t->count - 1)) == 0)
		t->rules = mem_realloc(t->rules,
		    (t->count > 0 ? t->count * 2 : 1) * sizeof(t->rules[0]));
	t->rules[t->count] = (struct rule){.op = op};
	return &t->rules[t->count++];
}

static bool
is_blank(char c)
{
	return isspace((unsigned char)c) != 0;
}

static char *
skip_blanks(char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* Cuts "!network" off; *at is then at what is behind it. */
static bool
read_network(struct reader *r, char **at, struct rule *rule)
{
	char *p = *at, *end;

	for (; *p == '!' || is_blank(*p); p++)
		if (*p == '!')
			rule->is_negated = !rule->is_negated;
	for (end = p; *end != '\0' && !is_blank(*end);)
		end++;
	*at = skip_blanks(end);
	*end = '\0';
	if (!netblock_parse(p, &rule->net))
		return complain(r, "must be a network or address, as in "
				   "192.0.2.0/24 or 2001:db8::/32");
	return netblock_is_network(&rule->net) ||
	       complain(r, "the address has bits behind those of its network");
}

static bool
read_rule(struct reader *r, char *p)
{
	struct rule *rule = add_rule(r, OP_RESULT);

	if (!read_network(r, &p, rule))
		return false;
	if (*p == '\0')
		return complain(r, "there is no result");
	rule->value = mem_strdup(p);
	return true;
}

static bool
read_if(struct reader *r, char *p)
{
	struct rule *rule = add_rule(r, OP_IF);

	if (r->nesting == NESTING_MAX)
		return complain(r, "\"if\" inside of too many others");
	r->ifs[r->nesting++] = r->table->count - 1;
	return read_network(r, &p, rule) &&
	       (*p == '\0' || complain(r, "text behind \"if\""));
}

static bool
read_endif(struct reader *r, char *p)
{
	if (r->nesting == 0)
		return complain(r, "\"endif\" without \"if\"");
	(void)add_rule(r, OP_ENDIF);
	r->table->rules[r->ifs[--r->nesting]].endif = r->table->count - 1;
	return *skip_blanks(p) == '\0' || complain(r, "text behind \"endif\"");
}

static bool
read_line(void *ctx, char *p)
{
	struct reader *r = ctx;

	if (strncasecmp(p, "if", 2) == 0 && (is_blank(p[2]) || p[2] == '!'))
		return read_if(r, p + 2);
	if (strncasecmp(p, "endif", 5) == 0 && !isalnum((unsigned char)p[5]))
		return read_endif(r, p + 5);
	return read_rule(r, p);
}

static bool
read_table(struct reader *r, struct slice text)
{
	const char *why = NULL;

	if (!logical_lines_read(text, read_line, r, &r->line, &why))
		return why != NULL ? complain(r, why) : false;
	return r->nesting == 0 || complain(r, "\"if\" without \"endif\"");
}

struct cidr_table *
cidr_table_new(
    const char *path, struct slice text, char *error, size_t error_size)
{
	struct cidr_table *t = mem_zalloc(sizeof(*t));
	struct reader *r = mem_zalloc(sizeof(*r));

	r->table = t;
	r->path = path;
	r->error = error;
	r->error_size = error_size;
	if (!read_table(r, text))
		cidr_table_free(&t);
	mem_free(r);
	return t;
}

void
cidr_table_free(struct cidr_table **table)
{
	struct cidr_table *t = *table;

	*table = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		char *value = t->rules[i].value;

		if (value != NULL)
			mem_wipe(value, strlen(value));
		mem_free(value);
	}
	mem_free(t->rules);
	mem_free(t);
}

static bool
holds(const struct rule *rule, const char *addr, int family)
{
	return rule->net.family == family &&
	       netblock_has(&rule->net, addr) != rule->is_negated;
}

const char *
cidr_table_find(const struct cidr_table *t, const char *addr)
{
	int family = strchr(addr, ':') != NULL ? AF_INET6 : AF_INET;
	unsigned char octets[16];

	if (inet_pton(family, addr, octets) != 1)
		return NULL;
	for (size_t i = 0; i < t->count; i++) {
		const struct rule *rule = &t->rules[i];

		if (rule->op == OP_RESULT && holds(rule, addr, family))
			return rule->value;
		if (rule->op == OP_IF && !holds(rule, addr, family)) {
			CHECK(rule->endif > i && rule->endif < t->count);
			i = rule->endif;
		}
	}
	return NULL;
}
