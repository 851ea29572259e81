#include "common/smtp/anonymize.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"

enum {
	HIDDEN_MIN = 3, /* octets behind the letter that is shown */
	ALONE_MIN = 3, /* a shorter local part is not looked for alone */
	ALONE_MAX = 8, /* so many are */
	LOCAL_DIGITS = 16,
	DOMAIN_DIGITS = 12,
	SHORT_MAX = 256, /* of a digest's text; longer ones are cut */
};

static const char top_domain[] = ".invalid";

/* An address that was met, so that its local part is known alone. */
struct met {
	struct slice local, whole;
};

struct scan {
	const struct anonymize *a;
	struct slice text;
	size_t reply_at; /* from here on it is a server's words */
	struct buf *out;
	struct met met[ALONE_MAX];
	size_t met_count;
};

static struct slice
part(struct slice s, size_t from, size_t to)
{
	return slice_of(s.p + from, to - from);
}

/* ---- one address -------------------------------------------------------- */

static bool
is_letter(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Neither quotes nor other marks tell anything. */
static struct slice
trim_marks(struct slice s)
{
	while (s.n > 0 && !is_letter(s.p[0]))
		s = part(s, 1, s.n);
	while (s.n > 0 && !is_letter(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool
is_hex(struct slice s, size_t digits)
{
	if (s.n != digits)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isdigit((unsigned char)s.p[i]) &&
		    (s.p[i] < 'a' || s.p[i] > 'f'))
			return false;
	return true;
}

/* The domain begins behind the last "@". */
static bool
split(struct slice address, struct slice *local, struct slice *domain)
{
	const char *at = memrchr(address.p, '@', address.n);

	*local = address;
	*domain = slice_of("", 0);
	if (at == NULL)
		return false;
	*local = part(address, 0, (size_t)(at - address.p));
	*domain = part(address, local->n + 1, address.n);
	return true;
}

static bool
is_hashed(struct slice local, struct slice domain)
{
	size_t end = sizeof(top_domain) - 1;

	if (!is_hex(local, LOCAL_DIGITS))
		return false;
	return domain.n == 0 ||
	       (domain.n == DOMAIN_DIGITS + end &&
		   is_hex(part(domain, 0, DOMAIN_DIGITS), DOMAIN_DIGITS) &&
		   memcmp(domain.p + DOMAIN_DIGITS, top_domain, end) == 0);
}

/* Of local@domain, or of @domain; with and without quotes it is the same. */
static void
put_digest(const struct anonymize *a, struct slice local, struct slice domain,
    size_t digits, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char sum[ANONYMIZE_DIGEST_SIZE];
	struct slice bare = trim_marks(local);
	char text[2 * SHORT_MAX + 1];
	size_t n = 0;

	if (bare.n > 0)
		local = bare;
	for (size_t i = 0; i < local.n && n < SHORT_MAX; i++)
		text[n++] = (char)tolower((unsigned char)local.p[i]);
	text[n++] = '@';
	for (size_t i = 0; i < domain.n && n < 2 * SHORT_MAX; i++)
		text[n++] = (char)tolower((unsigned char)domain.p[i]);
	a->digest(a->ctx, slice_of(text, n), sum);
	for (size_t i = 0; i < digits; i++)
		(void)buf_add_char(
		    out, hex[i % 2 == 0 ? sum[i / 2] >> 4 : sum[i / 2] & 15]);
}

/* Its length; 0: there is none. */
static size_t
first_letter(struct slice s)
{
	if (s.n == 0 || !is_letter(s.p[0]))
		return 0;
	return (unsigned char)s.p[0] < 0x80 ? 1 : utf8_length(s.p, s.n);
}

static void
put_first_letter(struct slice local, struct buf *out)
{
	size_t n;

	local = trim_marks(local);
	n = first_letter(local);
	if (n > 0 && local.n - n >= HIDDEN_MIN)
		(void)buf_add(out, local.p, n);
	(void)buf_add_str(out, "***");
}

/* What was shown before: a letter, or none, and three asterisks. */
static bool
is_starred(struct slice local)
{
	size_t n = local.n > 3 ? first_letter(local) : 0;

	return local.n == n + 3 && memcmp(local.p + n, "***", 3) == 0;
}

static void
put_local(const struct anonymize *a, struct slice local, struct slice domain,
    struct buf *out)
{
	if (a->mode == ANONYMIZE_NONE || local.n == 0 ||
	    is_hashed(local, domain) || is_starred(local))
		(void)buf_add_slice(out, local);
	else if (a->mode == ANONYMIZE_SMART)
		put_first_letter(local, out);
	else
		put_digest(a, local, domain, LOCAL_DIGITS, out);
}

static void
put_domain(const struct anonymize *a, struct slice local, struct slice domain,
    struct buf *out)
{
	if (a->mode != ANONYMIZE_HASH || domain.n == 0 ||
	    is_hashed(local, domain)) {
		(void)buf_add_slice(out, domain);
		return;
	}
	put_digest(a, slice_of("", 0), domain, DOMAIN_DIGITS, out);
	(void)buf_add_str(out, top_domain);
}

static void
put_address(const struct anonymize *a, struct slice local, const char *at,
    struct slice domain, struct buf *out)
{
	put_local(a, local, domain, out);
	(void)buf_add_str(out, at);
	put_domain(a, local, domain, out);
}

void
anonymize_address(
    const struct anonymize *a, struct slice address, struct buf *out)
{
	struct slice local, domain;
	bool is_whole = split(address, &local, &domain);

	put_address(a, local, is_whole ? "@" : "", domain, out);
}

/* ---- addresses in a text ------------------------------------------------ */

static bool
is_like_a_reply_code(struct slice s)
{
	return s.n == 3 && isdigit((unsigned char)s.p[0]) &&
	       isdigit((unsigned char)s.p[1]) && isdigit((unsigned char)s.p[2]);
}

static void
meet(struct scan *s, struct slice address)
{
	struct slice local, domain;

	(void)split(address, &local, &domain);
	local = trim_marks(local);
	if (local.n >= ALONE_MIN && !is_like_a_reply_code(local) &&
	    s->met_count < ALONE_MAX)
		s->met[s->met_count++] = (struct met){local, address};
}

static void
hide(struct scan *s, struct slice address)
{
	meet(s, address);
	anonymize_address(s->a, address, s->out);
}

/* RFC 5322 atext, "." and what is not ASCII. */
static bool
is_atom(char c)
{
	return c != '\0' && (is_letter(c) || strchr(".!#$%&'*+-/=?^_`{|}~", c));
}

static bool
is_in_domain(char c)
{
	return is_letter(c) || c == '.' || c == '-' || c == '_';
}

static size_t
atom_end(struct slice t, size_t i)
{
	while (i < t.n && is_atom(t.p[i]))
		i++;
	return i;
}

/* Behind the quoted string that begins at i; i: there is none. */
static size_t
quoted_end(struct slice t, size_t i)
{
	for (size_t k = i + 1; k < t.n; k++) {
		if (t.p[k] == '\\' && k + 1 < t.n)
			k++;
		else if (t.p[k] == '"')
			return k + 1;
	}
	return i;
}

/* Where the domain ends that begins at i: without the full stop of a sentence;
 * behind "]" of an address. */
static size_t
domain_end(struct slice t, size_t i)
{
	size_t k = i;

	if (i < t.n && t.p[i] == '[') {
		const char *end = memchr(t.p + i, ']', t.n - i);

		return end != NULL ? (size_t)(end - t.p) + 1 : t.n;
	}
	while (k < t.n && is_in_domain(t.p[k]))
		k++;
	while (k > i && t.p[k - 1] == '.')
		k--;
	return k;
}

/* The local part ends at `at`, an "@"; another one may follow its domain. */
static size_t
hide_bare(struct scan *s, size_t begin, size_t at)
{
	struct slice t = s->text;
	size_t end = domain_end(t, at + 1);

	while (end < t.n && t.p[end] == '@')
		end = domain_end(t, end + 1);
	while (begin < at && !is_letter(t.p[begin]))
		(void)buf_add_char(s->out, t.p[begin++]);
	hide(s, part(t, begin, end));
	return end;
}

static bool
is_label(struct slice t, size_t i, const char *label)
{
	size_t n = strlen(label);

	return i >= n && memcmp(t.p + i - n, label, n) == 0;
}

/* In internal form an address may have ">" within it. */
static size_t
labelled_end(struct slice t, size_t i)
{
	for (size_t k = i; k < t.n; k++)
		if (t.p[k] == '>' &&
		    (k + 1 == t.n || strchr(", )", t.p[k + 1]) != NULL))
			return k;
	return t.n;
}

/* Of what begins with "<" at i, where its ">" is; 0: it is no address. */
static size_t
bracket_end(struct slice t, size_t i)
{
	size_t k = i + 1;

	if (is_label(t, i, "to=") || is_label(t, i, "from="))
		return labelled_end(t, k);
	if (k < t.n && t.p[k] == '"')
		k = quoted_end(t, k);
	while (k < t.n && t.p[k] != '>' && t.p[k] != '<' && t.p[k] != ' ')
		k++;
	return k < t.n && t.p[k] == '>' && memchr(t.p + i, '@', k - i) != NULL
		   ? k
		   : 0;
}

/* "john%40example.com" within a word, as addresses stand in URLs. */
static bool
hide_encoded(struct scan *s, struct slice word)
{
	struct slice before, local, domain;
	const char *at = memmem(word.p, word.n, "%40", 3);
	size_t begin;

	if (at == NULL)
		at = memmem(word.p, word.n, "=40", 3);
	if (at == NULL)
		return false;
	before = part(word, 0, (size_t)(at - word.p));
	for (begin = before.n; begin > 0; begin--)
		if (strchr("/?&=", before.p[begin - 1]) != NULL)
			break;
	local = part(before, begin, before.n);
	domain = part(word, before.n + 3, word.n);
	domain.n = domain_end(domain, 0);
	if (local.n == 0 || domain.n == 0)
		return false;
	(void)buf_add_slice(s->out, part(before, 0, begin));
	put_address(s->a, local, *at == '%' ? "%40" : "=40", domain, s->out);
	(void)buf_add(
	    s->out, domain.p + domain.n, word.n - before.n - 3 - domain.n);
	return true;
}

static bool
is_same(struct slice name, struct slice local)
{
	const char *plus = memchr(local.p, '+', local.n);

	if (name.n == local.n && strncasecmp(name.p, local.p, name.n) == 0)
		return true;
	return plus != NULL && name.n >= ALONE_MIN &&
	       name.n == (size_t)(plus - local.p) &&
	       strncasecmp(name.p, local.p, name.n) == 0;
}

/* A word of a server's that is the local part of an address met before. */
static bool
hide_alone(struct scan *s, struct slice word)
{
	struct slice name = trim_marks(word);

	for (size_t i = 0; i < s->met_count; i++) {
		struct slice local, domain;

		if (!is_same(name, s->met[i].local))
			continue;
		(void)split(s->met[i].whole, &local, &domain);
		(void)buf_add(s->out, word.p, (size_t)(name.p - word.p));
		put_local(s->a, local, domain, s->out);
		(void)buf_add(s->out, name.p + name.n,
		    word.n - name.n - (size_t)(name.p - word.p));
		return true;
	}
	return false;
}

/* The server's words stand behind "said: ", or in the brackets of a status. */
static size_t
reply_begin(struct slice t)
{
	const char *said = memmem(t.p, t.n, " said: ", 7);
	const char *status = memmem(t.p, t.n, ", status=", 9);

	if (status != NULL)
		status = memchr(status, '(', (size_t)(t.p + t.n - status));
	if (said == NULL || (status != NULL && status < said))
		said = status;
	return said != NULL ? (size_t)(said - t.p) : t.n;
}

/* Takes what stands at i; where it goes on. */
static size_t
take(struct scan *s, size_t i)
{
	struct slice t = s->text, word;
	size_t end = i;

	if (t.p[i] == '<' && (end = bracket_end(t, i)) > 0) {
		(void)buf_add_char(s->out, '<');
		hide(s, part(t, i + 1, end));
		return end;
	}
	end = t.p[i] == '"' ? quoted_end(t, i) : atom_end(t, i);
	if (end > i && end < t.n && t.p[end] == '@')
		return hide_bare(s, i, end);
	if (t.p[i] == '"' || end <= i) {
		(void)buf_add_char(s->out, t.p[i]);
		return i + 1;
	}
	word = part(t, i, end);
	if (!hide_encoded(s, word) &&
	    !(i >= s->reply_at && hide_alone(s, word)))
		(void)buf_add_slice(s->out, word);
	return end;
}

void
anonymize_text(const struct anonymize *a, struct slice text, struct slice about,
    struct buf *out)
{
	struct scan s = {.a = a, .text = text, .out = out};

	if (a->mode == ANONYMIZE_NONE) {
		(void)buf_add_slice(out, text);
		return;
	}
	s.reply_at = about.n > 0 ? 0 : reply_begin(text);
	if (about.n > 0)
		meet(&s, about);
	for (size_t i = 0; i < text.n;)
		i = take(&s, i);
}
