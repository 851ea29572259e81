"""Servers that do not take what their EHLO and RFC 2920 allow: lane finds the
manner of talking they do take, and goes on with the session it has."""
from collections import Counter

import pytest

from harness import foreign, messages

CONNECTIONS = 5
COUNT = 150


def configure(origin, server, **lane):
    """A lane to the server, and mail that waits until it is let go."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": CONNECTIONS, **lane})
    origin.relay_to(server, transport="fast")
    origin.set(smtpd_client_restrictions="check_client_access static:HOLD",
               fast_destination_concurrency_limit="100",
               fast_initial_destination_concurrency="100")


def let_go(origin, sent):
    origin.inject(sent)
    origin.command("postsuper", "-H", "ALL")
    origin.flush()
    origin.wait_empty()


SERVERS = {
    "haraka": foreign.Haraka, "older_haraka": foreign.OlderHaraka,
    "smtp_server": foreign.SmtpServer, "aiosmtpd": foreign.Aiosmtpd,
    "opensmtpd": foreign.OpenSmtpd, "sendmail": foreign.Sendmail,
    "dovecot": foreign.Dovecot,
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_foreign_server_takes_each_message_once(
        base, certs, origin, started, name):
    cls = SERVERS[name]
    if not cls.is_there():
        pytest.skip(f"build/foreign/{cls.fetched} is not there: "
                    "scripts/foreign fetches it")
    server = started(cls(base, certs) if cls is foreign.Dovecot
                     else cls(base))
    configure(origin, server)
    started(origin)
    sent = messages.generate(COUNT)
    let_go(origin, sent)
    taken = Counter(server.recipients())
    assert taken == Counter(m.recipients[0] for m in sent)
    assert origin.log.statuses("/smtp") == {"sent": COUNT}
