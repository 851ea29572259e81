#include "common/shared/fleet_script.h"

#define TEXT_OF(name, file)                                                    \
	__asm__(".section .rodata\n"                                           \
		".balign 16\n"                                                 \
		".global " name "\n"                                           \
		".type " name ", @object\n" name ":\n"                         \
		".incbin \"" file "\"\n"                                       \
		".byte 0\n"                                                    \
		".size " name ", . - " name "\n"                               \
		".previous\n")

TEXT_OF("fleet_script", "share/fleet/renew.lua");
TEXT_OF("fleet_script_forget", "share/fleet/forget.lua");
