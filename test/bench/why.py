#!/usr/bin/python3
"""What postlane why answers to waits of every kind, with real Postfix, and how
long an answer takes: README.md, "Why".

  CASES='rate slot'  these alone
  BASE=folder        where the instances live
"""
import json
import os
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import messages                            # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import Simulator                 # noqa: E402
from harness.wait import Timeout, wait_until            # noqa: E402

from home import bench_home                             # noqa: E402

ONE = {"lane_connection_limit": "1", "lane_pipeline_depth": "1"}
SLOWLY = {"latency": "8000"}


@dataclass
class Case:
    """What brings it about, and the words that are the right answer: of a
    message that waits for `waits` in a lane, or that is in the queue `where`."""
    name: str
    right: str
    waits: str = ""
    where: str = ""
    options: dict = field(default_factory=dict)
    script: str = ""
    sim: dict = field(default_factory=dict)
    order: tuple = ()
    is_down: bool = False
    count: int = 6
    is_held: bool = False
    lanes: tuple = ("fast",)


CASES = (
    Case("rate", "lane_message_rate_limit = 1/100s:1", "rate",
         options={"lane_message_rate_limit": "1/100s:1"}),
    Case("rate of the account", "lane_account_message_rate_limit", "rate",
         options={"lane_account_message_rate_limit": "1/100s:1"}),
    Case("recipient domain", "lane_domain_rate_limits", "domain",
         options={"lane_domain_rate_limits": "rcpt.example=1/100s"}),
    Case("connection limit", "lane_connection_limit = 1", "connection-limit",
         options=ONE, sim=SLOWLY),
    Case("slot of the account", "lane slow holds 1", "slot",
         options={**ONE, "lane_account_connection_limit": "1"}, sim=SLOWLY,
         lanes=("fast", "slow")),
    Case("connection", "connection", "connection",
         sim={"greeting_delay": "20000"}),
    Case("operator", "paused by root", "operator",
         order=("pause", "fast", "--for", "4m")),
    Case("operator's rate", "postlane rate 1/100s", "rate",
         order=("rate", "fast", "1/100s")),
    Case("pause of the provider", "pause", "pause",
         script='mail reply "450 4.7.1 Try again in 300 seconds"\n'),
    Case("learned pace", "pace", "pace", count=60,
         sim={"rate": "1/10s:1"}),
    Case("on the wire", "state      on the wire", options=ONE, sim=SLOWLY,
         where="wire"),
    Case("host that is not there", "Connection refused", where="deferred",
         is_down=True),
    Case("refused for now", "450 4.2.0 mailbox is full", where="deferred",
         script='rcpt reply "450 4.2.0 mailbox is full"\n'),
    Case("quota", "is used up", where="deferred",
         options={"lane_message_rate_limit": "1/1d!"}),
    Case("on hold", "on hold", where="hold", is_held=True),
    Case("not there", "not in the queue", where="nowhere"),
)


class Site:
    def __init__(self, base, certs, case):
        self.case = case
        self.sim = Simulator(base, certs, name="sim", script=case.script,
                             sync=False, **case.sim).start()
        self.postfix = Postfix(base, "mail")
        for name in case.lanes:
            self.postfix.agent("lane", name, f"class={name}", case.options)
        self.postfix.relay_to(self.sim, transport="fast")
        self.postfix.set(minimal_backoff_time="600s", queue_run_delay="600s")
        if len(case.lanes) > 1:
            self.postfix.set(transport_maps=self.postfix.map(
                "transport", {"other.example": "slow:"}))
        if case.is_down:
            self.sim.stop()
        self.postfix.start()
        if case.is_held:
            self.postfix.set(reload=True, smtpd_recipient_restrictions=(
                "check_recipient_access static:hold, permit_mynetworks"))

    def send(self):
        if self.case.order:
            # the lane is there
            self.postfix.inject(messages.generate(1, prefix="first"))
            self.sim.wait_taken(1)
            self.postfix.postlane(*self.case.order)
        if len(self.case.lanes) > 1:
            self.postfix.inject(messages.generate(
                2, prefix="o", recipients=lambda n: [f"o{n}@other.example"]))
            wait_until(lambda: self.postfix.lane("slow")["sessions"], 30,
                       "the other lane has the slot")
        self.postfix.inject(messages.generate(self.case.count))

    def is_it(self, answer):
        case = self.case
        if case.waits:
            return any(p["state"] == "waiting" and p["waits"] == case.waits
                       for p in answer.get("parts", ()))
        if case.where == "wire":
            return any(p["state"] == "on the wire"
                       for p in answer.get("parts", ()))
        return answer["where"] == case.where

    def found(self):
        """A message of that kind: its queue ID."""
        if self.case.where == "nowhere":
            return "4ABCDEFGHIJKLMN"
        for entry in self.postfix.queue():
            said = self.postfix.postlane("-j", "why", entry["queue_id"])
            if said.stdout and self.is_it(json.loads(said.stdout)):
                return entry["queue_id"]
        return None

    def stop(self):
        self.postfix.destroy()
        self.sim.destroy()


def ask(base, certs, case):
    """Whether the answer is the right one."""
    site = Site(base, certs, case)
    try:
        site.send()
        try:
            queue_id = wait_until(site.found, 60, case.name)
        except Timeout:
            print(f"{case.name:24} no message waits so")
            return False
        began = time.monotonic()
        said = site.postfix.postlane("why", queue_id).stdout
        took_ms = (time.monotonic() - began) * 1000
        is_right = case.right in said
        print(f"{case.name:24} {'right' if is_right else 'WRONG'} "
              f"{took_ms:6.0f} ms")
        for line in said.splitlines():
            print("    " + line)
        return is_right
    finally:
        site.stop()


def main():
    wanted = os.environ.get("CASES", "").split()
    cases = [c for c in CASES if not wanted or c.name.split()[0] in wanted]
    right = 0
    with bench_home("whys", measures=False) as base:
        certs = Certs(os.path.join(base, "certs"))
        for number, case in enumerate(cases):
            place = os.path.join(base, str(number))
            os.mkdir(place)
            os.chmod(place, 0o755)
            right += ask(place, certs, case)
            sys.stdout.flush()
    print(f"{right} of {len(cases)} right")
    return 0 if right == len(cases) else 1


sys.exit(main())
