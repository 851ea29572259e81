"""What a site does to replies, verdicts and offers is done as smtp(8) does it:
smtp_reply_filter, smtp_delivery_status_filter and its default,
smtp_discard_ehlo_keyword_address_maps, the limits of reuse."""
import os

import pytest

from harness import messages, paths
from harness.paths import agents
from harness.sidebyside import Pair
from harness.simulator import Simulator

PATIENT = {"minimal_backoff_time": "300s", "maximal_backoff_time": "300s",
           "queue_run_delay": "300s", "enable_long_queue_ids": "yes"}
DATA = b"From: <from@sender.example>\r\nSubject: outcome\r\n" \
    b"Message-Id: <one@sender.example>\r\n" \
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nbody\r\n"
SCRIPT = ('rcpt if rcpt "refuse" reply "550 5.1.1 no such user"\n'
          'rcpt if rcpt "later" reply "450-4.2.0 try\\n4.2.0 later"\n'
          'eod if rcpt "spam" reply "554 5.7.1 spam"\n')
ALL = ["refuse", "later", "fine"]

pytestmark = pytest.mark.sanitized


def table(side, text, type="regexp"):
    path = os.path.join(side.origin.home, "filter")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return f"{type}:{path}"


def run(base, certs, started, name, rules, who=ALL, mails=0, type="regexp"):
    pair = Pair(base, certs, started, main=PATIENT, script=SCRIPT,
                setup=lambda side: side.origin.set(
                    **{name: table(side, rules, type)}))
    pair.submit(DATA, [f"{w}@rcpt.example" for w in who])
    pair.wait(r"/smtp\[.* status=", len(who))
    pair.wait_mailbox(mails)
    lines = pair.same(lambda side: side.delivery_lines())
    pair.same(lambda side: side.mailq())
    pair.same(lambda side: side.mailbox())
    pair.same(lambda side: side.ledger())
    return pair, {line.split("to=<")[1].split("@")[0]:
                  line.split(" status=")[1] for line in lines}


def test_replies_are_replaced_before_they_are_judged(base, certs, started):
    pair, said = run(base, certs, started, "smtp_reply_filter",
                     "/^550 5(\\.1\\.1 .*)/ 450 4$1\n"
                     "/^450 4.2.0 later/ 250 2.1.5 never mind\n")
    assert said["refuse"].startswith("deferred ")
    assert "said: 450 4.1.1 no such user (in reply to RCPT" in said["refuse"]
    assert said["later"].startswith("sent ")
    pair.same(lambda side: sorted(
        note for note in side.notes() if "replacing" in note))
    assert any('replacing server reply "550 5.1.1 no such user" with '
               '"450 4.1.1 no such user"' in note
               for note in pair.sides[0].notes())


def test_a_reply_to_the_end_of_data_is_replaced(base, certs, started):
    _, said = run(base, certs, started, "smtp_reply_filter",
                  "/^554 5.7.1 spam/ 451 4.7.1 not now\n", ["spam", "other"])
    assert said["spam"].startswith("deferred (host 127.0.0.1[127.0.0.1] said: "
                                   "451 4.7.1 not now (in reply to end of")


def test_a_reply_without_a_code_is_the_servers(base, certs, started):
    """What was taken goes once, what was refused is not taken for sent: smtp(8)
    goes on to the next reply, to whatever that is one."""
    pair = Pair(base, certs, started, main=PATIENT, script=SCRIPT,
                setup=lambda side: side.origin.set(
                    smtp_reply_filter=table(side, "/^(250|554) .*(queued|spam)"
                                            "(.*)/ $2$3\n")))
    pair.submit(DATA, ["fine@rcpt.example"])
    pair.wait(r"/smtp\[.* status=sent")
    pair.submit(DATA, ["spam@rcpt.example"])
    pair.wait(r"/smtp\[.* to=<spam.* status=")
    lane = pair.sides[agents().index("lane")]
    said = {line.split("to=<")[1].split("@")[0]: line.split(" status=")[1]
            for line in lane.delivery_lines()}
    assert said["fine"].startswith("sent (250 2.0.0 Ok: queued")
    assert said["spam"].startswith("deferred ") and "554 5.7.1" in said["spam"]
    assert len(lane.upstream.ledger()) == 1
    lane.origin.log.wait('warning: .*replacement of server reply "250 .*" has '
                         "no reply code: not used")


def test_a_recipient_that_is_refused_here_gets_nothing(base, certs, started):
    """Although the server accepts it, and asks for content: smtp(8) ends that
    without any, which is a message to the server."""
    pair = Pair(base, certs, started, main={
        **PATIENT, "smtp_discard_ehlo_keywords": "chunking"},
        setup=lambda side: side.origin.set(smtp_reply_filter=table(
            side, "/^250 2.1.5 .*/ 450 4.2.0 not now\n")))
    pair.submit(DATA, ["fine@rcpt.example"])
    pair.wait(r"/smtp\[.* status=deferred \(host .* said: 450 4.2.0 not now")
    pair.same(lambda side: side.delivery_lines())
    lane = pair.sides[agents().index("lane")]
    assert not lane.upstream.ledger()


def test_an_offer_is_filtered_too(base, certs, started):
    """The reply to EHLO, in the dialogue before the session."""
    pair, said = run(base, certs, started, "smtp_reply_filter",
                     "/^250-SIZE.*/ 250-X-SIZE\n", ["fine"])
    assert said["fine"].startswith("sent ")
    assert "SIZE=" not in pair.sides[0].ledger()[0][2]


@pytest.mark.parametrize("name", ["smtp_delivery_status_filter",
                                  "default_delivery_status_filter"])
def test_verdicts_are_replaced(base, certs, started, name):
    _, said = run(base, certs, started, name,
                  "/^5(\\.1\\.1 .*no such user.*)/ 4$1\n"
                  "/^4\\.2\\.0 / 5.2.9 gone for good\n"
                  "/^2\\.0\\.0 .*/ 2.6.0 arrived\n", mails=1)
    assert said["refuse"].startswith("deferred (host 127.0.0.1[127.0.0.1] said"
                                     ": 550 5.1.1 no such user")
    assert said["later"] == "bounced (gone for good)"
    assert said["fine"] == "sent (arrived)"


def test_a_verdict_keeps_its_side(base, certs, started):
    """No delivery becomes a failure, and no failure a delivery."""
    pair, said = run(base, certs, started, "smtp_delivery_status_filter",
                     "/^5\\.1\\.1 / 2.0.0 fine\n/^2\\.0\\.0 / 5.0.0 no\n"
                     "/^4/ what\n", mails=1)
    assert [said[who].split()[0] for who in ALL] == [
        "bounced", "deferred", "sent"]
    pair.same(lambda side: sorted(
        note for note in side.notes() if "bad status code" in note))


def test_a_softened_bounce_is_filtered_before(base, certs, started):
    pair = Pair(base, certs, started, main={**PATIENT, "soft_bounce": "yes"},
                script=SCRIPT, setup=lambda side: side.origin.set(
                    smtp_delivery_status_filter=table(
                        side, "/^5(\\.1\\.1) / 5$1 told otherwise\n")))
    pair.submit(DATA, ["refuse@rcpt.example"])
    pair.wait(r"/smtp\[.* status=")
    (line,) = pair.same(lambda side: side.delivery_lines())
    assert "dsn=4.1.1, status=SOFTBOUNCE (told otherwise)" in line


@pytest.mark.parametrize("type", ["texthash", "regexp", "cidr"])
def test_offers_are_passed_over_by_address(base, certs, started, type):
    rules = {"texthash": "127.0.0.1 size, dsn\n",
             "regexp": "/^127\\./ size, dsn\n",
             "cidr": "127.0.0.0/8 size, dsn\n"}
    pair, said = run(base, certs, started,
                     "smtp_discard_ehlo_keyword_address_maps", rules[type],
                     ["fine"], type=type)
    assert said["fine"].startswith("sent ")
    assert "SIZE=" not in pair.sides[0].ledger()[0][2]
    assert any("discarding EHLO keywords: SIZE DSN" in note
               for note in pair.same(lambda side: side.notes()))


def test_an_address_that_is_in_no_table_has_the_usual_words(
        base, certs, started):
    pair = Pair(base, certs, started, main={
        **PATIENT, "smtp_discard_ehlo_keywords": "size",
        "smtp_discard_ehlo_keyword_address_maps": "inline:{192.0.2.1=dsn}"})
    pair.submit(DATA, ["fine@rcpt.example"])
    pair.wait(r"/smtp\[.* status=sent")
    pair.same(lambda side: side.ledger())
    assert "SIZE=" not in pair.sides[0].ledger()[0][2]


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
@pytest.mark.parametrize("name, value, why", [
    ("smtp_reply_filter", "tcp:127.0.0.1:9",
     "must be of types that can be read at start"),
    # each line of a message would be a question
    ("smtp_header_checks", "tcp:127.0.0.1:9",
     "must be of types that can be read at start"),
    ("smtp_body_checks", "proxy:ldap:/nowhere/body.cf",
     "must be of types that can be read at start"),
    ("smtp_delivery_status_filter", "regexp:/nowhere/filter",
     "No such file"),
])
def test_a_table_that_cannot_be_had_is_said_and_mail_waits(
        base, certs, origin, started, name, value, why):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.set(**{name: value})
    started(origin)
    origin.inject(messages.generate(1))
    origin.log.wait(rf"fatal: bad parameter: {name} = {value}.*{why}")
    origin.log.wait(rf"dsn=4\.3\.5, status=deferred .*{name}")
    assert not sim.ledger()


def test_a_session_ends_after_so_many_messages(base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast", {"lane_connection_limit": 1})
    origin.relay_to(sim, transport="fast")
    origin.set(smtp_connection_reuse_count_limit="2")
    started(origin)
    origin.inject(messages.generate(9))
    origin.wait_empty()
    taken = sim.ledger()
    assert len(taken) == 9
    by_session = {}
    for entry in taken:
        by_session[entry.connection] = by_session.get(entry.connection, 0) + 1
    assert max(by_session.values()) == 3


def test_the_dialogue_of_a_peer_is_logged_without_secrets(
        base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.set(debug_peer_list="192.0.2.0/24, 127.0.0.1")
    started(origin)
    origin.inject(messages.generate(1, size=2000))
    origin.wait_empty()
    for line in ("< {}: 220 ", "> {}: EHLO ", "< {}: 250-PIPELINING",
                 "> {}: <\\d+ octets of login, hidden>", "< {}: 235 2\\.7\\.0 ",
                 "> {}: MAIL FROM:<m-0@sender.example>",
                 "> {}: RCPT TO:<m-0-r0@rcpt.example>",
                 "> {}: <\\d+ octets of content>", "< {}: 250 "):
        origin.log.wait(line.format(r"127\.0\.0\.1\[127\.0\.0\.1\]:\d+"))
    said = [l.text for l in origin.log.parsed() if l.text[:2] in ("> ", "< ")]
    assert not [text for text in said if "AUTH " in text and "> " == text[:2]]
    assert not [text for text in said if sim.login[1] in text]
    assert not [text for text in said if "Subject:" in text]
