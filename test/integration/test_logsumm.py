"""pflogsumm(1) makes the same totals of lane's log as of smtp(8)'s.
POSTLANE_LONG=1 takes 1,000 messages."""
import os
import re
import subprocess

from harness import messages
from harness.sidebyside import Pair
from harness.wait import wait_until

COUNT = 1000 if os.environ.get("POSTLANE_LONG") else 200
SCRIPT = '''
rcpt if rcpt "refuse" reply "550 5.1.1 no such user"
rcpt if rcpt "later" reply "450 4.2.0 try later"
eod if sender "m-1*7@" reply "554 5.7.1 no spam here"
'''


def recipients(number):
    """One to three; one in seven refused, one in eleven deferred."""
    found = []
    for n in range(1 + number % 3):
        kind = "refuse" if (number + n) % 7 == 0 else \
            "later" if (number + n) % 11 == 0 else "fine"
        found.append(f"{kind}-{number}-{n}@d{number % 5}.example")
    return found


def totals(side):
    """Grand totals and the sections by domain and by reason, without what
    depends on how long it took."""
    done = subprocess.run(
        ["pflogsumm", "--detail", "20", "--problems_first",
         "--no_no_msg_size", side.origin.log.path],
        capture_output=True, text=True, check=True)
    found, keeps = [], False
    for line in done.stdout.splitlines():
        if line and not line[0].isspace() and line[0] != "-":
            keeps = not re.match("Per-Hour|Per-Day|Warnings", line)
        if keeps:
            # columns: sent, bytes, defers, average and largest delay
            line = re.sub(r"(\d+) +[\d.]+ [smhd] +[\d.]+ [smhd] ", r"\1 ",
                          line)
            found.append(side.normal(line).strip())
    assert "Grand Totals" in found
    return found


def test_totals_of_mixed_deliveries(base, certs, started):
    pair = Pair(base, certs, started, script=SCRIPT, main={
        "minimal_backoff_time": "600s", "maximal_backoff_time": "600s",
        "queue_run_delay": "600s"})
    sent = messages.generate(COUNT, recipients=recipients, size=500)
    expected = sum(len(m.recipients) for m in sent)
    pair.inject(sent)
    pair.wait(r"postfix/smtp\[.* status=", expected, timeout_s=60)
    bounced = len({m.id for m in sent for r in m.recipients if "refuse" in r})
    for side in pair.sides:
        # one bounce message per sender, and its own delivery
        side.origin.log.wait(r"sender non-delivery notification",
                             count=bounced)
        wait_until(lambda: not side.origin.queued("incoming", "active"), 60,
                   "at rest")
    found = pair.same(totals)
    counts = {m[2]: int(m[1]) for m in (
        re.match(r"(\d+)k? +(received|delivered|deferred|bounced)\b", line)
        for line in found) if m}
    assert counts["received"] == COUNT
    assert counts["deferred"] and counts["bounced"] and counts["delivered"]
