#include "common/smtp/dsn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/utf8.h"

static size_t
count_digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

size_t
dsn_status_length(const char *p, size_t n)
{
	size_t at = 2, digits;

	if (n < 5 || (p[0] != '2' && p[0] != '4' && p[0] != '5') || p[1] != '.')
		return 0;
	digits = count_digits(p + at, n - at);
	at += digits;
	if (digits < 1 || digits > 3 || at == n || p[at] != '.')
		return 0;
	at++;
	digits = count_digits(p + at, n - at);
	at += digits;
	if (digits < 1 || digits > 3)
		return 0;
	if (at < n && p[at] != ' ' && p[at] != '\t')
		return 0;
	return at;
}

bool
dsn_status_is_valid(const char *status)
{
	size_t n = strlen(status);

	return n > 0 && dsn_status_length(status, n) == n;
}

/* Length of text[0..n) without an UTF-8 sequence that n cuts in two. */
static size_t
whole_characters(const char *text, size_t n)
{
	size_t start = n;

	/* Back over at most three continuation octets to the first one. */
	while (start > 0 && n - start < 4) {
		unsigned char c = (unsigned char)text[--start];

		if (c >= 0xc0)
			return utf8_length(text + start, n - start) > 0 ? n
									: start;
		if (c < 0x80)
			break;
	}
	return n;
}

void
dsn_set(struct dsn *dsn, const char *status, const char *format, ...)
{
	/* An argument may point into *dsn itself. */
	char text[DSN_TEXT_MAX + 1];
	char safe_status[DSN_STATUS_SIZE] = "4.3.0";
	va_list ap;
	size_t n;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (len < 0)
		text[0] = '\0';
	n = strlen(text);
	if (len > 0 && (size_t)len > n)
		n = whole_characters(text, n);
	text[n] = '\0';
	log_safe(text, n);
	if (dsn_status_is_valid(status))
		(void)snprintf(safe_status, sizeof safe_status, "%s", status);
	*dsn = (struct dsn){.smtp_code = 0, .maybe_accepted = false};
	memcpy(dsn->status, safe_status, sizeof safe_status);
	memcpy(dsn->text, text, n + 1);
}

char
dsn_class(const struct dsn *dsn)
{
	return dsn->status[0];
}

void
dsn_set_class(struct dsn *dsn, char digit)
{
	CHECK(digit == '2' || digit == '4' || digit == '5');
	dsn->status[0] = digit;
}
