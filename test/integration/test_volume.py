"""Many messages over both lanes through a real Postfix smarthost with TLS and
AUTH. POSTLANE_LONG=1 takes 4,000; figures go to stdout."""
import os
import re
import time

from harness import messages

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 4000 if LONG else 400
LIMIT, PER_SESSION = 20, 50
SLOW_PER_S = 100


def most_at_once(smarthost):
    """Sessions open at the same time, by smtpd's log in its order."""
    now = most = 0
    for line in smarthost.log.lines(r"smtpd\[\d+\]: (dis)?connect from"):
        now += -1 if ": disconnect from" in line else 1
        most = max(most, now)
    return most


def count_of(word, smarthost):
    """Sum of one command's successes over smtpd's disconnect lines."""
    total = 0
    for line in smarthost.log.lines(r"smtpd\[\d+\]: disconnect from"):
        m = re.search(rf" {word}=(\d+)", line)
        total += int(m[1]) if m else 0
    return total


def test_both_lanes_through_a_real_smarthost(origin, smarthost, started):
    origin.agent("lane", "fast", "class=fast",
                 {"lane_connection_reserve": 4})
    origin.agent("lane", "slow", "class=slow",
                 {"lane_connection_limit": LIMIT,
                  "lane_message_rate_limit": f"{SLOW_PER_S}/1s"})
    windows = {f"{lane}_{name}": "400" for lane in ("fast", "slow")
               for name in ("destination_concurrency_limit",
                            "initial_destination_concurrency")}
    origin.relay_to(smarthost, transport="slow", transport_maps=origin.map(
        "transport", {"fast.example": "fast:"}), **windows)
    started(origin)
    local = messages.generate(5, "local.example", prefix="local")
    fast = messages.generate(COUNT // 2, "fast.example", "fast", 5000)
    slow = messages.generate(COUNT // 2, "slow.example", "slow", 5000)
    began = time.monotonic()
    origin.inject(local)
    origin.inject([m for pair in zip(fast, slow) for m in pair],
                  connections=8)
    origin.wait_empty(300)
    took = time.monotonic() - began
    origin.stop()               # every session is over: smtpd has counted
    smarthost.wait_empty(300)
    smarthost.log.wait(r"smtpd\[\d+\]: disconnect from", count=len(
        smarthost.log.lines(r"smtpd\[\d+\]: connect from")))

    verdict = messages.compare(fast + slow, smarthost.taken())
    statuses = origin.log.statuses("/smtp")
    sessions = smarthost.sessions()
    auths = count_of("auth", smarthost)
    print(f"\n{COUNT} messages in {took:.1f} s: {verdict}; {dict(statuses)}; "
          f"at most {most_at_once(smarthost)} sessions at once, "
          f"{len(sessions)} in all, at most {max(sessions)} messages in one, "
          f"AUTH {auths}")
    assert verdict.is_clean(), verdict
    assert statuses == {"sent": COUNT}
    assert most_at_once(smarthost) <= LIMIT
    assert max(sessions) <= PER_SESSION
    assert auths <= max(100, 2 * LIMIT)
    # local mail stays local
    assert len(origin.mailbox()) == len(local)
    assert len(origin.log.deliveries("/virtual", "sent")) == len(local)
    assert not origin.log.problems()
