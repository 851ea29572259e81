"""What goes wrong at a site keeps mail queued, says why in words that help,
and is over as soon as its cause is."""
import os
import re
from dataclasses import dataclass, field
from typing import Callable

import pytest

from harness import messages, paths
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER
from harness.wait import wait_until

HOST = r"127\.0\.0\.1\[127\.0\.0\.1\]"
THROTTLED = r"bad command startup|throttling"


@dataclass
class Case:
    """A smarthost or a client that is wrong in one way."""
    name: str
    reason: str                 # pattern of the reason, in log and queue
    status: str                 # enhanced code
    provider: dict = field(default_factory=dict)    # of the simulator
    main: dict = field(default_factory=dict)        # of main.cf
    cure: Callable = None       # cure(origin, sim); then a reload
    lane_only: bool = False     # smtp(8) goes on and meets another error


def set_password(origin, password):
    nexthop = origin.main["relayhost"]
    origin.set(smtp_sasl_password_maps=origin.map(
        "relay_auth", {nexthop: f"{USER}:{password}"}, mode=0o600))


def restart_with(sim, **options):
    sim.stop()
    sim.options.update(options)
    sim.start()


def use_certificate(name):
    def apply(_, sim):
        sim.stop()
        sim.pair = getattr(sim.certs, name)
        sim.start()
    return apply


NO_TLS = {"smtp_tls_security_level": None}

CASES = [
    Case("wrong_password",
         rf"SASL authentication failed; server {HOST} said: 535 ", "4.7.8",
         main={"password": "not this one"},
         cure=lambda origin, sim: set_password(origin, PASSWORD)),
    Case("wrong_ca", "Server certificate not verified", "4.7.5",
         provider={"pair": "untrusted"}, cure=use_certificate("good")),
    Case("expired", "Server certificate not verified", "4.7.5",
         provider={"pair": "expired"}, cure=use_certificate("good")),
    Case("wrong_name", "Server certificate not verified", "4.7.5",
         provider={"pair": "wrong_name"},
         cure=lambda origin, sim: origin.set(
             smtp_tls_secure_cert_match="other.example")),
    Case("no_tls_offered",
         rf"TLS is required, but was not offered by host {HOST}", "4.7.4",
         provider={"no_starttls": True, "auth_without_tls": True},
         cure=lambda origin, sim: restart_with(sim, no_starttls=False)),
    Case("no_auth_offered",
         rf"SASL authentication failed: server {HOST} does not offer AUTH",
         "4.7.0", provider={"no_auth": True}, lane_only=True,
         cure=lambda origin, sim: restart_with(sim, no_auth=False)),
    # what smtp_sasl_auth_enable = yes alone leads to
    Case("only_plain_in_the_clear",
         "SASL authentication failed; cannot authenticate to server "
         rf"{HOST}: no mechanism available",
         "4.7.0", provider={"mechs": "PLAIN", "auth_without_tls": True},
         main={**NO_TLS, "smtp_sasl_security_options": None},
         cure=lambda origin, sim: origin.set(
             smtp_sasl_security_options="noanonymous")),
    Case("smarthost_down",
         rf"connect to {HOST}:\d+: Connection refused", "4.4.1",
         main={"down": True}, cure=lambda origin, sim: sim.start()),
    Case("greeting_refused",
         rf"host {HOST} refused to talk to me: 554 5\.7\.1 go away", "4.7.1",
         provider={"script": 'greeting reply "554 5.7.1 go away" close\n'},
         main={"hold": "2s"}, cure=lambda origin, sim: sim.script("")),
    Case("busy",
         rf"host {HOST} refused to talk to me: 421 4\.3\.2 busy", "4.3.2",
         provider={"script": 'greeting reply "421 4.3.2 busy" close\n'},
         main={"hold": "2s"}, cure=lambda origin, sim: sim.script("")),
]


def reasons(origin):
    """Delay reasons of everything queued."""
    return [r.get("delay_reason", "") for entry in origin.queue()
            for r in entry["recipients"]]


def wait_reason(origin, pattern, count=1):
    wait_until(lambda: sum(1 for r in reasons(origin)
                           if re.search(pattern, r)) >= count, 30,
               lambda: f"reason /{pattern}/ in the queue: {reasons(origin)}")


def cured(origin, sim, sent, reload=True):
    """Mail flows again and nothing was lost or sent twice."""
    if reload:
        origin.reload()
        origin.flush()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert not origin.log.lines(THROTTLED)
    assert not origin.log.statuses("/smtp")["bounced"]


def provider(base, certs, case):
    options = dict(case.provider)
    pair = options.pop("pair", None)
    return Simulator(base, certs, store=True,
                     pair=getattr(certs, pair) if pair else None, **options)


def configure(origin, sim, agent, case):
    main = dict(case.main)
    password = main.pop("password", None)
    is_down = main.pop("down", False)
    hold = main.pop("hold", None)
    origin.agent(agent, "fast", "class=fast",
                 {"lane_wait_limit": hold} if hold else {})
    origin.relay_to(sim, transport="fast")
    if password:
        set_password(origin, password)
    origin.set(**main)
    if is_down:
        sim.stop()


# The same words from both agents, where smtp(8) has any.
BOTH = [pytest.param(agent, case, id=f"{case.name}-{agent}")
        for case in CASES for agent in paths.agents()
        if agent == "lane" or not case.lane_only]


@pytest.mark.parametrize("agent,case", BOTH)
def test_trouble_at_the_smarthost_keeps_mail_queued(
        agent, base, certs, origin, started, case):
    sim = started(provider(base, certs, case))
    configure(origin, sim, agent, case)
    started(origin)
    sent = messages.generate(2)
    origin.inject(sent)
    origin.log.wait(rf"dsn={case.status}, status=deferred \({case.reason}",
                    count=2)
    wait_reason(origin, case.reason, 2)
    assert sim.ledger() == []
    case.cure(origin, sim)
    cured(origin, sim, sent)


def test_expired_certificate_is_an_alarm_until_a_session_is_up(
        base, certs, origin, started):
    case = next(c for c in CASES if c.name == "expired")
    sim = started(provider(base, certs, case))
    configure(origin, sim, "lane", case)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    told = origin.log.wait(r"alarm: certificate: ")
    assert re.search(r"lane fast has stopped at \[127\.0\.0\.1\]:\d+ "
                     r"since \S+: Server certificate not verified: "
                     r"certificate has expired", told[0])
    case.cure(origin, sim)
    cured(origin, sim, sent)
    origin.log.wait(r"alarm cleared: certificate: ")
    assert len(origin.log.lines(r"alarm: certificate: ")) == 1
    assert not origin.log.lines(r"alarm: (login|blocked|outage)")


@pytest.mark.parametrize("nexthop", ["[no-such-host.invalid]:2525",
                                     "no-such-host.invalid"],
                         ids=["host", "domain"])
def test_unknown_name_keeps_mail_queued(
        agent, base, certs, origin, started, nexthop):
    reason = (r"Host or domain name not found\. Name service error for "
              r"name=no-such-host\.invalid type=(A|MX): Host ")
    sim = started(Simulator(base, certs, store=True))
    origin.agent(agent, "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    good = origin.main["relayhost"]
    origin.set(relayhost=nexthop)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    origin.log.wait(rf"status=deferred .*{reason}", timeout_s=60)
    wait_reason(origin, reason)
    origin.set(relayhost=good)
    cured(origin, sim, sent)


# What is wrong at home: smtp(8) would exit and throttle its service

BAD_SETTINGS = [
    ("limit", "class=fast", {"lane_connection_limit": "0"}, {},
     r"bad parameter: lane_connection_limit = 0: must be 1 to 1000"),
    ("unknown", "class=fast", {"lane_x": "1"}, {},
     r"bad parameter: -o lane_x = 1: there is no such parameter"),
    ("rate", "class=slow", {"lane_message_rate_limit": "fast"}, {},
     r'bad parameter: lane_message_rate_limit = fast: bad rate "fast": '
     r"must be none, N/period, .* such as 14/1s"),
    ("time", "class=fast", {"lane_wait_limit": "soon"}, {},
     r"bad parameter: lane_wait_limit = soon: must be 1s to "),
    ("main_cf_value", "class=fast", {}, {"lane_pipeline_depth": "many"},
     r"bad parameter: lane_pipeline_depth = many: must be 1 to 1000"),
    ("main_cf_name", "class=fast", {}, {"lane_pipelin_depth": "5"},
     r"bad parameter: lane_pipelin_depth = 5: there is no such parameter"),
    ("postfix_value", "class=fast", {}, {"smtp_connect_timeout": "often"},
     r"bad parameter: smtp_connect_timeout = often: must be "),
    ("class", "class=medium", {}, {},
     r"bad word: class=medium: must be class=fast or class=slow"),
    ("word", "klass=fast", {}, {},
     r"bad word: klass=fast: must be class=name"),
    ("bare_word", "fast", {}, {},
     r"bad word: fast: must be class=name"),
]


@pytest.mark.parametrize("words,options,main,text",
                         [c[1:] for c in BAD_SETTINGS],
                         ids=[c[0] for c in BAD_SETTINGS])
def test_bad_setting_is_said_once_and_keeps_mail_queued(
        base, certs, origin, started, words, options, main, text):
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", words, options)
    origin.relay_to(sim, transport="fast", **main)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    origin.log.wait(r"dsn=4\.3\.5, status=deferred "
                    rf"\(mail system configuration error: {text}", count=3)
    wait_reason(origin, text, 3)
    assert len(origin.log.lines(rf"\]: fatal: {text}")) == 1
    assert len(origin.pids("lane")) == 1
    origin.agent("lane", "fast", "class=fast")
    origin.set(**dict.fromkeys(main))
    cured(origin, sim, sent)


def test_lane_without_a_class_word_delivers(base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast")
    origin.relay_to(sim, transport="fast")
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    cured(origin, sim, sent, reload=False)


def away(path):
    os.unlink(path)


def cut(path):
    with open(path, "r+b") as f:
        f.truncate(100)


@pytest.mark.parametrize("spoil", [away, cut])
def test_unreadable_password_table_keeps_mail_queued(
        base, certs, origin, started, spoil):
    """Nobody is logged in without the password, nobody throttled."""
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    spoil(os.path.join(origin.etc, "relay_auth.db"))
    started(origin)
    sent = messages.generate(2)
    origin.inject(sent)
    reason = (rf"local data error while talking to {HOST}")
    origin.log.wait(rf"dsn=4\.3\.0, status=deferred \({reason}", count=2)
    wait_reason(origin, reason, 2)
    assert origin.log.lines(r"smtp_sasl_password_maps.*relay_auth")
    assert sim.ledger() == []
    set_password(origin, PASSWORD)
    cured(origin, sim, sent)
