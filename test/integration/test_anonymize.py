"""lane_log_anonymize: no address in what a lane tells, and log tools count as
before."""
import json
import re
import subprocess

import pytest
from harness import messages
from harness.simulator import Simulator
from harness.wait import wait_until

SCRIPT = '''
rcpt if rcpt "john.doe" reply "550 5.1.1 <john.doe@a.example>: john.doe left"
rcpt if rcpt "jane.roe" reply "450 4.2.0 jane.roe@b.example: jane.roe is full"
'''
PEOPLE = ["john.doe@a.example", "jim.fine@a.example", "jane.roe@b.example",
          "joan.fine@b.example"]
NAMES = re.compile(r"john|jane|jim|joan|m-\d+@", re.IGNORECASE)
HASH = r"[0-9a-f]{16}@[0-9a-f]{12}\.invalid"


@pytest.fixture
def site(base, certs, origin, started):
    """Mail to a.example goes by a lane that hashes, the rest by another."""
    sim = started(Simulator(base, certs, script=SCRIPT, store=True))
    for name, word in (("hashed", "hash"), ("smart", "smart")):
        origin.agent("lane", name, "class=fast", {
            "lane_log_anonymize": word, "lane_log_name": name,
            "lane_connection_limit": 2, "debug_peer_list": "127.0.0.1"})
    origin.relay_to(sim, transport="smart", transport_maps=origin.map(
        "transport", {"a.example": "hashed:"}), minimal_backoff_time="600s",
        maximal_backoff_time="600s", queue_run_delay="600s")
    started(origin)
    return origin


def send(origin, since=0):
    sent = messages.generate(2, recipients=lambda n: PEOPLE, size=300)
    origin.inject(sent)
    wait_until(lambda: len(of_lanes(origin, " status=", since)) >=
               2 * len(PEOPLE), 60, "all is told")


def of_lanes(origin, pattern="", since=0):
    return origin.log.lines(r"postfix/(hashed|smart)\[\d+\]: .*" + pattern,
                            since)


def test_no_address_is_told(site):
    send(site)
    lines = of_lanes(site)
    assert [t for t in lines if " > 127.0.0.1" in t or "]: > " in t]
    assert not [t for t in lines if NAMES.search(t)]
    to = {status: set(re.findall(r"to=<([^>]*)>.* status=" + status, "\n".join(
        of_lanes(site)))) for status in ("sent", "bounced", "deferred")}
    assert {"j***@b.example"} == to["deferred"]
    (john,) = to["bounced"]
    jim, joan = sorted(to["sent"], key=lambda a: "***" in a)
    assert joan == "j***@b.example"
    assert re.fullmatch(HASH, john) and re.fullmatch(HASH, jim)
    assert john != jim and john.partition("@")[2] == jim.partition("@")[2]
    # alone it is the same; the reason says what it is about
    bounced = [d for d in site.log.deliveries() if d.status == "bounced"
               and d.tag == "postfix/hashed"]
    assert all(f"<{john}>: {john.partition('@')[0]} left" in d.reason
               for d in bounced) and len(bounced) == 2
    deferred = [d for d in site.log.deliveries() if d.status == "deferred"]
    assert all("j***@b.example: j*** is full" in d.reason for d in deferred)
    # what others look at
    status = site.postlane("-j", "status").stdout
    assert "is full" in status and not NAMES.search(status)
    # what mailq and bounces say is Postfix's
    assert any("jane.roe is full" in json.dumps(m) for m in site.queue())


def test_an_operator_finds_who_he_asks_for(site):
    send(site)
    since = site.log.mark()
    site.reload()
    send(site, since)
    (line,) = [t for t in site.postlane(
        "anonymize", "John.Doe@a.example").stdout.splitlines()
        if t.startswith("hashed")]
    shown = line.split()[1]
    assert len(of_lanes(site, re.escape(f"to=<{shown}>"))) == 4
    one = json.loads(site.postlane("-j", "anonymize", PEOPLE[2]).stdout)
    assert [lane for lane in one["lanes"] if lane["lane"] == "smart"] == [
        {"lane": "smart", "lane_log_anonymize": "smart",
         "shown": "j***@b.example"}]


def test_log_tools_count_as_before(site):
    send(site)
    done = subprocess.run(["pflogsumm", "--problems_first", site.log.path],
                          capture_output=True, text=True, check=True).stdout
    count = {m[2]: int(m[1]) for m in re.finditer(
        r"^ +(\d+) +(delivered|deferred|bounced|recipients)\b", done, re.M)}
    assert count["bounced"] == 2 and count["deferred"] == 2
    assert count["delivered"] >= 4
    assert "b.example" in done and ".invalid" in done
    assert "a.example" not in done.replace("sender.example", "")
