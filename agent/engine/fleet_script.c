#include "agent/engine/fleet_script.h"

__asm__(".section .rodata\n"
	".balign 16\n"
	".global fleet_script\n"
	".type fleet_script, @object\n"
	"fleet_script:\n"
	".incbin \"share/fleet/renew.lua\"\n"
	".byte 0\n"
	".size fleet_script, . - fleet_script\n"
	".previous\n");
