"""What `lane -R` says of a reply is what a lane does with it, at every stage.

Each reply is that of a provider of its own, which always answers so there, all
behind one lane.
"""
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass

import pytest

from harness import messages, paths
from harness.simulator import Simulator
from harness.wait import wait_until

REPLIES = ("421 4.3.2 not now", "450 4.3.0 not now", "454 4.7.0 not now",
           "501 5.5.4 bad parameter", "503 5.5.1 bad sequence",
           "526 5.7.0 no", "535 5.7.8 wrong", "550 5.1.0 never",
           "554 5.7.1 your account is suspended")
# of the simulator: the name that lane has for it
STAGES = {
    "dial": {"greeting": "connect", "ehlo": "ehlo", "starttls": "starttls",
             "auth": "auth"},
    "mail": {"mail": "mail", "rcpt": "rcpt", "data": "data", "eod": "eod",
             "rset": "rset"},
}
COUNT = 2               # a word about us needs a second sender, and domain


@dataclass
class Case:
    stage: str
    reply: str
    sim: Simulator
    said: str = ""

    @property
    def name(self):
        return f"{self.stage}-{self.reply[:3]}"

    def domains(self):
        return [f"{self.name}-{n}.example" for n in range(COUNT)]

    @property
    def host(self):
        return f"[127.0.0.1]:{self.sim.port}"

    def is_alarm(self):
        return re.search(r"^outcome +alarm", self.said, re.M) is not None

    def is_returned(self):
        return "returned to its sender" in self.said


def provider(stage, reply, base, certs):
    name = f"{stage}-{reply[:3]}"
    case = Case(stage, reply, Simulator(
        base, certs, name, login=(name, "secret"), no_chunking=stage == "data",
        script=f'{stage} reply "{reply}"\n'))
    case.sim.start()
    return case


def configure(origin, found):
    origin.agent("lane", "fast", "class=fast", {
        "lane_account_connection_limit": 2, "lane_wait_limit": "5s",
        "lane_connection_limit": 2 * len(found)})
    origin.set(
        transport_maps=origin.map(
            "transport", {domain: f"fast:{c.host}"
                          for c in found for domain in c.domains()}),
        smtp_tls_security_level="encrypt",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_security_options="noanonymous",
        smtp_sasl_password_maps=origin.map(
            "logins", {c.host: f"{c.name}:secret" for c in found}, mode=0o600),
        minimal_backoff_time="300s", maximal_backoff_time="300s")


def dry_run(origin, stage, reply):
    run = subprocess.run(
        [paths.built("lane"), "-R", stage, reply], check=False, text=True,
        env={**os.environ, "MAIL_CONFIG": origin.etc}, capture_output=True)
    assert not run.stderr, run.stderr
    return run.stdout


@pytest.mark.parametrize("group", STAGES)
def test_lane_does_what_the_dry_run_says(base, certs, origin, started, group):
    found = []
    try:
        for stage in STAGES[group]:
            for reply in REPLIES:
                found.append(provider(stage, reply, base, certs))
        configure(origin, found)
        started(origin)
        for case in found:
            case.said = dry_run(origin, STAGES[group][case.stage], case.reply)
        origin.inject([m for c in found for domain in c.domains()
                       for m in messages.generate(1, prefix=domain,
                                                  domain=domain)])
        status, alarmed = {}, set()

        def is_judged():
            for c in found:
                status[c.name] = Counter()
            for d in origin.log.deliveries("/smtp"):
                name = d.to.split("@")[1].rsplit("-", 1)[0]
                status[name][d.status] += 1
            alarmed.update(m[1] for m in (re.search(
                r"alarm: \w+: lane fast has stopped at (\S+) since", line)
                for line in origin.log.lines("alarm: ")) if m)
            return all(sum(n.values()) >= COUNT for n in status.values()) \
                and {c.host for c in found if c.is_alarm()} <= alarmed
        wait_until(is_judged, 90, lambda: [
            (c.name, dict(status[c.name]), c.host in alarmed) for c in found])
    finally:
        for case in found:
            case.sim.destroy()
    wrong = []
    for c in found:
        is_bounced = set(status[c.name]) == {"bounced"}
        print(f"{c.name:<13} alarm {c.host in alarmed}, "
              f"{dict(status[c.name])}")
        if (c.host in alarmed) != c.is_alarm() or \
                is_bounced != c.is_returned():
            wrong.append(f"{c.name}: alarm {c.host in alarmed}, "
                         f"{dict(status[c.name])}; lane -R:\n{c.said}")
    assert not wrong, "\n".join(wrong)
