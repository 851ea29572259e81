#include "common/smtp/mime.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/mem.h"

#define TSPECIALS "()<>@,;:\\\"/[]?="
#define SPECIALS "()<>@,;:\\\".[]"

/* A soft line break stands before what would make a line longer: 73 octets
 * are in it then, 76 are allowed (RFC 2045 6.7). */
enum { QP_COLUMN_MAX = 72, TYPE_WORDS = 3, TEXT_MAX = 64 << 20 };

enum type { TYPE_OTHER, TYPE_TEXT, TYPE_MESSAGE, TYPE_MULTIPART };
enum subtype { SUBTYPE_OTHER, SUBTYPE_RFC822, SUBTYPE_GLOBAL };

struct boundary {
	struct boundary *outer;
	bool is_digest; /* parts are messages unless they say otherwise */
	size_t n;
	char text[];
};

struct mime {
	struct mime_limits limits;
	bool headers_only, to_7bit;
	const struct mime_ops *ops;
	void *ctx;
	enum mime_class state;
	enum type type;
	enum subtype subtype;
	bool is_8bit; /* the part says 8bit or binary */
	bool is_open; /* the last piece left its line open */
	bool is_too_deep;
	int depth;
	struct boundary *boundaries; /* innermost first */
	struct buf text; /* a header, or a line being encoded */
	struct header_word words[TYPE_WORDS];
};

/* The defaults of a part, before its headers. */
static void
enter(
    struct mime *m, enum mime_class state, enum type type, enum subtype subtype)
{
	m->state = state;
	m->type = type;
	m->subtype = subtype;
	m->is_8bit = false;
}

struct mime *
mime_new(const struct mime_limits *limits, bool headers_only, bool to_7bit,
    const struct mime_ops *ops, void *ctx)
{
	struct mime *m = mem_zalloc(sizeof(*m));

	m->limits = *limits;
	m->headers_only = headers_only && !to_7bit;
	m->to_7bit = to_7bit;
	m->ops = ops;
	m->ctx = ctx;
	m->depth = -1;
	buf_init(&m->text, TEXT_MAX);
	enter(m, MIME_PRIMARY, TYPE_TEXT, SUBTYPE_OTHER);
	return m;
}

static void
pop(struct mime *m)
{
	struct boundary *inner = m->boundaries;

	m->boundaries = inner->outer;
	m->depth--;
	mem_free(inner);
}

void
mime_free(struct mime **m)
{
	struct mime *old = *m;

	*m = NULL;
	if (old == NULL)
		return;
	while (old->boundaries != NULL)
		pop(old);
	buf_fini(&old->text);
	mem_free(old);
}

static void
push(struct mime *m, const char *text, bool is_digest)
{
	size_t n = strnlen(text, m->limits.boundary_length);
	struct boundary *inner = mem_alloc(sizeof(*inner) + n);

	memcpy(inner->text, text, n);
	inner->n = n;
	inner->is_digest = is_digest;
	inner->outer = m->boundaries;
	m->boundaries = inner;
	m->depth++;
}

static bool
is_word(const struct header_word *word, const char *text)
{
	return !word->is_special && !word->is_quoted &&
	       strcasecmp(word->text, text) == 0;
}

static bool
is_special(const struct header_word *word, char c)
{
	return word->is_special && word->text[0] == c;
}

/* All of them: whoever gives several may hide parts behind any. */
static void
read_boundaries(struct mime *m, const char *p, bool is_digest)
{
	int n;

	while (
	    (n = header_words(&p, TSPECIALS, ';', m->words, TYPE_WORDS)) >= 0) {
		if (n < 3 || !is_word(&m->words[0], "boundary") ||
		    !is_special(&m->words[1], '='))
			continue;
		if (m->depth <= m->limits.nesting)
			push(m, m->words[2].text, is_digest);
		else if (m->to_7bit)
			m->is_too_deep = true;
	}
}

static enum subtype
message_subtype(const struct header_word *word)
{
	if (is_word(word, "rfc822"))
		return SUBTYPE_RFC822;
	return is_word(word, "global") ? SUBTYPE_GLOBAL : SUBTYPE_OTHER;
}

static void
read_type(struct mime *m, const char *p)
{
	int n = header_words(&p, TSPECIALS, ';', m->words, TYPE_WORDS);
	bool has_subtype = n >= 3 && is_special(&m->words[1], '/');

	if (n <= 0) {
		m->type = TYPE_OTHER;
	} else if (is_word(&m->words[0], "text")) {
		m->type = TYPE_TEXT;
	} else if (is_word(&m->words[0], "message")) {
		m->type = TYPE_MESSAGE;
		m->subtype =
		    has_subtype ? message_subtype(&m->words[2]) : SUBTYPE_OTHER;
	} else if (is_word(&m->words[0], "multipart")) {
		m->type = TYPE_MULTIPART;
		read_boundaries(
		    m, p, has_subtype && is_word(&m->words[2], "digest"));
	}
}

static void
read_encoding(struct mime *m, const char *p)
{
	struct header_word *word = m->words;

	if (header_words(&p, SPECIALS, '\0', word, 1) <= 0)
		return;
	if (is_word(word, "8bit") || is_word(word, "binary"))
		m->is_8bit = true;
	else if (is_word(word, "7bit") || is_word(word, "base64") ||
		 is_word(word, "quoted-printable"))
		m->is_8bit = false;
}

static void
tell_header(struct mime *m)
{
	const char *text = buf_str(&m->text);
	const char *value = text + strcspn(text, ":");
	enum header_kind kind = header_kind(text);

	value += *value == ':';
	if (!m->headers_only && kind == HEADER_CONTENT_TYPE)
		read_type(m, value);
	if (!m->headers_only && kind == HEADER_CONTENT_ENCODING)
		read_encoding(m, value);
	/* What a converted part is in is said at the end of its headers. */
	if (kind != HEADER_CONTENT_ENCODING || !m->to_7bit || !m->is_8bit)
		m->ops->on_header(m->ctx, m->state, kind, &m->text);
	buf_reset(&m->text);
}

/* Up to its first NUL. */
static void
keep(struct mime *m, struct slice piece)
{
	(void)buf_add(&m->text, piece.p, strnlen(piece.p, piece.n));
}

/* The piece goes on with the header that is kept. */
static bool
continue_header(struct mime *m, struct slice piece)
{
	bool is_next_line = !m->is_open;

	if (buf_len(&m->text) == 0)
		return false;
	if (is_next_line &&
	    (piece.n == 0 || (piece.p[0] != ' ' && piece.p[0] != '\t')))
		return false;
	if (buf_len(&m->text) < m->limits.header_size) {
		if (is_next_line)
			(void)buf_add_char(&m->text, '\n');
		keep(m, piece);
	}
	return true;
}

static bool
begin_header(struct mime *m, struct slice piece)
{
	size_t n = header_name_length(piece), rest = n;

	if (n == 0)
		return false;
	keep(m, slice_of(piece.p, n));
	while (
	    rest < piece.n && (piece.p[rest] == ' ' || piece.p[rest] == '\t'))
		rest++;
	keep(m, slice_of(piece.p + rest, piece.n - rest));
	return true;
}

static void
tell_encoding(struct mime *m)
{
	bool is_leaf =
	    m->type != TYPE_MULTIPART &&
	    (m->type != TYPE_MESSAGE || m->subtype == SUBTYPE_GLOBAL);

	(void)buf_addf(&m->text, "Content-Transfer-Encoding: %s",
	    is_leaf ? "quoted-printable" : "7bit");
	(void)buf_str(&m->text);
	m->ops->on_header(m->ctx, m->state, HEADER_OTHER, &m->text);
	buf_reset(&m->text);
}

/* What follows the empty line behind headers. */
static void
enter_content(struct mime *m)
{
	bool is_message =
	    m->type == TYPE_MESSAGE &&
	    (m->subtype == SUBTYPE_RFC822 ||
		(m->subtype == SUBTYPE_GLOBAL && !(m->to_7bit && m->is_8bit)));

	if (is_message)
		enter(m, MIME_NESTED, TYPE_TEXT, SUBTYPE_OTHER);
	else if (m->type == TYPE_MULTIPART)
		enter(m, MIME_BODY, TYPE_OTHER, SUBTYPE_OTHER);
	else
		m->state = MIME_BODY;
}

static void
end_headers(struct mime *m, bool is_empty_line)
{
	if (m->to_7bit && m->is_8bit)
		tell_encoding(m);
	if (is_empty_line) {
		enter_content(m);
		return;
	}
	if (m->state == MIME_PRIMARY)
		m->ops->on_body(m->ctx, slice_str(""), true);
	m->state = MIME_BODY;
}

static bool
is_boundary(const struct boundary *b, struct slice line)
{
	return line.n >= 2 + b->n && strncmp(line.p + 2, b->text, b->n) == 0;
}

/* The line, if it stands between parts, moves on to the next one. */
static void
look_for_boundary(struct mime *m, struct slice line)
{
	struct boundary *b = m->boundaries;

	if (line.n <= 2 || line.p[0] != '-' || line.p[1] != '-')
		return;
	while (b != NULL && !is_boundary(b, line))
		b = b->outer;
	if (b == NULL)
		return;
	while (m->boundaries != b)
		pop(m);
	if (line.n >= 4 + b->n && memcmp(line.p + 2 + b->n, "--", 2) == 0) {
		pop(m);
		enter(m, MIME_BODY, TYPE_OTHER, SUBTYPE_OTHER);
	} else if (b->is_digest) {
		enter(m, MIME_MULTIPART, TYPE_MESSAGE, SUBTYPE_RFC822);
	} else {
		enter(m, MIME_MULTIPART, TYPE_TEXT, SUBTYPE_OTHER);
	}
}

static void
encode(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";
	char octets[3] = {'=', hex[c >> 4], hex[c & 0xf]};

	(void)buf_add(out, octets, sizeof(octets));
}

static void
tell_encoded(struct mime *m)
{
	m->ops->on_body(m->ctx, buf_slice(&m->text), true);
	buf_reset(&m->text);
}

/* A blank at the end of a line would be lost on the way. */
static void
end_encoded_line(struct mime *m)
{
	struct slice line = buf_slice(&m->text);
	char last = line.n > 0 ? line.p[line.n - 1] : '\0';

	if (last == ' ' || last == '\t') {
		m->text.len--;
		encode(&m->text, (unsigned char)last);
	}
	tell_encoded(m);
}

static void
put_encoded(struct mime *m, struct slice piece, bool ends_line)
{
	for (size_t i = 0; i < piece.n; i++) {
		unsigned char c = (unsigned char)piece.p[i];

		if (buf_len(&m->text) > QP_COLUMN_MAX) {
			(void)buf_add_char(&m->text, '=');
			tell_encoded(m);
		}
		if ((c < 32 && c != '\t') || c == '=' || c > 126)
			encode(&m->text, c);
		else
			(void)buf_add_char(&m->text, (char)c);
	}
	if (ends_line)
		end_encoded_line(m);
}

static void
put_body(struct mime *m, struct slice piece, bool ends_line)
{
	if (!m->is_open)
		look_for_boundary(m, piece);
	if (m->to_7bit && m->is_8bit)
		put_encoded(m, piece, ends_line);
	else
		m->ops->on_body(m->ctx, piece, ends_line);
}

bool
mime_put(struct mime *m, struct slice piece, bool ends_line)
{
	CHECK(!m->is_too_deep);
	if (m->state != MIME_BODY) {
		bool is_taken = continue_header(m, piece);

		if (!is_taken && buf_len(&m->text) > 0) {
			tell_header(m);
			m->is_open = false;
		}
		if (!is_taken && !begin_header(m, piece)) {
			end_headers(m, piece.n == 0);
			put_body(m, piece, ends_line);
		}
	} else {
		put_body(m, piece, ends_line);
	}
	m->is_open = !ends_line;
	return !m->is_too_deep;
}

bool
mime_end(struct mime *m)
{
	if (m->is_open && !mime_put(m, slice_str(""), true))
		return false;
	if (m->state != MIME_BODY) {
		if (buf_len(&m->text) > 0)
			tell_header(m);
		if (m->to_7bit && m->is_8bit && !m->is_too_deep)
			tell_encoding(m);
		m->state = MIME_BODY;
	}
	return !m->is_too_deep;
}
