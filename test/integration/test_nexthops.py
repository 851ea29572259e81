"""Where mail goes and over what: nexthops, dead hosts, TLS levels, addresses,
each beside smtp(8) with the same main.cf."""
import socket

import pytest

from harness import messages, paths
from harness.sidebyside import Pair
from harness.simulator import Simulator
from test_outcomes import DATA, PATIENT, addresses, statuses

LEVELS = ["none", "may", "encrypt", "verify", "secure"]


def run(base, certs, started, relayhost=None, recipients=("a",), setup=None,
        main=None, options=None, **upstream):
    """One message over `relayhost`, in which PORT stands for the port of the
    upstream and DEAD for one where nobody listens."""
    dead = str(paths.free_port())

    def prepare(side):
        if relayhost is not None:
            text = relayhost.replace("PORT", str(side.upstream.port)).replace(
                "DEAD", dead)
            login = ":".join(side.upstream.login)
            names = {word.strip(",") for word in text.split()}
            side.origin.set(
                relayhost=text,
                smtp_sasl_password_maps=side.origin.map(
                    "relay_auth", {name: login for name in names},
                    mode=0o600))
        if setup:
            setup(side)
    pair = Pair(base, certs, started, main={**PATIENT, **(main or {})},
                setup=prepare, agent_options=options, **upstream)
    for side in pair.sides:
        side.dead = dead
    pair.submit(DATA, addresses(*recipients))
    pair.wait(r"/smtp\[.* status=", len(recipients), timeout_s=60)
    return pair, check_same(pair)


def check_same(pair):
    """What smtp(8) notes besides the outcome, lane notes too."""
    lines = pair.same(lambda side: side.delivery_lines())
    pair.same(lambda side: side.mailq())
    pair.same(lambda side: side.mailbox())
    pair.same(lambda side: side.ledger())
    assert pair.sides[-1].notes() <= pair.sides[0].notes()
    return lines


NATIVE = {"smtp_host_lookup": "native", "smtp_tls_secure_cert_match":
          "smarthost.example"}


@pytest.mark.parametrize("relayhost,main", [
    ("[127.0.0.1]:PORT", {}),
    ("[localhost]:PORT", NATIVE),
    ("localhost:PORT", {**NATIVE, "smtp_dns_support_level": "disabled"}),
    ("[127.0.0.1]:DEAD, [127.0.0.1]:PORT", {}),
    ("[127.0.0.1]:DEAD [127.0.0.1]:PORT", {}),
], ids=["literal", "name", "mx_name", "dead_first", "blank_list"])
def test_nexthop(base, certs, started, relayhost, main):
    pair, lines = run(base, certs, started, relayhost, main=main)
    assert statuses(lines) == ["sent"]


def test_all_hosts_dead(base, certs, started):
    pair, lines = run(base, certs, started,
                      "[127.0.0.1]:DEAD, [127.0.0.2]:DEAD",
                      options={"lane_wait_limit": "3s"})
    assert statuses(lines) == ["deferred"] and "Connection refused" in lines[0]


@pytest.mark.parametrize("script", [
    'greeting reply "554 5.3.2 go away" close',
    'greeting close', 'auth reply "535 5.7.8 wrong"',
    'auth reply "454 4.7.0 later"',
    'starttls reply "454 4.7.0 no TLS now"'])
def test_session_cannot_be_opened(base, certs, started, script):
    """lane tries again for a while before it says what smtp(8) says."""
    pair, lines = run(base, certs, started, script=script + "\n",
                      options={"lane_wait_limit": "3s"})
    assert statuses(lines) == ["deferred"]


def test_ehlo_is_refused(base, certs, started):
    """smtp(8) bounces mail when EHLO and HELO get a 5xx. lane defers: the
    reply says nothing about the message, and what is wrong at the smarthost
    or in smtp_helo_name can be put right."""
    pair = Pair(base, certs, started, main=PATIENT,
                script='ehlo reply "550 5.5.1 no"\n')
    pair.submit(DATA, addresses("a"))
    pair.wait(r"/smtp\[.* status=")
    found = [side.delivery_lines()[0] for side in pair.sides]
    said = "(host 127.0.0.1[127.0.0.1] refused to talk to me: 550 5.5.1 no)"
    assert found[0].endswith("dsn=4.5.1, status=deferred " + said)
    assert found[-1].endswith("dsn=5.5.1, status=bounced " + said)


def test_greeting_421_is_waited_out(base, certs, started):
    """smtp(8) defers at once. To lane it may mean one session too many:
    mail waits up to lane_wait_limit."""
    pair, lines = run(base, certs, started,
                      script='greeting reply "421 4.3.2 later" close\n',
                      options={"lane_wait_limit": "3s"})
    assert statuses(lines) == ["deferred"]


@pytest.mark.parametrize("pair_name", ["good", "wrong_name", "expired",
                                       "untrusted"])
@pytest.mark.parametrize("level", LEVELS)
def test_tls_level(base, certs, started, level, pair_name):
    pair, lines = run(
        base, certs, started, pair=getattr(certs, pair_name), login=None,
        main={"smtp_tls_security_level": level,
              "smtp_tls_verify_cert_match": "smarthost.example",
              "smtp_tls_loglevel": "1"})
    good = pair_name == "good" or LEVELS.index(level) < 3
    assert statuses(lines) == ["sent" if good else "deferred"]


def test_failed_handshake_is_followed_by_clear_text_later(
        base, certs, started):
    """At level may, and not before the message has been deferred."""
    pair = Pair(base, certs, started, script="tls close\n", login=None,
                require_auth=False,
                main={**PATIENT, "smtp_tls_security_level": "may",
                      "minimal_backoff_time": "3s", "queue_run_delay": "1s",
                      "maximal_backoff_time": "4s"})
    pair.submit(DATA, addresses("a"))
    pair.wait(r" status=sent", 1, timeout_s=60)
    for side in pair.sides:
        side.origin.wait_empty()
    # each text once: how often it was tried is a matter of the clock
    lines = pair.same(lambda side: sorted(set(side.delivery_lines())))
    assert sorted(statuses(lines)) == ["deferred", "sent"]
    assert "dsn=4.7.5" in lines[1] and "handshake failure" in lines[1]
    pair.same(lambda side: side.mailbox())


@pytest.mark.parametrize("level", LEVELS)
def test_tls_is_not_offered(base, certs, started, level):
    pair, lines = run(base, certs, started, no_starttls=True, login=None,
                      main={"smtp_tls_security_level": level})
    good = LEVELS.index(level) < 2
    assert statuses(lines) == ["sent" if good else "deferred"]


@pytest.mark.parametrize("pair_name", ["good", "wrong_name"])
def test_implicit_tls(base, certs, started, pair_name):
    def wrap(side):
        side.origin.relay_to(side.upstream, transport="fast", wrapped=True)
    pair, lines = run(base, certs, started, setup=wrap,
                      pair=getattr(certs, pair_name))
    assert statuses(lines) == [
        "sent" if pair_name == "good" else "deferred"]


def test_helo_name(base, certs, started):
    pair, lines = run(base, certs, started, transcript=True,
                      main={"smtp_helo_name": "helo.name.example"})
    assert statuses(lines) == ["sent"]
    for side in pair.sides:
        side.upstream.stop()
        assert "EHLO helo.name.example" in side.upstream.transcript()


def test_bind_address_is_used(base, certs, started):
    """The smarthost of this test writes down who came."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(20)
        pair = Pair(base, certs, started, main={
            **PATIENT, "relayhost": f"[127.0.0.1]:{port}",
            "smtp_bind_address": "127.0.0.3"})
        for side in pair.sides:
            side.origin.command("sendmail", "-f", "from@sender.example",
                                "a@rcpt.example", input=DATA.decode())
            client, address = listener.accept()
            seen.append(address[0])
            client.close()
    assert seen == ["127.0.0.3"] * 2


def test_mail_to_own_users_stays_here(base, certs, started):
    pair = Pair(base, certs, started, main=PATIENT)
    pair.submit(DATA, ["user@local.example", "far@rcpt.example"])
    pair.wait_empty()
    pair.wait_mailbox(1)
    check_same(pair)
    assert [e[1] for e in pair.sides[0].ledger()] == [("far@rcpt.example",)]


@pytest.mark.parametrize("how", ["lane_smarthost", "relayhost"])
def test_empty_nexthop(base, certs, origin, started, how):
    """transport_maps says `fast:`: then relayhost or lane_smarthost say
    where to go."""
    sim = started(Simulator(base, certs, store=True))
    origin.relay_to(sim)
    relayhost = origin.main["relayhost"]
    options = {}
    if how == "lane_smarthost":
        options["lane_smarthost"] = relayhost
        origin.set(relayhost=None)
    origin.agent("lane", "fast", "class=fast", options)
    origin.set(transport_maps=origin.map("transport", {"rcpt.example": "fast:"}))
    started(origin)
    origin.inject([messages.make("one", "a@foreign.example",
                                 ["b@rcpt.example"], b"body\r\n")])
    origin.wait_empty()
    assert [e.id for e in sim.ledger()] == ["one"]


def test_ipv6_literal(base, certs, started):
    if not has_ipv6():
        pytest.skip("no IPv6 loopback")

    def over_v6(side):
        port = side.upstream.port
        side.origin.set(relayhost=f"[::1]:{port}", inet_protocols="all",
                        smtp_sasl_password_maps=side.origin.map(
                            "relay_auth", {f"[::1]:{port}": ":".join(
                                side.upstream.login)}, mode=0o600))
    pair, lines = run(base, certs, started, setup=over_v6, listen="[::1]:0")
    assert statuses(lines) == ["sent"] and "relay=::1[::1]:PORT" in lines[0]


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
