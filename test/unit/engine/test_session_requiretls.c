#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/session_rig.h"

/* What becomes of a message that asks for REQUIRETLS, by what is wanted, and
 * what the server has: TLS, a matched certificate, REQUIRETLS. */
static void
policy_decides_what_a_server_must_have(void **state)
{
	static const struct {
		enum requiretls wanted;
		const char *has;
		/* "": sent without, "R": with; otherwise the status */
		const char *becomes, *text;
	} cases[] = {
	    {REQUIRETLS_ENFORCE, "TMR", "R", NULL},
	    {REQUIRETLS_ENFORCE, "TM", "5.7.30",
		"Sender requested REQUIRETLS, but no server was found that "
		"supports REQUIRETLS. The last attempted server was "},
	    {REQUIRETLS_ENFORCE, "TR", "5.7.10",
		"Sender requested REQUIRETLS, but no matching server "
		"certificate was found. The last attempted server was "},
	    {REQUIRETLS_ENFORCE, "R", "5.7.30",
		"Sender requested REQUIRETLS, but TLS service was not offered "
		"by host "},
	    {REQUIRETLS_STARTTLS, "TMR", "R", NULL},
	    {REQUIRETLS_STARTTLS, "TR", "R", NULL},
	    {REQUIRETLS_STARTTLS, "T", "", NULL},
	    {REQUIRETLS_STARTTLS, "R", "5.7.30",
		"Sender requested REQUIRETLS, but TLS service was not offered "
		"by host "},
	    {REQUIRETLS_OPPORTUNISTIC, "TR", "R", NULL},
	    {REQUIRETLS_OPPORTUNISTIC, "T", "", NULL},
	    {REQUIRETLS_OPPORTUNISTIC, "R", "", NULL},
	    {REQUIRETLS_OPPORTUNISTIC, "", "", NULL},
	    {REQUIRETLS_DISABLE, "TMR", "", NULL},
	    {REQUIRETLS_ERROR, "TMR", "4.7.10",
		"REQUIRETLS policy configuration error. The last attempted "
		"server was "},
	};
	static const struct rig_plan plan = {.sendopts = SENDOPT_REQUIRETLS};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig_message *m;
		const struct verdict *v;
		struct slice got;
		struct rig rig;

		rig_init(&rig, SESSION_GROUP);
		rig.set.requiretls_enable = true;
		rig.peer.requiretls = cases[i].wanted;
		rig.peer.is_tls = strchr(cases[i].has, 'T') != NULL;
		rig.peer.is_matched = strchr(cases[i].has, 'M') != NULL;
		rig.ehlo.requiretls = strchr(cases[i].has, 'R') != NULL;
		rig_open(&rig);
		m = rig_add(&rig, &plan);
		rig_assign(&rig, m);
		if (cases[i].text == NULL) {
			bool has;

			got = rig_pull(&rig, 1000);
			has =
			    memmem(got.p, got.n, " REQUIRETLS\r\n", 13) != NULL;
			assert_true(got.n > 0);
			assert_int_equal(has, cases[i].becomes[0] == 'R');
		} else {
			v = m->req->rcpts[0].verdict;
			assert_non_null(v);
			assert_int_equal(v->outcome, cases[i].becomes[0] == '4'
							 ? OUTCOME_DEFER
							 : OUTCOME_BOUNCE);
			assert_string_equal(v->dsn.status, cases[i].becomes);
			assert_int_equal(strncmp(v->dsn.text, cases[i].text,
					     strlen(cases[i].text)),
			    0);
		}
		rig_fini(&rig);
	}
}

static void
nothing_is_required_where_it_is_switched_off(void **state)
{
	static const struct rig_plan plan = {.sendopts = SENDOPT_REQUIRETLS};
	struct rig_message *m;
	struct slice got;
	struct rig rig;

	(void)state;
	rig_init(&rig, SESSION_GROUP);
	rig.set.requiretls_enable = false;
	rig.peer.is_tls = rig.peer.is_matched = true;
	rig.ehlo.requiretls = true;
	rig_open(&rig);
	m = rig_add(&rig, &plan);
	rig_assign(&rig, m);
	got = rig_pull(&rig, 1000);
	assert_true(got.n > 0);
	assert_null(memmem(got.p, got.n, "REQUIRETLS", 10));
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(policy_decides_what_a_server_must_have),
	    cmocka_unit_test(nothing_is_required_where_it_is_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
