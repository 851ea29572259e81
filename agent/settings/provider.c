#include "agent/settings/provider.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/nexthop.h"

static const struct {
	const char *name, *parameter;
	bool is_rate, is_time, is_size;
} units[PROVIDER_UNITS] = {
    [PROVIDER_MESSAGES] = {"messages", "lane_account_message_rate_limit", true,
	false, false},
    [PROVIDER_RECIPIENTS] = {"recipients", "lane_account_recipient_rate_limit",
	true, false, false},
    [PROVIDER_OCTETS] = {"octets", "lane_account_byte_rate_limit", true, false,
	false},
    [PROVIDER_CONNECTS] = {"connects", "lane_connection_rate_limit", true,
	false, false},
    [PROVIDER_CONNECTIONS] = {"connections", "lane_account_connection_limit",
	false, false, false},
    [PROVIDER_MESSAGES_PER_CONNECTION] = {"messages-per-connection",
	"lane_messages_per_connection", false, false, false},
    [PROVIDER_CONNECTION_AGE] = {"connection-age", "lane_connection_age_limit",
	false, true, false},
    [PROVIDER_RECIPIENTS_PER_MESSAGE] = {"recipients-per-message", NULL, false,
	false, false},
    [PROVIDER_MESSAGE_SIZE] = {"message-size", NULL, false, false, true},
};

static const char *const scopes[PROVIDER_SCOPES] = {
    [PROVIDER_ACCOUNT] = "account",
    [PROVIDER_MAILBOX] = "mailbox",
    [PROVIDER_IP] = "ip",
    [PROVIDER_SERVER] = "server",
    [PROVIDER_SESSION] = "session",
    [PROVIDER_MESSAGE] = "message",
};

static const char *const standings[PROVIDER_STANDINGS] = {
    [PROVIDER_PUBLISHED] = "published",
    [PROVIDER_OBSERVED] = "observed",
    [PROVIDER_PLAN] = "plan",
    [PROVIDER_DISPUTED] = "disputed",
    [PROVIDER_UNVERIFIED] = "unverified",
};

const char *
provider_unit_name(enum provider_unit unit)
{
	return units[unit].name;
}

const char *
provider_scope_name(enum provider_scope scope)
{
	return scopes[scope];
}

const char *
provider_standing_name(enum provider_standing standing)
{
	return standings[standing];
}

bool
provider_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' &&
		    name[i] != '_')
			return false;
	return n > 0 && n <= 64;
}

/* ---- reading ----------------------------------------------------------- */

struct reader {
	struct provider *provider;
	struct rules *rules;
	struct slice rest; /* of the line */
	int line;
	char error[RULES_ERROR_SIZE];
};

static bool complain(struct reader *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool
complain(struct reader *in, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(in->error, sizeof(in->error), format, ap);
	va_end(ap);
	return false;
}

static int
shown(struct slice s)
{
	return s.n > 60 ? 60 : (int)s.n;
}

static char *
dup(struct slice s)
{
	return mem_strndup(s.n > 0 ? s.p : "", s.n);
}

/* "a, b, c" */
static void
list_names(const char *const *names, size_t count, char *out, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < count && at < n; i++)
		at += (size_t)snprintf(
		    out + at, n - at, "%s%s", i > 0 ? ", " : "", names[i]);
}

static bool
find_name(struct reader *in, const char *what, const char *const *names,
    size_t count, size_t *out)
{
	struct slice word = {NULL, 0};
	char allowed[200] = "";

	(void)words_next(&in->rest, &word);
	for (size_t i = 0; i < count; i++)
		if (slice_eq_nocase(word, names[i])) {
			*out = i;
			return true;
		}
	list_names(names, count, allowed, sizeof(allowed));
	return complain(in, "bad %s \"%.*s\": must be %s", what, shown(word),
	    word.p, allowed);
}

/* One more item in an array of a provider: its zeroed place. */
static void *
grow(void *array, size_t count, size_t size, void **place)
{
	char *v = mem_realloc(array, (count + 1) * size);

	memset(v + count * size, 0, size);
	*place = v + count * size;
	return v;
}

static bool
set_text(struct reader *in, char **to)
{
	if ((*to)[0] != '\0')
		return complain(in, "said twice in this file");
	if (in->rest.n == 0)
		return complain(in, "nothing follows the word");
	mem_free(*to);
	*to = dup(in->rest);
	return true;
}

static bool
read_provider(struct reader *in)
{
	if (!set_text(in, &in->provider->name))
		return false;
	if (provider_name_is_valid(in->provider->name))
		return true;
	return complain(in,
	    "bad name \"%.60s\": must be letters, digits, "
	    "- and _",
	    in->provider->name);
}

static bool
read_source(struct reader *in)
{
	struct provider *p = in->provider;
	struct slice name = {NULL, 0}, date = {NULL, 0};
	struct provider_source *s;
	void *place;

	(void)words_next(&in->rest, &name);
	(void)words_next(&in->rest, &date);
	if (in->rest.n == 0 || date.n < 7 || date.n > 10 ||
	    !isdigit((unsigned char)date.p[0]) || date.p[4] != '-')
		return complain(in, "must be source NAME YYYY-MM[-DD] and "
				    "where it stands");
	if (p->source_count == PROVIDER_ITEMS_MAX)
		return complain(in, "more than %d sources", PROVIDER_ITEMS_MAX);
	p->sources = grow(p->sources, p->source_count++, sizeof(*s), &place);
	s = place;
	s->name = dup(name);
	s->read_on = dup(date);
	s->where = dup(in->rest);
	return true;
}

static void
add_text(char ***texts, size_t *count, struct slice text)
{
	void *place;
	char **to;

	*texts = grow(*texts, (*count)++, sizeof(**texts), &place);
	to = place;
	*to = dup(text);
}

static bool
read_note(struct reader *in)
{
	struct provider *p = in->provider;

	if (in->rest.n == 0)
		return complain(in, "nothing follows the word");
	if (p->note_count == PROVIDER_ITEMS_MAX)
		return complain(in, "more than %d notes", PROVIDER_ITEMS_MAX);
	add_text(&p->notes, &p->note_count, in->rest);
	return true;
}

/* A host name, with "*" in the place of any label but the last. */
static bool
is_host_pattern(struct slice word)
{
	char *name = dup(word), *any;
	bool is_good;

	while ((any = strstr(name, "*.")) != NULL &&
	       (any == name || any[-1] == '.'))
		*any = 'x';
	is_good =
	    strchr(name, '.') != NULL && nexthop_is_hostname(slice_str(name));
	mem_free(name);
	return is_good;
}

static bool
read_host(struct reader *in)
{
	struct provider *p = in->provider;
	struct slice word = {NULL, 0};

	(void)words_next(&in->rest, &word);
	if (in->rest.n > 0 && in->rest.p[0] != '#')
		return complain(in, "nothing but # and a remark may follow the "
				    "host");
	if (!is_host_pattern(word))
		return complain(in,
		    "bad host \"%.*s\": must be a name such as "
		    "mail.example.com, with * for any one label",
		    shown(word), word.p);
	if (p->host_count == PROVIDER_ITEMS_MAX)
		return complain(in, "more than %d hosts", PROVIDER_ITEMS_MAX);
	add_text(&p->hosts, &p->host_count, word);
	return true;
}

/* What one letter behind a count multiplies it by; 0: not allowed here. */
static int64_t
multiplier(enum provider_unit unit, struct slice suffix)
{
	char letter =
	    suffix.n == 1 ? (char)tolower((unsigned char)suffix.p[0]) : '?';

	if (suffix.n == 0)
		return 1;
	if (units[unit].is_size)
		return letter == 'k' ? 1024 : letter == 'm' ? 1048576 : 0;
	if (units[unit].is_time)
		return letter == 's'   ? 1
		       : letter == 'm' ? 60
		       : letter == 'h' ? 3600
				       : 0;
	return 0;
}

static bool
read_count(struct reader *in, struct provider_limit *l, struct slice word)
{
	int64_t count = 0, times;
	size_t n = 0;

	for (; n < word.n && n < 9 && isdigit((unsigned char)word.p[n]); n++)
		count = count * 10 + (word.p[n] - '0');
	times = multiplier(l->unit, slice_of(word.p + n, word.n - n));
	l->count = count * times;
	if (n > 0 && l->count > 0)
		return true;
	return complain(in, "bad value \"%.*s\": must be a whole number%s",
	    shown(word), word.p,
	    units[l->unit].is_size   ? ", K or M behind it"
	    : units[l->unit].is_time ? ", s, m or h behind it"
				     : "");
}

static bool
read_value(struct reader *in, struct provider_limit *l)
{
	struct slice word = {NULL, 0};
	char why[200] = "";

	(void)words_next(&in->rest, &word);
	l->value = dup(word);
	if (!units[l->unit].is_rate)
		return read_count(in, l, word);
	if (word.n > 0 && rate_parse(word, &l->rate, why, sizeof(why)))
		return true;
	return complain(in, "bad value \"%.*s\": %s", shown(word), word.p, why);
}

static bool
read_limit_words(struct reader *in, struct provider_limit *l)
{
	const char *unit_names[PROVIDER_UNITS];
	struct slice word = {NULL, 0};
	size_t i;

	for (i = 0; i < PROVIDER_UNITS; i++)
		unit_names[i] = units[i].name;
	if (!find_name(in, "unit", unit_names, PROVIDER_UNITS, &i))
		return false;
	l->unit = (enum provider_unit)i;
	if (!read_value(in, l))
		return false;
	if (!words_next(&in->rest, &word) || !slice_eq_nocase(word, "per"))
		return complain(in, "the word \"per\" is missing after the "
				    "value");
	if (!find_name(in, "scope", scopes, PROVIDER_SCOPES, &i))
		return false;
	l->scope = (enum provider_scope)i;
	if (!find_name(in, "standing", standings, PROVIDER_STANDINGS, &i))
		return false;
	l->standing = (enum provider_standing)i;
	(void)words_next(&in->rest, &word);
	l->source = dup(word);
	if (in->rest.n > 0 && in->rest.p[0] != '#')
		return complain(in, "nothing but # and a remark may follow the "
				    "source");
	while (in->rest.n > 0 && in->rest.p[0] == '#')
		in->rest = words_trim(slice_of(in->rest.p + 1, in->rest.n - 1));
	l->remark = dup(in->rest);
	return true;
}

static bool
has_source(struct reader *in, const struct provider_limit *l)
{
	if (provider_find_source(in->provider, l->source) != NULL ||
	    (l->standing == PROVIDER_UNVERIFIED && strcmp(l->source, "-") == 0))
		return true;
	return complain(in,
	    "bad source \"%.60s\": must be the name of a source line above, "
	    "and - for what is unverified",
	    l->source);
}

static void
limit_fini(struct provider_limit *l)
{
	mem_free(l->value);
	mem_free(l->source);
	mem_free(l->remark);
}

static bool
read_limit(struct reader *in)
{
	struct provider *p = in->provider;
	struct provider_limit l = {.line = in->line}, *kept;
	void *place;

	if (p->limit_count == PROVIDER_ITEMS_MAX)
		return complain(in, "more than %d limits", PROVIDER_ITEMS_MAX);
	if (!read_limit_words(in, &l) || !has_source(in, &l)) {
		limit_fini(&l);
		return false;
	}
	p->limits = grow(p->limits, p->limit_count++, sizeof(l), &place);
	kept = place;
	*kept = l;
	return true;
}

static bool
read_line(struct reader *in)
{
	struct slice word = {NULL, 0};

	(void)words_next(&in->rest, &word);
	if (slice_eq_nocase(word, "reply"))
		return rules_add_line(in->rules, in->provider->file, in->line,
		    in->rest, in->error, sizeof(in->error));
	if (slice_eq_nocase(word, "limit"))
		return read_limit(in);
	if (slice_eq_nocase(word, "source"))
		return read_source(in);
	if (slice_eq_nocase(word, "note"))
		return read_note(in);
	if (slice_eq_nocase(word, "host"))
		return read_host(in);
	if (slice_eq_nocase(word, "provider"))
		return read_provider(in);
	if (slice_eq_nocase(word, "about"))
		return set_text(in, &in->provider->about);
	return complain(in,
	    "bad word \"%.*s\": must be provider, about, host, source, "
	    "limit, note or reply",
	    shown(word), word.p);
}

bool
provider_parse(struct provider *provider, const char *file, struct slice text,
    struct rules *rules, struct buf *errors)
{
	struct lines lines = lines_of(text);
	struct slice line;
	bool is_good = true;

	*provider = (struct provider){
	    .file = mem_strdup(file),
	    .name = mem_strdup(""),
	    .about = mem_strdup(""),
	};
	while (lines_next(&lines, &line)) {
		struct reader in = {provider, rules, line, lines.number, ""};

		if (memchr(line.p, '\0', line.n) != NULL)
			(void)complain(&in, "the line contains a NUL octet");
		else if (read_line(&in))
			continue;
		is_good = false;
		(void)buf_addf(
		    errors, "%s:%d: %s\n", file, lines.number, in.error);
	}
	return is_good;
}

void
provider_fini(struct provider *provider)
{
	for (size_t i = 0; i < provider->limit_count; i++)
		limit_fini(&provider->limits[i]);
	for (size_t i = 0; i < provider->source_count; i++) {
		mem_free(provider->sources[i].name);
		mem_free(provider->sources[i].read_on);
		mem_free(provider->sources[i].where);
	}
	for (size_t i = 0; i < provider->note_count; i++)
		mem_free(provider->notes[i]);
	for (size_t i = 0; i < provider->host_count; i++)
		mem_free(provider->hosts[i]);
	mem_free(provider->hosts);
	mem_free(provider->limits);
	mem_free(provider->sources);
	mem_free(provider->notes);
	mem_free(provider->file);
	mem_free(provider->name);
	mem_free(provider->about);
	*provider = (struct provider){.file = NULL};
}

/* ---- asking ------------------------------------------------------------ */

const struct provider_source *
provider_find_source(const struct provider *provider, const char *name)
{
	for (size_t i = 0; i < provider->source_count; i++)
		if (strcmp(provider->sources[i].name, name) == 0)
			return &provider->sources[i];
	return NULL;
}

/* Label by label; "*" is any one. */
static bool
is_like(const char *pattern, const char *host)
{
	for (;;) {
		size_t p = strcspn(pattern, "."), h = strcspn(host, ".");

		if (!(p == 1 && *pattern == '*' && h > 0) &&
		    !(p == h && strncasecmp(pattern, host, p) == 0))
			return false;
		pattern += p;
		host += h;
		if (*pattern == '\0' || *host == '\0')
			return *pattern == *host;
		pattern++;
		host++;
	}
}

bool
provider_has_host(const struct provider *provider, const char *host)
{
	for (size_t i = 0; i < provider->host_count; i++)
		if (is_like(provider->hosts[i], host))
			return true;
	return false;
}

bool
provider_is_applied(const struct provider_limit *limit)
{
	return limit->standing == PROVIDER_PUBLISHED ||
	       limit->standing == PROVIDER_OBSERVED;
}

const char *
provider_parameter(const struct provider_limit *limit)
{
	return units[limit->unit].parameter;
}

static bool
is_for(const struct provider_limit *l, const char *parameter)
{
	const char *own = provider_parameter(l);

	return own != NULL && provider_is_applied(l) &&
	       strcmp(own, parameter) == 0;
}

bool
provider_value(const struct provider *provider, const char *parameter,
    char *out, size_t n, const struct provider_limit **from_out)
{
	const struct provider_limit *from = NULL;
	size_t at = 0, joined = 0;

	for (size_t i = 0; i < provider->limit_count; i++) {
		const struct provider_limit *l = &provider->limits[i];

		if (!is_for(l, parameter))
			continue;
		if (units[l->unit].is_rate) {
			if (joined++ == RATE_LIST_MAX)
				break;
			at += (size_t)snprintf(out + at, n - at, "%s%s",
			    from != NULL ? " " : "", l->value);
			if (at >= n)
				return false;
			from = from != NULL ? from : l;
		} else if (from == NULL || l->count < from->count) {
			from = l;
			(void)snprintf(out, n, "%lld%s", (long long)l->count,
			    units[l->unit].is_time ? "s" : "");
		}
	}
	if (from_out != NULL)
		*from_out = from;
	return from != NULL;
}
