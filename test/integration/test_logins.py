"""Who logs in and how, each beside smtp(8) with the same main.cf."""
import os
import re

import pytest

from harness import messages
from harness.exim import Exim
from harness.sidebyside import Pair
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER, PostfixSmarthost
from harness.wait import wait_until
from test_nexthops import check_same
from test_outcomes import DATA, PATIENT, addresses


def table(side, kind, lines):
    """A table of patterns, for root alone; its name for main.cf."""
    path = os.path.join(side.origin.etc, f"logins.{kind}")
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(lines)
    return f"{kind}:{path}"


def run(base, certs, started, setup=None, senders=("from@sender.example",),
        **upstream):
    pair = Pair(base, certs, started, main=PATIENT, setup=setup, **upstream)
    for n, sender in enumerate(senders):
        pair.submit(DATA, addresses(f"r{n}"), sender=sender)
    pair.wait(r"/smtp\[.* status=", len(senders), timeout_s=60)
    return pair, check_same(pair)


@pytest.mark.parametrize("mechs", ["PLAIN", "LOGIN,PLAIN"])
def test_plain_names_no_authorisation_identity(base, certs, started, mechs):
    pair, lines = run(base, certs, started, mechs=mechs, no_authzid=True)
    assert "status=sent" in "".join(lines)
    assert pair.sides[0].upstream.stats()["auth_failures"] == 0


def test_refused_login_returns_the_mail_when_told(base, certs, started):
    """smtp_sasl_auth_soft_bounce = no; and the operator is told as ever."""
    pair, lines = run(
        base, certs, started,
        setup=lambda side: side.origin.set(smtp_sasl_auth_soft_bounce="no"),
        script='auth reply "535 5.7.8 no such login"\n')
    assert "dsn=5.7.8" in "".join(lines)
    assert "status=bounced" in "".join(lines)
    assert pair.sides[0].origin.log.lines(r"alarm: login")


def test_logins_by_pattern_depend_on_the_sender(base, certs, started):
    """Senders are not known at start, and proxymap(8) may not read it."""
    def setup(side):
        user, password = side.upstream.login
        password = password.replace("$", "$$")
        side.origin.set(
            smtp_sender_dependent_authentication="yes",
            smtp_sasl_password_maps=table(
                side, "regexp",
                f"/^(.*)\\+{user}@/ {user}:{password}\n"
                f"!/@|127/ never:matched\n"
                f"if /@other\\.example$/\n/./ {user}:{password}\nendif\n"
                f"/^@/ part:of-an-address\n"
                f"/^127\\.0\\.0\\.1$/ nobody:wrong\n"))
    user = "me"
    pair, lines = run(base, certs, started, setup=setup,
                      login=(user, "secret$1"),
                      senders=(f"a+{user}@sender.example",
                               "Joe@other.example", "b@sender.example"))
    text = "".join(lines)
    assert text.count("status=sent") == 2
    assert text.count("status=deferred") == 1


def test_key_that_does_not_match_is_named(base, certs, started, origin, agent):
    """The likeliest mistake, a wrong port: at start and in mailq."""
    sim = started(Simulator(base, certs))
    origin.agent(agent, "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    hop = f"[127.0.0.1]:{sim.port}"
    origin.set(**PATIENT, smtp_sasl_password_maps=origin.map(
        "relay_auth", {"[127.0.0.1]:587": "joe:secret"}, mode=0o600))
    started(origin)
    origin.inject(messages.generate(1))
    if agent == "smtp":
        origin.log.wait(r"status=.*530 5\.7\.0")
        return
    said = (f"no login for {hop} in hash:{origin.etc}/relay_auth "
            "(it has: [127.0.0.1]:587)")
    origin.log.wait("warning: " + re.escape(said))
    origin.log.wait(r"status=deferred.*" + re.escape(said) + ".*530 5")
    origin.log.wait("alarm: login: .*" + re.escape(said))
    # defer(8) has it a moment later than the log
    wait_until(lambda: said in str(origin.queue()), 30,
               lambda: f"the reason in the queue: {origin.queue()}")
    assert not origin.log.lines("secret|alarm: blocked")


FORGOTTEN = {"[127.0.0.1]:587": "joe:secret"}


@pytest.mark.parametrize("server", [PostfixSmarthost, Exim])
def test_mail_waits_for_a_login_that_was_forgotten(
        base, certs, started, origin, agent, server):
    """554 5.7.1 and 550 to RCPT: by smtp(8) all of it bounces."""
    host = started(server(base, certs))
    origin.agent(agent, "fast", "class=fast")
    origin.relay_to(host, transport="fast")
    origin.set(**PATIENT)
    table = origin.map("relay_auth", FORGOTTEN, mode=0o600)
    started(origin)
    origin.inject(messages.generate(20))
    if agent == "smtp":
        origin.log.wait("status=bounced .*said: 55[04] ", 20)
        return
    said = f"no login for [127.0.0.1]:{host.port} in {table} (it has: "
    origin.log.wait("status=deferred", 20)
    origin.log.wait("alarm: login: .*" + re.escape(said))
    assert not origin.log.lines("status=bounced")
    origin.map("relay_auth", {f"[127.0.0.1]:{host.port}":
                              f"{USER}:{PASSWORD}"}, mode=0o600)
    # tables are looked at once a second
    wait_until(lambda: origin.flush() or origin.queue_count() == 0, 60,
               lambda: f"sent with the login: {origin.queue()}")
    origin.log.wait("alarm cleared: login")
    wait_until(lambda: len(host.taken()) == 20, 30,
               lambda: f"filed: {len(host.taken())}")
    assert not origin.log.lines("status=bounced")


def test_host_that_takes_mail_without_a_login_is_known(
        base, certs, started, origin):
    """Over processes: what it refuses then is about the recipient."""
    sim = started(Simulator(base, certs, demands=False))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.map("relay_auth", FORGOTTEN, mode=0o600)
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    origin.reload()
    sim.script('rcpt reply "550 5.7.1 not for you"\n')
    origin.inject(messages.generate(1, prefix="after"))
    origin.log.wait("status=bounced .*550 5.7.1 not for you")
    assert not origin.log.lines("alarm")
