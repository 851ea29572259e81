#include "agent/tables/table_name.h"

#include <string.h>

#include "common/base/mem.h"

static bool
is_one_of(const char *type, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, type) == 0)
			return true;
	return false;
}

bool
table_name_is_known(const char *type)
{
	static const char *const types[] = {"btree", "cdb", "cidr", "dbm",
	    "environ", "fail", "hash", "inline", "internal", "ldap", "lmdb",
	    "memcache", "mongodb", "mysql", "netinfo", "nis", "nisplus", "pcre",
	    "pgsql", "pipemap", "proxy", "randmap", "regexp", "sdbm",
	    "socketmap", "sqlite", "static", "tcp", "texthash", "unionmap",
	    "unix", NULL};

	return is_one_of(type, types);
}

bool
table_name_has_values(const char *name)
{
	return strchr(name, '{') != NULL || strstr(name, "static:") != NULL;
}

char *
table_name_shown(const char *name)
{
	size_t type = strcspn(name, ":");
	char *word = mem_strndup(name, type);
	bool is_known = table_name_is_known(word);

	mem_wipe(word, type);
	mem_free(word);
	if (!is_known)
		return mem_strdup("...");
	if (!table_name_has_values(name))
		return mem_strdup(name);
	if (table_name_is_proxied(name))
		type += 1 + strcspn(name + 6, ":");
	return mem_printf("%.*s:...", (int)type, name);
}

char *
table_name_type(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, ":");
		const char *rest = name + n + (name[n] == ':');

		if (!table_name_is_proxied(name) &&
		    strncmp(name, "unionmap:", 9) != 0 &&
		    strncmp(name, "pipemap:", 8) != 0)
			return mem_strndup(name, n);
		name = rest + strspn(rest, "{, \t\r\n");
	}
}

bool
table_name_is_pattern(const char *type)
{
	static const char *const patterns[] = {"regexp", "pcre", "cidr", "fail",
	    "randmap", "tcp", "socketmap", NULL};

	return is_one_of(type, patterns);
}

bool
table_name_is_proxied(const char *name)
{
	return strncmp(name, "proxy:", 6) == 0;
}

const char *
table_name_read_here(const char *name)
{
	static const char *const types[] = {"btree", "cdb", "cidr", "dbm",
	    "fail", "hash", "inline", "lmdb", "pcre", "randmap", "regexp",
	    "sdbm", "static", "texthash", NULL};
	const char *direct = name + strlen("proxy:");
	bool is_read_here;
	char *type;

	if (!table_name_is_proxied(name))
		return name;
	type = mem_strndup(direct, strcspn(direct, ":"));
	is_read_here = is_one_of(type, types);
	mem_free(type);
	return is_read_here ? direct : name;
}
