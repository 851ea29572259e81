#include "common/smtp/mailbox.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

/* Operators are tokens of their own character. */
enum {
	EDGE = 0, /* before the first and behind the last */
	ATOM = 256,
	QUOTED,
	COMMENT, /* with its parentheses, as it was */
	LITERAL, /* [...] */
	ADDRESS, /* what stands below inside */
	GROUP, /* the colon behind the name of a group */
};

enum { NON_ADDRESS_MAX = 250, TEXT_MAX = 16 << 20, TOKENS_OF_BLOCK = 64 };

static const char operators[] = "|%!()<>@,;:\\\".[]";

struct token {
	int type;
	bool is_inside; /* of an address: no blank is set behind it */
	struct token *prev, *next;
	struct token *inside; /* of ADDRESS: its first one */
	const char *text;
};

struct block {
	struct block *next;
	size_t used;
	struct token tokens[TOKENS_OF_BLOCK];
};

/* Text lives in chunks, too, as tokens point to it. */
struct chunk {
	struct chunk *next;
	char text[];
};

struct mailbox_list {
	struct block *blocks;
	struct chunk *chunks;
	struct token *first;
	struct buf scratch;
};

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_control(int c)
{
	return (c >= 0 && c < 32) || c == 127;
}

static bool
is_operator(int c)
{
	return c != '\0' && strchr(operators, c) != NULL;
}

/* Where the local part begins, behind a route ("@a,@b:user@c"). */
static const char *
local_part(const char *address)
{
	const char *colon = address[0] == '@' ? strchr(address, ':') : NULL;

	return colon != NULL ? colon + 1 : address;
}

static bool
needs_quotes(const char *p, size_t n)
{
	if (n == 0 || p[0] == '.' || p[n - 1] == '.')
		return true;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '.' && i + 1 < n && p[i + 1] == '.')
			return true;
		if (p[i] == ' ' || is_control((unsigned char)p[i]) ||
		    strchr("()<>@,;:\\\"[]", p[i]) != NULL)
			return true;
	}
	return false;
}

static void
add_quoted(struct buf *out, const char *p, size_t n, const char *specials)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr(specials, p[i]) != NULL)
			(void)buf_add_char(out, '\\');
		(void)buf_add_char(out, p[i]);
	}
}

static void
quote(struct buf *out, const char *address, bool has_domain)
{
	const char *start = local_part(address);
	const char *end = has_domain ? strrchr(start, '@') : NULL;

	if (end == NULL)
		end = start + strlen(start);
	if (!needs_quotes(start, (size_t)(end - start))) {
		(void)buf_add_str(out, address);
		return;
	}
	(void)buf_add(out, address, (size_t)(start - address));
	(void)buf_add_char(out, '"');
	add_quoted(out, start, (size_t)(end - start), "\"\\\r");
	(void)buf_add_char(out, '"');
	(void)buf_add_str(out, end);
}

void
mailbox_quote(struct buf *out, const char *internal)
{
	quote(out, internal, true);
}

void
mailbox_quote_local(struct buf *out, const char *local)
{
	quote(out, local, false);
}

void
mailbox_unquote(struct buf *out, const char *external)
{
	const char *p = local_part(external), *domain = NULL;
	bool in_quotes = false;

	for (const char *q = p; *q != '\0'; q++) {
		if (*q == '"')
			in_quotes = !in_quotes;
		else if (*q == '@' && !in_quotes)
			domain = q;
		else if (*q == '\\' && q[1] != '\0')
			q++;
	}
	(void)buf_add(out, external, (size_t)(p - external));
	for (; *p != '\0' && p != domain; p++) {
		if (*p == '"' || (*p == '\\' && p[1] == '\0'))
			continue;
		if (*p == '\\')
			p++;
		(void)buf_add_char(out, *p);
	}
	if (domain != NULL)
		(void)buf_add_str(out, domain);
}

/* Tokens */

static struct token *
token_new(struct mailbox_list *list, int type)
{
	struct token *t;

	if (list->blocks == NULL || list->blocks->used == TOKENS_OF_BLOCK) {
		struct block *block = mem_zalloc(sizeof(*block));

		block->next = list->blocks;
		list->blocks = block;
	}
	t = &list->blocks->tokens[list->blocks->used++];
	t->type = type;
	t->text = "";
	return t;
}

/* What was gathered in scratch. */
static void
set_text(struct mailbox_list *list, struct token *t)
{
	struct slice s = buf_slice(&list->scratch);
	struct chunk *chunk = mem_alloc(sizeof(*chunk) + s.n + 1);

	memcpy(chunk->text, s.p, s.n);
	chunk->text[s.n] = '\0';
	chunk->next = list->chunks;
	list->chunks = chunk;
	t->text = chunk->text;
	buf_reset(&list->scratch);
}

static void
link_tokens(struct token *a, struct token *b)
{
	a->next = b;
	b->prev = a;
}

static void
insert_behind(struct token *t, struct token *added)
{
	if (t->next != NULL)
		link_tokens(added, t->next);
	link_tokens(t, added);
}

/* Up to `end`, or a character no atom has when that is 0; a backslash takes
 * what follows as it is. */
static const char *
gather(struct mailbox_list *list, const char *p, char end)
{
	for (; *p != '\0'; p++) {
		char c = *p;

		if (c == '\\') {
			c = *++p;
			if (c == '\0')
				break;
		} else if (end != '\0' ? c == end
				       : is_space(c) || is_operator(c)) {
			break;
		}
		(void)buf_add_char(&list->scratch, is_space(c) ? ' ' : c);
	}
	return end != '\0' && *p != '\0' ? p + 1 : p;
}

static const char *
gather_comment(struct mailbox_list *list, const char *p)
{
	const char *start = p;
	int level = 1;

	for (; *p != '\0' && level > 0; p++) {
		if (*p == '(')
			level++;
		else if (*p == ')')
			level--;
		else if (*p == '\\' && *++p == '\0')
			break;
	}
	(void)buf_add_char(&list->scratch, '(');
	(void)buf_add(&list->scratch, start, (size_t)(p - start));
	return p;
}

static int
atom_type(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == ' ' || is_control((unsigned char)*text) ||
		    is_operator(*text))
			return QUOTED;
	return ATOM;
}

/* The token at p, which is no blank. */
static struct token *
scan_token(struct mailbox_list *list, const char **p)
{
	struct token *t;
	char c = **p;

	if (is_operator(c) && strchr("([\"\\", c) == NULL) {
		t = token_new(list, c);
		(*p)++;
		return t;
	}
	t = token_new(list, ATOM);
	if (c == '(')
		*p = gather_comment(list, *p + 1);
	else if (c == '[' || c == '"')
		*p = gather(list, *p + 1, c == '[' ? ']' : '"');
	else
		*p = gather(list, *p, '\0');
	set_text(list, t);
	t->type = c == '('   ? COMMENT
		  : c == '[' ? LITERAL
		  : c == '"' ? QUOTED
			     : atom_type(t->text);
	return t;
}

/* The tokens of text in a row; NULL: none. */
static struct token *
scan(struct mailbox_list *list, const char *text)
{
	struct token *first = NULL, *last = NULL;

	while (*text != '\0') {
		struct token *t;

		if (is_space(*text)) {
			text++;
			continue;
		}
		t = scan_token(list, &text);
		if (last != NULL)
			link_tokens(last, t);
		else
			first = t;
		last = t;
	}
	return first;
}

/* What stands between left and right becomes one address; a missing comma is
 * set before it if need be. */
static void
make_address(struct mailbox_list *list, struct token *left, struct token *right,
    bool needs_comma)
{
	struct token *address, *first = left->next;

	if (left == right || first == right)
		return;
	right->prev->next = NULL;
	first->prev = NULL;
	address = token_new(list, ADDRESS);
	address->inside = first;
	for (struct token *t = first; t != NULL; t = t->next)
		t->is_inside = true;
	link_tokens(left, address);
	link_tokens(address, right);
	if (needs_comma)
		insert_behind(left, token_new(list, ','));
}

/* Takes t out and puts it before *right, which it becomes. Returns what stood
 * before it. */
static struct token *
put_aside(struct token *t, struct token **right)
{
	struct token *prev = t->prev;

	link_tokens(t->prev, t->next);
	link_tokens((*right)->prev, t);
	link_tokens(t, *right);
	*right = t;
	return prev;
}

/* From a ">" back to what may stand before its phrase. */
static struct token *
parse_route(struct mailbox_list *list, struct token *t, struct token **right)
{
	make_address(list, t, *right, true);
	*right = t;
	while (t->type != EDGE && t->type != '<')
		t = t->type == COMMENT ? put_aside(t, right) : t->prev;
	make_address(list, t, *right, false);
	while (t->type != EDGE &&
	       (t->type > 0xff || strchr(">;,:", t->type) == NULL))
		t = t->prev;
	*right = t;
	return t;
}

static struct token *
parse_group(struct mailbox_list *list, struct token *t, struct token **right)
{
	t->type = GROUP;
	make_address(list, t, *right, false);
	while (t->type != EDGE && t->type != ',')
		t = t->prev;
	*right = t;
	return t;
}

/* From right to left: only behind an address is known what it was. The address
 * that is looked for lies between t and right. */
static void
parse(struct mailbox_list *list, struct token *first, struct token *end)
{
	struct token *t = end->prev, *right = end;
	bool may_be_word = true, in_group = false;

	while (t->type != EDGE) {
		if (t->type == COMMENT) {
			t = put_aside(t, &right);
			continue;
		}
		if (t->type == ':' && in_group) {
			t = parse_group(list, t, &right);
			continue;
		}
		if (t->type == '>') {
			t = parse_route(list, t, &right);
			may_be_word = true;
			continue;
		}
		if (t->type == ';' || t->type == ',') {
			make_address(list, t, right, t->type == ';');
			right = t;
			in_group = in_group || t->type == ';';
			may_be_word = true;
		} else if (t->type == ATOM || t->type == QUOTED ||
			   t->type == LITERAL) {
			if (!may_be_word) {
				make_address(list, t, right, true);
				right = t->next;
			}
			may_be_word = false;
		} else {
			may_be_word = true;
		}
		t = t->prev;
	}
	make_address(list, first, right, false);
}

static struct mailbox_list *
list_new(void)
{
	struct mailbox_list *list = mem_zalloc(sizeof(*list));

	buf_init(&list->scratch, TEXT_MAX);
	return list;
}

struct mailbox_list *
mailbox_list_parse(const char *text)
{
	struct mailbox_list *list = list_new();
	struct token *start = token_new(list, EDGE);
	struct token *end = token_new(list, EDGE);
	struct token *first = scan(list, text), *last = first;

	if (first == NULL)
		return list;
	while (last->next != NULL)
		last = last->next;
	link_tokens(start, first);
	link_tokens(last, end);
	parse(list, start, end);
	end->prev->next = NULL;
	list->first = start->next;
	list->first->prev = NULL;
	return list;
}

void
mailbox_list_free(struct mailbox_list **list)
{
	struct mailbox_list *old = *list;

	*list = NULL;
	if (old == NULL)
		return;
	while (old->blocks != NULL) {
		struct block *block = old->blocks;

		old->blocks = block->next;
		mem_free(block);
	}
	while (old->chunks != NULL) {
		struct chunk *chunk = old->chunks;

		old->chunks = chunk->next;
		mem_free(chunk);
	}
	buf_fini(&old->scratch);
	mem_free(old);
}

/* Writing */

static bool
is_text(const struct token *t)
{
	return t->type == ATOM || t->type == QUOTED || t->type == COMMENT ||
	       t->type == LITERAL || t->type == ADDRESS;
}

static bool
wants_blank(const struct token *t)
{
	if (t->next == NULL || t->is_inside)
		return false;
	if (t->type == ',' || t->type == GROUP || t->next->type == '<')
		return true;
	return is_text(t) && is_text(t->next);
}

/* Without quotes. */
static void
write_internal(const struct token *t, struct buf *out)
{
	for (; t != NULL; t = t->next) {
		if (t->type == LITERAL)
			(void)buf_addf(out, "[%s]", t->text);
		else if (t->type == GROUP)
			(void)buf_add_char(out, ':');
		else if (t->type == ADDRESS)
			write_internal(t->inside, out);
		else if (t->type < ATOM)
			(void)buf_add_char(out, (char)t->type);
		else
			(void)buf_add_str(out, t->text);
		if (wants_blank(t))
			(void)buf_add_char(out, ' ');
	}
}

static void
write_address(const struct token *address, struct buf *out)
{
	struct buf internal;

	buf_init(&internal, TEXT_MAX);
	write_internal(address->inside, &internal);
	mailbox_quote(out, buf_str(&internal));
	buf_fini(&internal);
}

static void
write_token(const struct token *t, struct buf *out)
{
	switch (t->type) {
	case ADDRESS:
		write_address(t, out);
		break;
	case QUOTED:
		(void)buf_add_char(out, '"');
		add_quoted(out, t->text, strlen(t->text), "\"\\\r\n");
		(void)buf_add_char(out, '"');
		break;
	case LITERAL:
		(void)buf_add_char(out, '[');
		add_quoted(out, t->text, strlen(t->text), "\\\r\n");
		(void)buf_add_char(out, ']');
		break;
	case GROUP:
		(void)buf_add_char(out, ':');
		break;
	case ATOM:
	case COMMENT:
		(void)buf_add_str(out, t->text);
		break;
	default:
		(void)buf_add_char(out, (char)t->type);
	}
	if (wants_blank(t))
		(void)buf_add_char(out, ' ');
}

/* One address with what stands around it, up to a comma. */
struct stretch {
	size_t start; /* octets of out before it */
	const struct token *address;
	size_t address_octets;
};

/* Some programs keep names in a buffer of fixed size. */
static void
keep_short(const struct stretch *s, struct buf *out)
{
	size_t most = s->start + s->address_octets + NON_ADDRESS_MAX;

	if (s->address == NULL || buf_len(out) <= most)
		return;
	log_warn("stripping too many comments from address: %.100s...",
	    buf_str(out) + s->start);
	out->len = out->off + s->start;
	(void)buf_add_char(out, '<');
	if (s->address->inside != NULL)
		write_address(s->address, out);
	(void)buf_add_char(out, '>');
}

static void
write_list(const struct token *t, struct buf *out, bool is_header)
{
	struct stretch s = {buf_len(out), NULL, 0};

	for (; t != NULL; t = t->next) {
		size_t before = buf_len(out);

		if (t->type == ',') {
			if (is_header)
				keep_short(&s, out);
			(void)buf_add_str(out, is_header ? ",\n" : ", ");
			s = (struct stretch){buf_len(out), NULL, 0};
			continue;
		}
		if (t->type == '<' && t->next != NULL && t->next->type == '>') {
			s.address = t;
			s.address_octets = 0;
		}
		write_token(t, out);
		if (t->type == ADDRESS) {
			s.address = t;
			s.address_octets =
			    buf_len(out) - before - (wants_blank(t) ? 1 : 0);
		}
	}
	if (is_header)
		keep_short(&s, out);
}

void
mailbox_list_write(const struct mailbox_list *list, struct buf *out)
{
	write_list(list->first, out, true);
}

bool
mailbox_list_first(const struct mailbox_list *list, struct buf *out)
{
	const struct token *t = list->first;

	while (t != NULL && t->type != ADDRESS)
		t = t->next;
	if (t == NULL)
		return false;
	write_list(t->inside, out, false);
	return true;
}

bool
mailbox_list_map(struct mailbox_list *list, mailbox_fn *fn, void *ctx)
{
	struct buf old, new, external;
	bool is_changed = false;

	buf_init(&old, TEXT_MAX);
	buf_init(&new, TEXT_MAX);
	buf_init(&external, TEXT_MAX);
	for (struct token *t = list->first; t != NULL; t = t->next) {
		if (t->type != ADDRESS)
			continue;
		buf_reset(&old);
		buf_reset(&new);
		buf_reset(&external);
		write_internal(t->inside, &old);
		if (fn(ctx, buf_str(&old), &new))
			is_changed = true;
		else
			(void)buf_add_slice(&new, buf_slice(&old));
		/* What was kept is cut anew as well, as smtp(8) does it. */
		mailbox_quote(&external, buf_str(&new));
		t->inside = scan(list, buf_str(&external));
	}
	buf_fini(&old);
	buf_fini(&new);
	buf_fini(&external);
	return is_changed;
}

/* Completing */

static struct token *
find(struct token *t, int type)
{
	while (t != NULL && t->type != type)
		t = t->next;
	return t;
}

static struct token *
last_of(struct token *t)
{
	while (t->next != NULL)
		t = t->next;
	return t;
}

static struct token *
find_last(struct token *t, int type)
{
	for (t = last_of(t); t != NULL && t->type != type; t = t->prev)
		continue;
	return t;
}

static void
append(struct mailbox_list *list, struct token *first, char operator,
    const char * text)
{
	struct token *sign = token_new(list, operator), *rest;

	rest = scan(list, text);
	link_tokens(last_of(first), sign);
	if (rest != NULL)
		link_tokens(sign, rest);
}

/* "domain!user" into "user@domain". */
static struct token *
swap(struct mailbox_list *list, struct token *first, struct token *bang)
{
	struct token *at = token_new(list, '@'), *user = bang->next;

	if (bang->prev != NULL) {
		bang->prev->next = NULL;
		link_tokens(at, first);
	}
	if (user == NULL)
		return at;
	user->prev = NULL;
	link_tokens(last_of(user), at);
	return user;
}

static struct token *
add_domain(struct mailbox_list *list, struct token *first,
    const struct mailbox_manner *manner)
{
	struct token *sign;

	if (manner->swaps_bangpath && (sign = find(first, '!')) != NULL)
		return swap(list, first, sign);
	if (manner->takes_percent && (sign = find_last(first, '%')) != NULL)
		sign->type = '@';
	else if (manner->origin[0] != '\0')
		append(list, first, '@', manner->origin);
	return first;
}

static void
complete_domain(struct mailbox_list *list, struct token *first,
    const struct mailbox_manner *manner)
{
	struct token *at = find_last(first, '@'), *last;

	if (manner->domain[0] != '\0' && at != NULL && at->next != NULL &&
	    find(at, LITERAL) == NULL && find(at, '.') == NULL)
		append(list, first, '.', manner->domain);
	last = last_of(first);
	if (last->type == '.' && last->prev != NULL &&
	    last->prev->type != '.' && last->prev->type != '@')
		last->prev->next = NULL;
}

static struct token *
complete(struct mailbox_list *list, struct token *first,
    const struct mailbox_manner *manner)
{
	struct token *colon;

	if (first->next == NULL && first->type == QUOTED &&
	    first->text[0] == '\0')
		return first;
	if (first->next == NULL && first->type == '@')
		return token_new(list, QUOTED);
	colon = first->type == '@' ? find(first, ':') : NULL;
	if (colon != NULL && colon->next != NULL) {
		first = colon->next;
		first->prev = NULL;
	}
	if (find(first, '@') == NULL)
		first = add_domain(list, first, manner);
	complete_domain(list, first, manner);
	return first;
}

void
mailbox_complete(
    struct buf *out, const char *external, const struct mailbox_manner *manner)
{
	struct mailbox_list *list = list_new();
	struct token *address = token_new(list, ADDRESS);

	address->inside = scan(list, external);
	if (address->inside != NULL) {
		address->inside = complete(list, address->inside, manner);
		write_address(address, out);
	}
	mailbox_list_free(&list);
}
