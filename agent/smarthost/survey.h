/* survey: one dial to a nexthop, and all there is to tell of it, as JSON.
 *
 *   addresses of the nexthop -> dial, noted step by step -> QUIT
 *
 * The dial is the lane's own (dialer.h), with its policies, logins and
 * verdicts; no MAIL is sent, and no slot of the account is asked for: it is a
 * connection more than the lanes have. Runs the loop, which has nothing else to
 * do meanwhile, for limit_ms at most.
 *
 *   {"nexthop": "[mx.example]:587",
 *    "addresses": [{"host", "address", "port", "preference"}],
 *    "no_address": "",               why there is none of the last nexthop
 *    "resolve_us": 812,
 *    "tried": [{"host", "address", "port", "failed": "connect to ..."}],
 *    "steps": [{"what": "connect", "us": 20311, "round_trips": 1, "said": ""}],
 *    "ehlo_before": ["mx.example", "STARTTLS"], "ehlo_after": [...],
 *    "tls": null or tlsreport.h,
 *    "dane": null or {"level": "dane", "comes_to": "dane", "why": "",
 *             "host": "mx.example", "records": ["3 1 1 0A1B..."],
 *             "matched": "3 1 1 0A1B..."},
 *    "offers": {"pipelining", "chunking", "starttls", "auth": [...],
 *               "size", "mailmax", "rcptmax", "rcptdomainmax",
 *               "mt_priority", "mt_profile"},
 *    "login": {"has": true, "mechanism": "PLAIN", "is_in": true, "why": ""},
 *    "rtt_us": 20290, "is_ready": true,
 *    "tcp": {"window": 14480, "segment": 1448},   octets, as it began
 *    "failure": null or {"stage", "status", "text", "code", "is_config"}}
 *
 * Steps are those of the address that was tried last, in their order: connect,
 * greeting, ehlo, starttls, tls, ehlo, auth. A step's time ends with its reply
 * and begins with the end of the one before. Neither login nor password is
 * told: of replies to AUTH that is the code alone, and where a server repeats
 * the password, in whatever form, dots stand for it (dial_hide_secrets()).
 */
#ifndef SURVEY_H
#define SURVEY_H

#include "agent/smarthost/dialer.h"

struct json_t;

/* The caller's. */
struct json_t *survey_run(struct loop *loop, struct dialer *dialer,
    const char *nexthop, int limit_ms);

#endif
