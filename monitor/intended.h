/* intended: what a setting that is refused was most likely meant to be.
 *
 *   "20 connections" -> 20     "5 per second" -> 5/1s     "5 minutes" -> 5m
 *   "true" -> yes              "hgh" -> high
 *   smtp_tls_security_level = dane-only -> secure
 *   lane_conection_limit -> lane_connection_limit
 *
 * Pure. For advice to a person: never looser than what was written, and nothing
 * where there are two ways to read it. A level of TLS that is not one of ours
 * becomes "secure", unless it is one of the others that encrypt, misspelt.
 */
#ifndef INTENDED_H
#define INTENDED_H

#include "agent/settings/params.h"

/* A value that the parameter takes, the caller's; NULL: nobody can tell. */
char *intended_value(const struct param *param, const char *text);

/* The one parameter that the name is like; NULL: none, or several. */
const struct param *intended_param(const char *name);

#endif
