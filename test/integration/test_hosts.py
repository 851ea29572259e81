"""From one host to the next: when smtp(8) goes there lane does, when it stays
lane stays; and an outage of all of them is over when one is back."""
import os
import re
import time

import pytest

from harness import messages, paths
from harness.load import Load
from harness.sidebyside import Pair
from harness.simulator import Simulator
from harness.wait import wait_until
from test_outcomes import DATA, PATIENT


def pair_of(base, certs, started, script, how="list", other=None, main=None,
            script_b="", **fields):
    """Each side goes to a host A with this script, and then to B."""
    def setup(side):
        home = os.path.join(base, side.agent, "a")
        os.mkdir(home)
        os.chmod(home, 0o755)
        if script is None:
            port = paths.free_port()
            side.first = None
        else:
            side.first = started(Simulator(home, certs, name="first",
                                           script=script, **(other or {})))
            port = side.first.port
        a, b = f"[127.0.0.1]:{port}", f"[127.0.0.1]:{side.upstream.port}"
        side.origin.set(
            relayhost=a if how == "fallback" else f"{a}, {b}",
            smtp_fallback_relay=b if how == "fallback" else "",
            smtp_sasl_password_maps=side.origin.map(
                "relay_auth", {h: ":".join(side.upstream.login)
                               for h in (a, b)}, mode=0o600))
    return Pair(base, certs, started, setup=setup, script=script_b,
                main={**PATIENT, **(main or {})}, **fields)


def outcome(side):
    """Who was told what: status of each recipient, and which host took it."""
    took = {}
    for name, host in (("A", side.first), ("B", side.upstream)):
        for entry in host.ledger() if host else []:
            took.setdefault(name, []).extend(entry.recipients)
    said = sorted((d.to, d.status) for d in side.origin.log.deliveries()
                  if d.tag.endswith("/smtp"))
    return said, {name: sorted(rcpts) for name, rcpts in took.items()}


GOES_ON = {
    "refuses": None,
    "greeting_421": 'greeting reply "421 4.3.2 busy" close\n',
    "greeting_554": 'greeting reply "554 5.7.1 no" close\n',
    "greeting_lost": 'greeting close\n',
    "ehlo_lost": 'ehlo reset\n',
    "starttls_454": 'starttls reply "454 4.7.0 not now"\n',
    "handshake": 'tls reset\n',
    "login_refused": 'auth reply "535 5.7.8 wrong"\n',
    "login_lost": 'auth reset\n',
    "mail_421": 'mail reply "421 4.3.2 going down" close\n',
    "mail_lost": 'mail close\n',
    "mail_450": 'mail reply "450 4.3.0 not now"\n',
    "rcpt_450": 'rcpt if rcpt "one" reply "450 4.2.0 not now"\n',
    "rcpt_421": 'rcpt if rcpt "one" reply "421 4.3.2 going down" close\n',
    "eod_451": 'eod reply "451 4.3.0 try again"\n',
    "eod_lost": 'eod close\n',
    "mail_550": 'mail reply "550 5.1.0 never"\n',
    "rcpt_550": 'rcpt if rcpt "one" reply "550 5.1.1 never"\n',
    "eod_550": 'eod reply "550 5.6.0 never"\n',
}


@pytest.mark.parametrize("how", ["list", "fallback"])
@pytest.mark.parametrize("name", GOES_ON)
def test_goes_where_smtp_goes(base, certs, started, name, how):
    if how == "fallback" and name not in ("refuses", "mail_421", "eod_451"):
        pytest.skip("as for a list")
    pair = pair_of(base, certs, started, GOES_ON[name], how)
    pair.submit(DATA, ["one@rcpt.example", "two@rcpt.example"])
    pair.wait(r"/smtp\[.* status=", 2, timeout_s=30)
    said, took = pair.same(outcome)
    if not name.endswith("550"):
        assert [status for _, status in said] == ["sent"] * 2
        assert "one@rcpt.example" in took["B"]


def test_both_refuse_for_now(base, certs, started):
    """The last one's reply is the reason, as with smtp(8)."""
    pair = pair_of(base, certs, started, 'eod reply "451 4.3.0 a says"\n',
                   script_b='eod reply "452 4.3.1 b says"\n')
    pair.submit(DATA, ["one@rcpt.example"])
    pair.wait(r"/smtp\[.* status=deferred")
    lines = pair.same(lambda side: [
        line.split(" dsn=")[1] for line in side.delivery_lines()])
    assert "b says" in lines[0]
    pair.same(lambda side: [what for *_, what in side.mailq()])


def test_second_address_of_a_name(base, certs, started):
    """localhost has two where there is IPv6; the first says 451."""
    from test_nexthops import NATIVE, has_ipv6
    if not has_ipv6():
        pytest.skip("no IPv6 loopback")

    def setup(side):
        home = os.path.join(base, side.agent, "a")
        os.mkdir(home)
        os.chmod(home, 0o755)
        port = side.upstream.port
        side.first = started(Simulator(
            home, certs, name="first", listen=f"[::1]:{port}",
            script='eod reply "451 4.3.0 try again"\n'))
        side.origin.set(
            relayhost=f"[localhost]:{port}", inet_protocols="all",
            smtp_address_preference="ipv6", **NATIVE,
            smtp_sasl_password_maps=side.origin.map(
                "relay_auth", {f"[localhost]:{port}":
                               ":".join(side.upstream.login)}, mode=0o600))
    pair = Pair(base, certs, started, setup=setup, main=PATIENT)
    pair.submit(DATA, ["one@rcpt.example"])
    pair.wait(r"/smtp\[.* status=")
    said, took = pair.same(outcome)
    assert took == {"B": ["one@rcpt.example"]}


def test_alarm_sends_mail_to_the_next_host(base, certs, started):
    """smtp(8) bounces at a 5xx to MAIL; to lane this one is about the site."""
    pair = pair_of(base, certs, started,
                   'mail reply "530 5.7.0 Authentication required"\n')
    lane = pair.sides[0]
    assert lane.agent == "lane"
    lane.origin.inject(messages.generate(20))
    lane.origin.wait_empty()
    assert len(lane.upstream.ledger()) == 20
    lane.origin.log.wait(r"alarm: ")
    lane.origin.log.wait(r"is unavailable \(.*\), using \[127\.0\.0\.1\]")
    assert not lane.origin.log.statuses("/smtp")["bounced"]


def test_returns_to_the_first_host(base, certs, started):
    """A dies under a steady trickle, and comes back; both are said once."""
    pair = pair_of(base, certs, started, "",
                   agent_options={"lane_connection_idle_limit": "30s"})
    lane = pair.sides[0]
    lane.first.kill9()
    with Load(lane.origin, batch=1, connections=1, per_s=2) as load:
        wait_until(lambda: len(lane.upstream.ledger()) >= 5, 30,
                   "five messages at B")
        lane.first.start()
        wait_until(lambda: lane.first.ledger(), 60, "mail at A again")
    lane.origin.wait_empty()
    log = lane.origin.log
    assert len(log.lines(r"is unavailable \(connect to .*refused\), "
                         r"using ")) == 1
    assert len(log.lines(r"is available again")) == 1
    took = [e.id for e in lane.first.ledger() + lane.upstream.ledger()]
    assert sorted(took) == sorted(m.id for m in load.sent)
    assert not log.statuses("/smtp")["deferred"]


def in_doubt(origin):
    """Queue ids of messages that may have been taken."""
    return {re.search(r": (\w+): to=", line)[1] for line in origin.log.lines(
        r"message may be sent more than once")}


def outage_s(origin, sim, is_long_enough, per_s=5):
    """Kill the provider under load until that is so; seconds from its return
    until nothing that came before is left, how many were deferred, and what
    was sent."""
    with Load(origin, batch=1, connections=1, per_s=per_s) as load:
        wait_until(lambda: len(sim.ledger()) >= 5, 30, "mail flows")
        sim.kill9()
        wait_until(is_long_enough, 500, "the outage has lasted")
        waiting = {e["queue_id"] for e in origin.queue()}
        sim.start()
        back = time.monotonic()
        deferred = len(origin.log.lines(r"status=deferred"))
        wait_until(lambda: not waiting & {e["queue_id"]
                                          for e in origin.queue()}, 900,
                   lambda: f"{len(waiting)} gone")
        took = time.monotonic() - back
    origin.wait_empty()
    return took, deferred, load.sent


def test_outage_ends_when_the_smarthost_is_back(base, certs, origin, started):
    """Everything that was deferred is called back, stale texts and all, as
    soon as there is a connection: nothing waits for the next queue run."""
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.set(**PATIENT)
    started(origin)
    took, deferred, sent = outage_s(origin, sim, lambda: len(
        origin.log.lines(r"status=deferred")) >= 5)
    print(f"\n{deferred} deferred, the last out after {took:.1f} s")
    assert origin.log.lines("calling back")
    assert took < 250       # the queue's own next attempt: 300 s
    assert not {m.id for m in sent} - {e.id for e in sim.ledger()}
    # nor did the queue manager suspend the site, and defer mail unseen
    assert not origin.log.lines(r"/(qmgr|error)\[.*status=deferred")


LONG = [30, 106, 400] if os.environ.get("POSTLANE_LONG") else []


@pytest.mark.parametrize("down_s", LONG)
def test_long_outage_of_two_lanes(agent, base, certs, origin, started, down_s):
    sim = started(Simulator(base, certs, store=True))
    origin.agent(agent, "fast", "class=fast")
    origin.agent(agent, "slow", "class=slow",
                 {"lane_message_rate_limit": "50/1s"} if agent == "lane" else {})
    origin.relay_to(sim, transport="slow")
    origin.set(minimal_backoff_time="300s", maximal_backoff_time="4000s",
               queue_run_delay="300s",
               transport_maps=origin.map("transport",
                                         {"fast.example": "fast:"}))
    started(origin)
    began = time.monotonic()
    with Load(origin, batch=1, connections=1, per_s=2, prefix="fast",
              domain="fast.example"):
        took, deferred, _ = outage_s(
            origin, sim, lambda: time.monotonic() - began > down_s, per_s=2)
    print(f"\n{agent}, {down_s} s: {deferred} deferred, "
          f"{len(in_doubt(origin))} of them in doubt, "
          f"the last out after {took:.0f} s")
    if agent == "lane":
        assert took < 100


@pytest.mark.parametrize("stage", ["starttls", "tls", "auth"])
def test_server_that_dies_while_it_is_dialled(base, certs, origin, started,
                                              stage):
    """A line that breaks says nothing that waiting could not cure: there are
    ten seconds of own tries, and nothing is deferred meanwhile."""
    sim = started(Simulator(base, certs, script=f"{stage} reset\n"))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.set(**PATIENT)
    started(origin)
    origin.inject(messages.generate(50))
    origin.log.wait(r"/smtp\[\d+\]: (lost connection|Cannot start TLS)",
                    count=3)
    sim.script("")
    origin.wait_empty()
    assert len(sim.ledger()) == 50
    assert not origin.log.statuses("/smtp")["deferred"]
