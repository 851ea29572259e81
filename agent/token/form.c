#include "agent/token/form.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c));
}

static void
add_encoded(struct buf *form, const char *value)
{
	for (; *value != '\0'; value++)
		if (is_plain(*value))
			(void)buf_add_char(form, *value);
		else
			(void)buf_addf(
			    form, "%%%02X", (unsigned)(unsigned char)*value);
}

void
form_add(struct buf *form, const char *name, const char *value)
{
	(void)buf_addf(form, "%s%s=", buf_len(form) > 0 ? "&" : "", name);
	add_encoded(form, value);
}

void
form_credentials(struct buf *out, const char *id, const char *secret)
{
	struct buf text;
	size_t n;
	char *to;

	buf_init(&text, FORM_CREDENTIALS_MAX);
	(void)buf_reserve(&text, 3 * (strlen(id) + strlen(secret)) + 2);
	add_encoded(&text, id);
	(void)buf_add_char(&text, ':');
	add_encoded(&text, secret);
	n = (buf_len(&text) + 2) / 3 * 4;
	to = buf_reserve(out, n + 1);
	if (to != NULL) {
		(void)EVP_EncodeBlock((unsigned char *)to,
		    (const unsigned char *)buf_str(&text), (int)buf_len(&text));
		buf_commit(out, n);
	}
	buf_fini_secret(&text);
}
