/* fleet_script: what the engine of a fleet runs, as part of the program; the
 * constant texts that Redis is given. What they are asked, and answer, is
 * fleet.h's. */
#ifndef FLEET_SCRIPT_H
#define FLEET_SCRIPT_H

extern const char fleet_script[]; /* share/fleet/renew.lua */
extern const char fleet_script_forget[]; /* share/fleet/forget.lua */

#endif
