#include "common/base/clean.h"

#include <string.h>

#include <jansson.h>

#include "common/base/log.h"
#include "common/base/mem.h"

json_t *
clean_string(const char *text)
{
	char *copy = mem_strdup(text);
	json_t *value;

	log_safe(copy, strlen(copy));
	value = json_string(copy);
	mem_free(copy);
	CHECK(value != NULL);
	return value;
}

static void
clean_one(json_t *string)
{
	json_t *clean = clean_string(json_string_value(string));

	CHECK(json_string_set(string, json_string_value(clean)) == 0);
	json_decref(clean);
}

void
clean_all(json_t *value)
{
	const char *key;
	json_t *each;
	size_t i;

	if (json_is_string(value))
		clean_one(value);
	json_object_foreach(value, key, each) clean_all(each);
	json_array_foreach(value, i, each) clean_all(each);
}
