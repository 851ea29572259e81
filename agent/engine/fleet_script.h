/* fleet_script: share/fleet/renew.lua, as part of the program; the constant
 * text that Redis is given. What it is asked, and answers, is fleet.h's. */
#ifndef FLEET_SCRIPT_H
#define FLEET_SCRIPT_H

extern const char fleet_script[];

#endif
