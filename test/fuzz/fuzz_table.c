/* Lookup tables that are read here, of any octets: the first chooses a cidr:
 * table, the content of an inline: one, a static: value, a list of tables or
 * the name of one. What is refused has a sentence that says why, and shows no
 * value, which may be a password.
 */
#include <stdint.h>
#include <string.h>

#include "agent/tables/cidr_table.h"
#include "agent/tables/inline_table.h"
#include "agent/tables/table_name.h"
#include "common/base/log.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 8192, ERROR_SIZE = 300 };

static void
give_back(char *value, const char *why)
{
	CHECK(value != NULL || (why != NULL && why[0] != '\0'));
	if (value != NULL)
		mem_wipe(value, strlen(value));
	mem_free(value);
}

static void
on_entry(void *ctx, const char *key, const char *value)
{
	size_t *n = ctx;

	CHECK(key != NULL && value != NULL);
	(*n)++;
}

static void
use_cidr(struct slice text)
{
	char error[ERROR_SIZE] = "";
	struct cidr_table *table =
	    cidr_table_new("fuzz", text, error, sizeof(error));

	CHECK((table == NULL) == (error[0] != '\0'));
	if (table == NULL)
		return;
	(void)cidr_table_find(table, "192.0.2.1");
	(void)cidr_table_find(table, "2001:db8::1");
	CHECK(cidr_table_find(table, "") == NULL);
	CHECK(cidr_table_find(table, "host.example") == NULL);
	cidr_table_free(&table);
}

static void
use_list(const char *text)
{
	const char *why = NULL, *rest;
	char *list = inline_list(text, &why), *next;

	rest = list;
	if (list != NULL)
		while ((next = inline_next(&rest)) != NULL) {
			CHECK(rest >= list && rest <= list + strlen(list));
			mem_free(next);
		}
	give_back(list, why);
}

static void
use_name(const char *text)
{
	char *type, *shown = table_name_shown(text);

	CHECK(shown != NULL);
	mem_free(shown);
	type = table_name_type(text);
	CHECK(type != NULL);
	(void)table_name_is_known(type);
	(void)table_name_is_pattern(type);
	mem_free(type);
	(void)table_name_has_values(text);
	(void)table_name_read_here(text);
	(void)table_name_is_proxied(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	size_t count = 0;
	char *text;

	if (size == 0)
		return 0;
	if (size > TEXT_MAX)
		size = TEXT_MAX;
	text = mem_strndup((const char *)data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		use_cidr(slice_of((const char *)data + 1, size - 1));
		break;
	case 1:
		if (!inline_entries(text, on_entry, &count, &why))
			CHECK(why != NULL && why[0] != '\0');
		break;
	case 2:
		give_back(inline_static(text, &why), why);
		break;
	case 3:
		give_back(inline_rules(text, &why), why);
		break;
	case 4:
		use_list(text);
		break;
	default:
		use_name(text);
		break;
	}
	mem_free(text);
	return 0;
}
