#include "common/smtp/header.h"

#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	enum header_kind kind;
} known[] = {
    {"Apparently-To", HEADER_ADDRESSES},
    {"Bcc", HEADER_ADDRESSES},
    {"Cc", HEADER_ADDRESSES},
    {"Content-Description", HEADER_MIME},
    {"Content-Disposition", HEADER_MIME},
    {"Content-ID", HEADER_MIME},
    {"Content-Transfer-Encoding", HEADER_CONTENT_ENCODING},
    {"Content-Type", HEADER_CONTENT_TYPE},
    {"Disposition-Notification-To", HEADER_ADDRESSES},
    {"Errors-To", HEADER_ADDRESSES},
    {"From", HEADER_ADDRESSES},
    {"Mail-Followup-To", HEADER_ADDRESSES},
    {"MIME-Version", HEADER_MIME},
    {"Reply-To", HEADER_ADDRESSES},
    {"Resent-Bcc", HEADER_ADDRESSES},
    {"Resent-Cc", HEADER_ADDRESSES},
    {"Resent-From", HEADER_ADDRESSES},
    {"Resent-Reply-To", HEADER_ADDRESSES},
    {"Resent-Sender", HEADER_ADDRESSES},
    {"Resent-To", HEADER_ADDRESSES},
    {"Return-Path", HEADER_ADDRESSES},
    {"Return-Receipt-To", HEADER_ADDRESSES},
    {"Sender", HEADER_ADDRESSES},
    {"To", HEADER_ADDRESSES},
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

static bool
is_control(char c)
{
	return (unsigned char)c < 32 || c == 127;
}

size_t
header_name_length(struct slice line)
{
	size_t n = 0, i;

	while (n < line.n && line.p[n] != ':' && !is_blank(line.p[n]) &&
	       (unsigned char)line.p[n] < 128 && !is_control(line.p[n]))
		n++;
	for (i = n; i < line.n && is_blank(line.p[i]); i++)
		continue;
	return i < line.n && line.p[i] == ':' ? n : 0;
}

enum header_kind
header_kind(const char *text)
{
	size_t n = strcspn(text, ":");

	while (n > 0 && is_space(text[n - 1]))
		n--;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncasecmp(known[i].name, text, n) == 0 &&
		    known[i].name[n] == '\0')
			return known[i].kind;
	return HEADER_OTHER;
}

/* Behind the comment whose "(" was read. */
static const char *
skip_comment(const char *p)
{
	for (int level = 1; *p != '\0' && level > 0; p++) {
		if (*p == '(')
			level++;
		else if (*p == ')')
			level--;
		else if (*p == '\\' && *++p == '\0')
			break;
	}
	return p;
}

/* A word of which nothing is wanted has no place to go. */
static void
put(struct header_word *word, size_t *n, char c)
{
	if (word != NULL && *n + 1 < sizeof(word->text))
		word->text[(*n)++] = c;
}

static void
unfold(const struct header_word *word, size_t *n)
{
	while (word != NULL && *n > 0 && is_space(word->text[*n - 1]))
		(*n)--;
}

static const char *
quoted(const char *p, struct header_word *word, size_t *n)
{
	for (; *p != '\0' && *p != '"'; p++) {
		if (*p == '\n') {
			unfold(word, n);
			continue;
		}
		if (*p == '\\' && *++p == '\0')
			break;
		put(word, n, *p);
	}
	return *p == '"' ? p + 1 : p;
}

static const char *
plain(const char *p, const char *specials, struct header_word *word, size_t *n)
{
	do {
		put(word, n, *p++);
	} while (*p != '\0' && !is_space(*p) && !is_control(*p) &&
		 strchr(specials, *p) == NULL);
	return p;
}

static const char *
read_word(const char *p, const char *specials, struct header_word *word)
{
	bool is_special = strchr(specials, *p) != NULL || is_control(*p);
	size_t n = 0;

	if (word != NULL) {
		word->is_quoted = *p == '"';
		word->is_special = is_special && *p != '"';
	}
	if (*p == '"')
		p = quoted(p + 1, word, &n);
	else if (is_special)
		put(word, &n, *p++);
	else
		p = plain(p, specials, word, &n);
	if (word != NULL)
		word->text[n] = '\0';
	return p;
}

int
header_words(const char **text, const char *specials, char terminator,
    struct header_word *words, int max)
{
	const char *p = *text;
	int n = 0;
	bool is_ended = true;

	while (*p != '\0' && (terminator != '\0' || n < max)) {
		if (is_space(*p)) {
			p++;
		} else if (terminator != '\0' && *p == terminator) {
			p++;
			is_ended = false;
			break;
		} else if (*p == '(') {
			p = skip_comment(p + 1);
		} else {
			p = read_word(p, specials, n < max ? &words[n] : NULL);
			n += n < max;
		}
	}
	*text = p;
	return n == 0 && is_ended ? -1 : n;
}
