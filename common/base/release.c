#include "common/base/release.h"

#include <stdio.h>
#include <string.h>

/* The file itself, so that there is one place for it. */
__asm__(".pushsection .rodata\n"
	".type release_text, @object\n"
	"release_text:\n"
	".incbin \"VERSION\"\n"
	".byte 0\n"
	".popsection\n");
extern const char release_text[];

const char *
release_version(void)
{
	static char version[32];

	if (version[0] == '\0')
		(void)snprintf(version, sizeof(version), "%.*s",
		    (int)strcspn(release_text, "\r\n"), release_text);
	return version;
}
