#include "common/base/utf8.h"

size_t
utf8_length(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

bool
utf8_is_valid(struct slice text)
{
	for (size_t i = 0; i < text.n;) {
		size_t len = 1;

		if ((unsigned char)text.p[i] >= 0x80)
			len = utf8_length(text.p + i, text.n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}
