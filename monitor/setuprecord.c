#include "monitor/setuprecord.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "monitor/setupfile.h"
#include "monitor/setuplogin.h"

enum { SCHEMA = 1 };

bool
setuprecord_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

json_t *
setuprecord_make(const struct setupplan *plan, json_t *hunks)
{
	bool no_login = plan->is_loginless;
	json_t *record =
	    json_pack("{s:i, s:s, s:s?, s:O, s:b, s:b, s:b, s:b, s:b}",
		"schema", SCHEMA, "nexthop", plan->nexthop, "tls_level",
		plan->tls_level, "hunks", hunks, "no_login", no_login,
		"made_login", !no_login && !setuprecord_exists(plan->login),
		"had_login", setuplogin_has(plan->login, plan->nexthop),
		"unended_login", setuplogin_is_unended(plan->login),
		"made_transport", !setuprecord_exists(plan->transport));

	CHECK(record != NULL);
	return record;
}

json_t *
setuprecord_read(const char *path)
{
	char *text = setupfile_read(path);
	json_t *record = text != NULL ? json_loads(text, 0, NULL) : NULL;

	mem_free(text);
	if (json_is_object(record))
		return record;
	json_decref(record);
	return NULL;
}

bool
setuprecord_write(const char *path, const json_t *record, bool is_unfinished)
{
	json_t *marked = json_deep_copy(record);
	char *text;
	bool is_good;

	CHECK(marked != NULL);
	if (is_unfinished)
		CHECK(json_object_set_new(marked, "unfinished", json_true()) ==
		      0);
	else
		(void)json_object_del(marked, "unfinished");
	text = json_dumps(marked, JSON_INDENT(1));
	CHECK(text != NULL);
	is_good = setupfile_replace(path, text);
	free(text);
	json_decref(marked);
	return is_good;
}

static const char *
text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));

	return text != NULL ? text : "";
}

const char *
setuprecord_nexthop(const json_t *record)
{
	return text_of(record, "nexthop");
}

const char *
setuprecord_tls_level(const json_t *record)
{
	return text_of(record, "tls_level");
}

const json_t *
setuprecord_hunks(const json_t *record)
{
	return json_object_get(record, "hunks");
}

bool
setuprecord_is_set(const json_t *record, const char *key)
{
	return json_is_true(json_object_get(record, key));
}

static json_t *
record_of(const char *directory, const char *name)
{
	char *path = setupplan_path(directory, name, "setup.json");
	json_t *record = setuprecord_read(path);

	mem_free(path);
	return record;
}

char *
setuprecord_nexthop_of(const char *directory, const char *name)
{
	json_t *record = record_of(directory, name);
	const char *nexthop = setuprecord_nexthop(record);
	char *copy = nexthop[0] != '\0' ? mem_strdup(nexthop) : NULL;

	json_decref(record);
	return copy;
}

bool
setuprecord_is_unfinished(const char *directory, const char *name)
{
	json_t *record = record_of(directory, name);
	bool is_so = setuprecord_is_set(record, "unfinished");

	json_decref(record);
	return is_so;
}
