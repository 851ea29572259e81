#include "common/smtp/xforward.h"

#include <string.h>
#include <strings.h>

#include "common/smtp/command.h"
#include "common/smtp/xtext.h"

static const struct {
	const char *name;
	bool may_be_unknown; /* and is then called so */
} attributes[XFORWARD_ATTRIBUTES] = {
    [XFORWARD_NAME] = {"NAME", true},
    [XFORWARD_ADDR] = {"ADDR", true},
    [XFORWARD_PORT] = {"PORT", true},
    [XFORWARD_PROTO] = {"PROTO", true},
    [XFORWARD_HELO] = {"HELO", false},
    [XFORWARD_IDENT] = {"IDENT", false},
    [XFORWARD_SOURCE] = {"SOURCE", false},
};

unsigned
xforward_bit(struct slice word)
{
	for (unsigned i = 0; i < XFORWARD_ATTRIBUTES; i++)
		if (slice_eq_nocase(word, attributes[i].name))
			return 1U << i;
	return 0;
}

unsigned
xforward_known(const char *const values[XFORWARD_ATTRIBUTES])
{
	unsigned mask = 0;

	for (unsigned i = 0; i < XFORWARD_ATTRIBUTES; i++) {
		const char *value = values[i];

		if (value != NULL && value[0] != '\0' &&
		    !(attributes[i].may_be_unknown &&
			strcasecmp(value, "unknown") == 0))
			mask |= 1U << i;
	}
	return mask;
}

static const char *
value_of(const char *const values[XFORWARD_ATTRIBUTES], unsigned i)
{
	if (i != XFORWARD_SOURCE)
		return values[i];
	return strcmp(values[i], "local") == 0 ? "LOCAL" : "REMOTE";
}

bool
xforward_command(struct buf *out, const char *const values[XFORWARD_ATTRIBUTES],
    unsigned mask)
{
	struct buf line;
	bool ok;

	buf_init(&line, COMMAND_LINE_MAX);
	ok = buf_add_str(&line, "XFORWARD");
	for (unsigned i = 0; i < XFORWARD_ATTRIBUTES; i++)
		if ((mask & 1U << i) != 0)
			ok = ok &&
			     buf_addf(&line, " %s=", attributes[i].name) &&
			     xtext_encode_value(
				 &line, slice_str(value_of(values, i)));
	ok = ok && buf_add_str(&line, "\r\n") &&
	     buf_add_slice(out, buf_slice(&line));
	buf_fini(&line);
	return ok;
}
