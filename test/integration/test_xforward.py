"""Where messages came from, told to a server that offers XFORWARD.

One queue file goes by lane and by smtp(8) to one real Postfix, which logs the
commands and keeps what they said in its queue files.
"""
import re
import smtplib
from collections import Counter

import pytest

from harness import messages, paths
from harness.postfix import Postfix
from harness.upstream import PostfixSmarthost
from harness.wait import wait_until

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")

ATTRIBUTES = ("log_client_name", "log_client_address", "log_client_port",
              "log_helo_name", "log_protocol_name", "log_ident",
              "rewrite_context")


def site(base, certs, started, options=None, **smarthost):
    """An origin whose clients may say who theirs are, and a server that holds
    what it gets."""
    upstream = started(PostfixSmarthost(
        base, certs, defer_transports="virtual", debug_peer_list="127.0.0.1",
        debug_peer_level="1", **smarthost))
    origin = Postfix(base)
    origin.set(smtpd_authorized_xforward_hosts="127.0.0.1",
               local_header_rewrite_clients="",
               **upstream.client_settings(origin))
    routes = {}
    for agent in paths.agents():
        origin.agent(agent, f"by-{agent}", "class=fast",
                     {"smtp_send_xforward_command": "yes", **(options or {})})
        routes[f"{agent}.example"] = \
            f"by-{agent}:{origin.main['relayhost']}"
    origin.set(transport_maps=origin.map("transport", routes))
    return started(origin), upstream


def submit(origin, ident, xforward=(), helo="client.example",
           agents=("lane", "smtp")):
    with smtplib.SMTP("127.0.0.1", origin.port, local_hostname=helo,
                      timeout=300) as client:
        client.ehlo()
        for attributes in xforward:
            assert client.docmd("XFORWARD", attributes)[0] == 250
        assert client.sendmail(
            f"{ident}@sender.example", [f"r@{a}.example" for a in agents],
            f"Subject: {ident}\r\n\r\nx\r\n") == {}


def kept(upstream):
    """{sender: [attributes]} of the messages that the server has."""
    found = {}
    for entry in upstream.queue():
        text = upstream.command("postcat", "-qe", entry["queue_id"]).stdout
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        told = dict(re.findall(r"^named_attribute: (\w+)=(.*)$", text, re.M))
        found.setdefault(entry["sender"], []).append(
            {name: told.get(name) for name in ATTRIBUTES})
    return found


def commands(upstream):
    return Counter(re.findall(r"smtpd\[\d+\]: < \S+: (XFORWARD .*)$",
                              upstream.log.text(), re.M))


FROM = {
    "plain": [],
    "told": ["NAME=mail.example.org ADDR=192.0.2.7 PORT=4321",
             "PROTO=ESMTP HELO=mail.example.org IDENT=4F69BA7A8B9 "
             "SOURCE=REMOTE"],
    "odd": ["NAME=[UNAVAILABLE] ADDR=192.0.2.8",
            "HELO=a=b+2Bc+28d+29 PROTO=SMTP SOURCE=LOCAL"],
    "unknown": ["NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]",
                "HELO=[UNAVAILABLE] PROTO=[UNAVAILABLE]"],
}


@pytest.mark.parametrize("chunking", [True, False], ids=["bdat", "data"])
def test_attributes_are_those_of_smtp8(base, certs, started, chunking):
    origin, upstream = site(
        base, certs, started, chunking=chunking,
        smtpd_authorized_xforward_hosts="127.0.0.1")
    for ident, xforward in FROM.items():
        submit(origin, ident, xforward)
    origin.sendmail(messages.make(
        "local", "local@sender.example",
        ("r@lane.example", "r@smtp.example"), b"x\r\n"))
    origin.wait_empty()
    found = kept(upstream)
    assert sorted(found) == sorted(
        f"{ident}@sender.example" for ident in [*FROM, "local"])
    # A server that is told no client notes what it sees.
    for sender in ("local@sender.example", "unknown@sender.example"):
        for told in found[sender]:
            assert told["log_helo_name"] == "origin.example"
            del told["log_client_port"], told["log_ident"]
    for sender, (one, *others) in found.items():
        assert others == [one], sender
    assert found["told@sender.example"][0]["log_helo_name"] \
        == "mail.example.org"
    assert found["told@sender.example"][0]["log_client_address"] == "192.0.2.7"
    said = commands(upstream)
    assert said["XFORWARD NAME=mail.example.org ADDR=192.0.2.7 PORT=4321"] == 2
    assert all(count % 2 == 0 for count in said.values()), said


def test_each_message_of_a_window_has_its_own(base, certs, started):
    origin, upstream = site(
        base, certs, started,
        {"lane_connection_limit": "1", "lane_pipeline_depth": "10"},
        smtpd_authorized_xforward_hosts="127.0.0.1")
    origin.hold_transports("by-lane")
    for n in range(40):
        submit(origin, f"m{n}", [f"HELO=h{n}.example NAME=n{n}.example "
                                 f"ADDR=192.0.2.{n}"] if n % 3 else (),
               agents=("lane",))
    origin.release_transports()
    origin.wait_empty()
    found = kept(upstream)
    assert len(found) == 40
    for n in range(40):
        (told,) = found[f"m{n}@sender.example"]
        if n % 3:
            assert (told["log_helo_name"], told["log_client_name"],
                    told["log_client_address"]) == (
                f"h{n}.example", f"n{n}.example", f"192.0.2.{n}")
        else:
            assert told["log_helo_name"] == "client.example"


def test_a_server_that_does_not_offer_it_is_not_told(base, certs, started):
    origin, upstream = site(base, certs, started)
    submit(origin, "told", FROM["told"])
    origin.wait_empty()
    wait_until(lambda: len(upstream.queue()) == 2, 20, "taken")
    assert not commands(upstream)
