#include "agent/engine/generic.h"

#include <string.h>
#include <strings.h>

#include "agent/engine/answers.h"
#include "agent/engine/settings.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/mailbox.h"

enum { ADDRESS_MAX = 1 << 20 };

/* One address that is looked for. */
struct search {
	const struct generic *generic;
	struct answers *answers;
	const char *address;
	char *bare; /* without extension; NULL: it has none */
	char *extension; /* with the delimiter */
	bool lost_extension; /* found without it */
	struct buf result; /* external form */
};

/* Where the extension of user+extension begins; NULL: none. */
static char *
find_extension(const struct settings *set, char *user)
{
	size_t n = strcspn(user, set->recipient_delimiter);
	size_t length = strlen(user);

	if (n == 0 || n == length || strcasecmp(user, "postmaster") == 0 ||
	    strcasecmp(user, "mailer-daemon") == 0 ||
	    strcasecmp(user, set->double_bounce_sender) == 0)
		return NULL;
	if (set->owner_request_special &&
	    strchr(set->recipient_delimiter, '-') != NULL &&
	    (strncasecmp(user, "owner-", 6) == 0 ||
		(length > 8 && strcasecmp(user + length - 8, "-request") == 0)))
		return NULL;
	return user + n;
}

static void
split(struct search *s)
{
	const char *at = strrchr(s->address, '@');
	char *user = at != NULL
			 ? mem_strndup(s->address, (size_t)(at - s->address))
			 : mem_strdup(s->address);
	char *extension = find_extension(s->generic->set, user);

	if (extension != NULL) {
		s->extension = mem_strdup(extension);
		*extension = '\0';
		s->bare = mem_printf("%s%s", user, at != NULL ? at : "");
	}
	mem_free(user);
}

static enum rewriter_result
ask_table(const struct search *s, const struct rewriter *table, const char *key,
    struct buf *out)
{
	enum rewriter_result result = rewriter_ask(table, key, out);

	return result == REWRITER_UNKNOWN
		   ? answers_find(s->answers, table, key, out)
		   : result;
}

/* One key, an address or (is_local) a local part. */
static enum rewriter_result
ask(struct search *s, const struct rewriter *maps, const char *key,
    bool is_local)
{
	struct buf external;
	enum rewriter_result result;

	buf_init(&external, ADDRESS_MAX);
	if (is_local)
		mailbox_quote_local(&external, key);
	else
		mailbox_quote(&external, key);
	result = ask_table(s, maps, buf_str(&external), &s->result);
	buf_fini(&external);
	return result;
}

static enum rewriter_result
ask_local(struct search *s, const char *address)
{
	const char *at = strrchr(address, '@');
	char *user = mem_strndup(address, (size_t)(at - address));
	enum rewriter_result result = ask(s, &s->generic->partial, user, true);

	mem_free(user);
	return result;
}

/* "!name" ends the search. */
static bool
is_in(const char *names, const char *wanted)
{
	static const char between[] = ", \t\r\n";
	size_t n;

	for (;; names += n) {
		bool is_not;

		names += strspn(names, between);
		n = strcspn(names, between);
		if (n == 0)
			return false;
		is_not = names[0] == '!';
		if (slice_eq_nocase(slice_of(names + (is_not ? 1 : 0),
					n - (is_not ? 1 : 0)),
			wanted))
			return !is_not;
	}
}

static enum rewriter_result
is_own_domain(const struct search *s, const char *domain)
{
	const struct generic *g = s->generic;
	struct buf value;
	enum rewriter_result result;
	size_t n = strlen(domain);
	char *name;

	if (strcasecmp(domain, g->set->myorigin) == 0)
		return REWRITER_DONE;
	if (n > 0 && domain[n - 1] == '.')
		n--;
	if (n == 0 || domain[n - 1] == '.')
		return REWRITER_KEPT;
	name = mem_strndup(domain, n);
	buf_init(&value, ADDRESS_MAX);
	result = is_in(g->set->mydestination, name)
		     ? REWRITER_DONE
		     : ask_table(s, &g->destinations, name, &value);
	buf_fini(&value);
	mem_free(name);
	return result;
}

/* The forms of the address, in order, until one is found. */
static enum rewriter_result
look(struct search *s)
{
	const struct generic *g = s->generic;
	const char *at = strrchr(s->address, '@');
	enum rewriter_result result = ask(s, &g->maps, s->address, false);

	if (result == REWRITER_KEPT && s->bare != NULL) {
		result = ask(s, &g->partial, s->bare, false);
		s->lost_extension = result == REWRITER_DONE;
	}
	if (result != REWRITER_KEPT || at == NULL)
		return result;
	result = is_own_domain(s, at + 1);
	if (result == REWRITER_DONE) {
		result = ask_local(s, s->address);
		if (result == REWRITER_KEPT && s->bare != NULL) {
			result = ask_local(s, s->bare);
			s->lost_extension = result == REWRITER_DONE;
		}
	}
	return result == REWRITER_KEPT
		   ? ask_table(s, &g->partial, at, &s->result)
		   : result;
}

/* "@other.example" takes the user over. */
static void
add_user(struct search *s)
{
	const char *from = s->lost_extension ? s->bare : s->address;
	const char *at = strrchr(from, '@');
	size_t n = at != NULL ? (size_t)(at - from) : strlen(from);
	char *internal;

	if (buf_str(&s->result)[0] != '@')
		return;
	internal = mem_printf("%.*s%s", (int)n, from, buf_str(&s->result));
	buf_reset(&s->result);
	mailbox_quote(&s->result, internal);
	mem_free(internal);
}

static void
propagate(const struct search *s, const char *internal, struct buf *out)
{
	const char *at = strrchr(internal, '@');
	size_t n = at != NULL ? (size_t)(at - internal) : strlen(internal);

	(void)buf_add(out, internal, n);
	if (s->lost_extension &&
	    is_in(s->generic->set->propagate_unmatched_extensions, "generic"))
		(void)buf_add_str(out, s->extension);
	(void)buf_add_str(out, internal + n);
}

/* The value of the table as one complete address, internal form. */
static enum rewriter_result
finish(const struct search *s, struct buf *out)
{
	const struct settings *set = s->generic->set;
	const struct mailbox_manner manner = {
	    .origin = set->append_at_myorigin ? set->myorigin : "",
	    .domain = set->append_dot_mydomain ? set->mydomain : "",
	    .swaps_bangpath = set->swap_bangpath,
	    .takes_percent = set->allow_percent_hack,
	};
	struct buf value = s->result, external, whole, internal;
	const char *text = buf_str(&value);
	struct mailbox_list *list;
	bool is_address;

	if (text[0] == '\0' || strcmp(text, "<>") == 0)
		text = "\"\"";
	buf_init(&external, ADDRESS_MAX);
	buf_init(&whole, ADDRESS_MAX);
	buf_init(&internal, ADDRESS_MAX);
	list = mailbox_list_parse(text);
	is_address = mailbox_list_first(list, &external);
	mailbox_list_free(&list);
	if (is_address) {
		mailbox_complete(&whole, buf_str(&external), &manner);
		mailbox_unquote(&internal, buf_str(&whole));
		propagate(s, buf_str(&internal), out);
	} else {
		log_warn("smtp_generic_maps lookup of %s returns non-address "
			 "result \"%s\"",
		    s->address, text);
	}
	buf_fini(&external);
	buf_fini(&whole);
	buf_fini(&internal);
	return is_address && buf_ok(out) ? REWRITER_DONE : REWRITER_FAILED;
}

enum rewriter_result
generic_map(const struct generic *generic, struct answers *answers,
    const char *address, struct buf *out)
{
	struct search s = {
	    .generic = generic, .answers = answers, .address = address};
	enum rewriter_result result;

	CHECK(generic->set != NULL);
	if (generic->maps.fn == NULL)
		return REWRITER_KEPT;
	buf_init(&s.result, ADDRESS_MAX);
	split(&s);
	result = look(&s);
	if (result == REWRITER_DONE) {
		add_user(&s);
		result = finish(&s, out);
	}
	buf_fini(&s.result);
	mem_free(s.bare);
	mem_free(s.extension);
	return result;
}
