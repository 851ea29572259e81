"""Logins in one write with the first mail: whatever becomes of them, no mail
bounces, none is lost and none is taken twice.

What each server plays, by means of its own:

              Postfix            Exim             smtp-server      simulator
  wrong       another password from the first connection on: 535
  changed     sasldb             the file read    the file read    script
  disabled    no such user       ACL of AUTH      onAuth           script
  454         sasldb unreadable  ACL of AUTH      onAuth           script
  closed      hard_error_limit   drop in the ACL  close()          script
  dropped     cannot             cannot           parser changed   script
  open        restrictions       ACL of RCPT      authOptional     option
  unverified  another certificate, in another's name, and later the first

Neither Postfix nor Exim throws away what came with AUTH (Postfix does so behind
STARTTLS alone). Of a server that does, and takes what comes a moment later, the
log may say that a message may be sent more than once; nowhere else is one.

Some of these are played always; all, with 500 messages each, where
POSTLANE_LONG is set. -rP shows what became of them.
"""
import os
import re

import pytest

from harness import loginservers as play
from harness import messages
from harness.loginservers import Exims, Nodes, Postfixed, Simulated
from harness.simulator import Simulator
from harness.wait import wait_until
from test_figures import lane_of

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 500 if LONG else 40
IN_ALL = 500 if LONG else 60     # so that logins lead before and after
PER_SESSION = 4


def counters(origin):
    return lane_of(origin)["counters"]


def start(origin, started, upstream, **main):
    """A lane whose sessions are short, so that there are many logins."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "2", "lane_pipeline_depth": "4",
        "lane_messages_per_connection": str(PER_SESSION),
        "lane_connection_idle_limit": "1s", "lane_alert_retry": "1s"})
    origin.relay_to(upstream, transport="fast")
    origin.set(smtp_sasl_mechanism_filter="plain", **main)
    started(origin)


def send(origin, prefix, count=COUNT):
    sent = messages.generate(count, recipients=2, prefix=prefix)
    origin.inject(sent)
    return sent


def rest(origin):
    """No session is left that may yet log in; the counters as they stay."""
    wait_until(lambda: not lane_of(origin)["sessions"], 60,
               "idle sessions are over")
    return counters(origin)


def deliver(origin, prefix, count=COUNT):
    sent = send(origin, prefix, count)
    origin.wait_empty(120 + COUNT)
    return sent


def check(origin, sent, upstream):
    """What a server has accepted it files a moment later."""
    wait_until(lambda: not messages.compare(sent, upstream.taken()).lost, 60,
               lambda: str(messages.compare(sent, upstream.taken())))
    verdict = messages.compare(sent, upstream.taken())
    assert verdict.is_clean(), verdict
    assert "bounced" not in origin.log.statuses("/smtp")
    assert origin.mailbox() == []


def check_doubt(origin, sent, taken):
    """As above, but what a server was given that answers out of place may have
    been taken, and goes again; the log says so of each."""
    verdict = messages.compare(sent, taken)
    assert not verdict.lost and not verdict.mixed_up, verdict
    told = "".join(origin.log.lines("may be sent more than once"))
    assert all(f"<{rcpt}>" in told for _, rcpt in verdict.duplicates), verdict
    assert "bounced" not in origin.log.statuses("/smtp")


# What is said meanwhile; None: nothing, the certificate is another.
CASES = {
    "wrong": play.WRONG, "changed": play.WRONG, "disabled": play.DISABLED,
    "454": play.LATER, "closed": play.CLOSING, "dropped": play.DROPPING,
    "open": play.WRONG, "unverified": None,
}
ALWAYS = {
    Simulated: ("unverified",),
    Postfixed: ("changed", "closed"),
    Exims: ("454",),
    Nodes: ("changed",),
}
CELLS = [pytest.param(kind, case, id=f"{kind.__name__}-{case}")
         for kind in ALWAYS for case, what in CASES.items()
         if what in (None, *kind.plays) and (LONG or case in ALWAYS[kind])]


def begin(origin, started, upstream):
    start(origin, started, upstream, smtp_helo_timeout="5s",
          smtp_mail_timeout="5s", smtp_rcpt_timeout="5s",
          smtp_data_done_timeout="5s")


def meet_refusals(origin, upstream, what, count):
    """Mail comes while each login is refused, and what was in front of mail is
    told as well as what went alone."""
    led = counters(origin)["auths_led"]
    code = "454" if what == play.LATER else "535"
    upstream.say(what)
    sent = send(origin, "meanwhile", count)
    if led:
        origin.log.wait(f"refused the login in front of mail: {code}")
    origin.log.wait(f"SASL authentication failed; server .* said: {code}")
    if what != play.LATER:      # which is no lasting matter
        origin.log.wait(r"alarm: login")
    assert counters(origin)["auths_led"] == led
    upstream.say(play.RIGHT)
    origin.flush()
    origin.wait_empty(120 + COUNT)
    return sent


def meet_silence(origin, upstream, count):
    upstream.say(play.DROPPING)
    sent = deliver(origin, "meanwhile", count)
    assert origin.log.lines("timed out while sending|lost synchronization")
    upstream.say(play.RIGHT)
    return sent


def meet_another(origin, upstream, certs, count):
    upstream.show(certs.wrong_name)
    mark = upstream.mark()
    sent = send(origin, "meanwhile", count)
    origin.log.wait("Server certificate not verified")
    heard = wait_until(lambda: upstream.heard(mark), 60, "a session is told")
    assert not re.search(r"\b(AUTH|MAIL)\b", heard), heard
    upstream.show(certs.good)
    origin.flush()
    origin.wait_empty(120 + COUNT)
    return sent


def tell(origin, sent, upstream):
    """A row of what became of all that."""
    verdict = messages.compare(sent, upstream.taken())
    statuses = origin.log.statuses("/smtp")
    print(f"{type(upstream).__name__}: messages {len(sent)}, "
          f"bounced {statuses['bounced']}, lost {len(verdict.lost)}, "
          f"twice {len(verdict.duplicates)}, deferred meanwhile "
          f"{statuses['deferred']}, logins in front of mail "
          f"{counters(origin)['auths_led']}")


@pytest.mark.parametrize("kind,case", CELLS)
def test_login_that_fails_costs_no_mail(
        base, certs, origin, started, kind, case):
    if kind is Nodes and not Nodes.is_there():
        pytest.skip("scripts/foreign has not fetched smtp-server")
    what = CASES[case]
    upstream = started(kind(base, certs, open=case == "open"))
    begin(origin, started, upstream)
    sent, led = [], 0
    if case != "wrong":
        sent += deliver(origin, "before", IN_ALL // 2)
        led = rest(origin)["auths_led"]
        assert led > 0
    if what is None:
        sent += meet_another(origin, upstream, certs, IN_ALL // 4)
    elif what == play.DROPPING:
        sent += meet_silence(origin, upstream, IN_ALL // 4)
    else:
        sent += meet_refusals(origin, upstream, what, IN_ALL // 4)
    sent += deliver(origin, "after", IN_ALL - len(sent))
    if what != play.DROPPING:
        assert rest(origin)["auths_led"] > led
    if what == play.DROPPING:
        check_doubt(origin, sent, upstream.taken())
    else:
        check(origin, sent, upstream)
    tell(origin, sent, upstream)


SCRIPTS = {
    "454": 'auth if conn-nr %4 reply "454 4.7.0 later"',
    "535": 'auth if conn-nr %4 reply "535 5.7.8 disabled"',
    "535-close": 'auth if conn-nr %4 reply "535 5.7.8 disabled" close',
    "421": 'auth if conn-nr %4 reply "421 4.3.2 going down" close',
    "334": 'auth if conn-nr %4 reply "334 "',
    "530": 'auth if conn-nr %4 reply "530 5.7.0 not now"',
    "close": "auth if conn-nr %4 close",
    "reset": "auth if conn-nr %4 reset",
    "missing": "auth if conn-nr %4 missing",
    "extra": "auth if conn-nr %4 extra",
    "drop": "auth if conn-nr >=4 drop-input",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_login_that_fails_now_and_then_costs_no_mail(
        base, certs, origin, started, script):
    """Also where the server is one that takes mail without a login."""
    sim = started(Simulator(base, certs, script=SCRIPTS[script] + "\n",
                            store=True, transcript=True,
                            demands=script != "535"))
    start(origin, started, sim, smtp_helo_timeout="5s",
          smtp_mail_timeout="5s", smtp_rcpt_timeout="5s",
          smtp_data_done_timeout="5s")
    sent = deliver(origin, "m")
    # what is dropped may be a part of what was written at once
    if script in ("missing", "extra", "drop"):
        check_doubt(origin, sent, sim.taken())
    else:
        check(origin, sent, sim)


def test_what_a_server_does_not_take_outlives_the_process(
        base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True,
                            script="auth if conn-nr 3 close\n"))
    start(origin, started, sim)
    sent = deliver(origin, "m", 20)
    origin.log.wait("does not take a (command behind a login|login in front "
                    "of mail): logging in before mail is sent, for a week")
    led = rest(origin)["auths_led"]     # perhaps some, before
    origin.reload()
    sent += deliver(origin, "n", 20)
    assert rest(origin)["auths_led"] == led
    check(origin, sent, sim)
