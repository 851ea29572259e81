#include "agent/smarthost/bearer.h"

#include <jansson.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/words.h"

const char *
bearer_choose(struct bearer *b, struct slice offered)
{
	static const char *const names[] = {
	    [BEARER_XOAUTH2] = "XOAUTH2",
	    [BEARER_OAUTHBEARER] = "OAUTHBEARER",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct slice list = offered, word;

		while (words_next(&list, &word)) {
			if (!slice_eq_nocase(word, names[i]))
				continue;
			b->mech = (enum bearer_mech)i;
			return names[i];
		}
	}
	return NULL;
}

/* A name between commas: RFC 5801 4, saslname. */
static void
add_saslname(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == ',')
			(void)buf_add_str(out, "=2C");
		else if (*name == '=')
			(void)buf_add_str(out, "=3D");
		else
			(void)buf_add_char(out, *name);
	}
}

bool
bearer_message(const struct bearer *b, struct buf *out)
{
	CHECK(b->token != NULL && b->user != NULL);
	switch (b->mech) {
	case BEARER_XOAUTH2:
		(void)buf_addf(out, "user=%s", b->user);
		break;
	case BEARER_OAUTHBEARER:
		(void)buf_add_str(out, "n,a=");
		add_saslname(out, b->user);
		(void)buf_addf(
		    out, ",\001host=%s\001port=%u", b->host, (unsigned)b->port);
		break;
	}
	(void)buf_addf(out, "\001auth=Bearer %s\001\001", b->token);
	return buf_ok(out);
}

/* "status=401 scope=https://..." of the JSON; nothing when it is none. */
static void
keep_refusal(struct bearer *b, struct slice challenge)
{
	static const char *const keys[] = {"status", "schemes", "scope"};
	json_t *json = json_loadb(challenge.p, challenge.n, 0, NULL);
	size_t used = 0;

	b->is_refused = true;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value =
		    json_string_value(json_object_get(json, keys[i]));
		int n;

		if (value == NULL || strstr(value, b->token) != NULL)
			continue;
		n = snprintf(b->refusal + used, sizeof(b->refusal) - used,
		    "%s%s=%.90s", used > 0 ? " " : "", keys[i], value);
		if (n > 0)
			used += (size_t)n;
	}
	json_decref(json);
	log_safe(b->refusal, strlen(b->refusal));
}

bool
bearer_answer(struct bearer *b, struct slice challenge, struct buf *out)
{
	if (b->is_refused)
		return false;
	if (challenge.n > 0) {
		keep_refusal(b, challenge);
		return b->mech == BEARER_XOAUTH2 || buf_add_char(out, '\001');
	}
	if (b->is_repeated)
		return false;
	b->is_repeated = true;
	return bearer_message(b, out);
}
