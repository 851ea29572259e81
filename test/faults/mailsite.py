"""One site of the fault matrix: a Postfix with lanes, a smarthost, and what is
true of each message.

Mail goes through it in rounds. A round is some messages, of which a few have a
recipient that the smarthost refuses, and something that goes wrong meanwhile;
it is over when nothing is left in the queue. Then each recipient is judged by
two ledgers that know nothing of each other: what the smarthost took, and what
the log says.
"""
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from harness import messages
from harness.fleet import PASSWORD, Engine, Link
from harness.load import wait_flushed
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.wait import wait_until

from nameserver import SMARTHOST, NameServer

FAST = "fast.example"       # the domain of the second lane, if there is one
CONNECTIONS = 6             # of the account
MAILS = 8                   # of a round, for each lane
REFUSED = 'rcpt if rcpt "no-*" reply "550 5.1.1 nobody here"\n'
PATIENCE_S = 90
MANNERS = {"bdat": {}, "overlap": {"no_chunking": True},
           "lockstep": {"no_chunking": True, "no_pipelining": True}}
TIMEOUTS = ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer",
            "data_done", "rset", "quit", "starttls")
MAIL_SIZE = 1000            # octets of a body
DOUBT = re.compile(r"sent more than once")
UNMARKED = re.compile(r"warning: (\w+): cannot mark .* more than once")


@dataclass
class Round:
    name: str
    sent: list                      # messages.Message
    refused: set                    # recipients
    kills: bool = False             # what was in hand may be sent again
    recovery_s: float = 0.0
    has_happened: bool = True       # what was to go wrong
    wrong: list = field(default_factory=list)
    doubles: int = 0                # in doubt


def site_name(manner, lanes, kind):
    return "-".join(filter(None, (manner, str(lanes), kind)))


class Site:
    """kind "": the smarthost by its address; "names": by its name, which a name
    server of the site's knows; "fleet": its account is shared, by an engine
    that answers behind a link."""

    def __init__(self, base, certs, manner, lanes, kind=""):
        self.name = site_name(manner, lanes, kind)
        self.manner, self.lanes = manner, lanes
        self.sim = Simulator(base, certs, name=f"sim-{self.name}",
                             script=REFUSED, max_connections=CONNECTIONS,
                             **MANNERS[manner])
        self.origin = Postfix(base, f"o-{self.name}")
        self.names = NameServer(base) if kind == "names" else None
        self.engine = self.link = None
        if kind == "fleet":
            self.engine = Engine(base, f"engine-{self.name}")
            self.link = Link(self.engine.port)
        self.rounds = 0
        self.sent, self.refused = {}, set()
        self.has_happened = True        # of the last deed
        self.mark = 0
        self.most_connections = 0       # at once

    # life

    def options(self, **more):
        return {"lane_account_connection_limit": CONNECTIONS,
                "lane_connection_limit": CONNECTIONS,
                "lane_pipeline_depth": 10, "lane_drain_limit": "6s",
                "lane_message_rate_limit": "none",
                "lane_adaptive": "no", "lane_alert_retry": "1s", **more}

    def fleet_settings(self):
        path = os.path.join(self.origin.etc, "fleet_password")
        with open(path, "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(PASSWORD + "\n")
        return {"lane_fleet": f"127.0.0.1:{self.link.port}",
                "lane_fleet_ttl": "10s", "lane_fleet_password_file": path}

    def give_password(self, password):
        """To the table of this name, for who starts next."""
        host = f"[{SMARTHOST if self.names else '127.0.0.1'}]:{self.sim.port}"
        return self.origin.map(
            "relay_auth", {host: f"{self.sim.login[0]}:{password}"},
            mode=0o600)

    def name_settings(self):
        """The same smarthost, by name."""
        host = f"[{SMARTHOST}]:{self.sim.port}"
        self.origin.lane_resolves_by(self.names.conf)
        return {"relayhost": host, "smtp_host_lookup": "dns",
                "smtp_sasl_password_maps":
                self.give_password(self.sim.login[1])}

    def start(self):
        self.sim.start()
        origin = self.origin
        around = {}
        if self.engine:
            self.engine.start()
            self.link.start()
            around = self.fleet_settings()
        names = ["slow", "fast"][:self.lanes]
        for name in names:
            origin.agent("lane", name, f"class={name}", self.options())
        windows = {f"{lane}_{name}": "50" for lane in names
                   for name in ("destination_concurrency_limit",
                                "initial_destination_concurrency")}
        if self.lanes == 2:
            windows["transport_maps"] = origin.map(
                "transport", {FAST: "fast:"})
        origin.relay_to(
            self.sim, transport="slow", service_throttle_time="1s",
            **{f"smtp_{name}_timeout": "2s" for name in TIMEOUTS},
            **windows, **around)
        if self.names:
            origin.set(**self.name_settings())
        origin.start()

    def destroy(self):
        self.origin.destroy()
        self.sim.destroy()
        for one in filter(None, (self.link, self.engine, self.names)):
            one.destroy()

    # mail

    def domains(self):
        return ["rcpt.example", FAST][:self.lanes]

    def inject(self, name, size=0):
        """The mail of one round; 0 octets: as always."""
        self.rounds += 1
        made, refused = [], []
        for n, domain in enumerate(self.domains()):
            prefix = f"r{self.rounds}d{n}"
            made += messages.generate(MAILS, domain, prefix,
                                      size or MAIL_SIZE,
                                      recipients=2 if n == 0 else 1)
            refused += messages.generate(1, domain, f"no-{prefix}")
        self.mark = self.origin.log.mark()
        done = Round(name, made + refused,
                     {r for m in refused for r in m.recipients})
        self.sent.update((m.id, m) for m in done.sent)
        self.refused |= done.refused
        self.origin.inject(done.sent, connections=2)
        return done

    def scripted(self):
        return self.sim.stats()["scripted"]

    def script(self, rules=""):
        self.sim.script(rules + REFUSED)

    def wait_hit(self, before, timeout_s=20):
        """A rule was used."""
        wait_until(lambda: self.scripted() > before, timeout_s,
                   "the smarthost comes to what is scripted")

    def settle(self, done):
        """All is well again from now on; how long until all mail has gone."""
        began = time.monotonic()
        wait_flushed(self.origin, lambda: self.origin.queue_count() == 0,
                     PATIENCE_S, lambda: self.what_is_left(done))
        self.origin.wait_empty()
        done.recovery_s = time.monotonic() - began

    def what_is_left(self, done):
        return (f"{done.name}: {self.origin.queue_count()} in the queue\n"
                + "\n".join(self.origin.log.text(self.mark)
                            .splitlines()[-25:]))

    # judgement

    def judge(self, done):
        """Fills in what is wrong, and what is doubled in doubt."""
        taken = Counter()
        for entry in self.sim.ledger():
            m = self.sent.get(entry.id)
            if m is None or m.sender != entry.sender \
                    or not set(entry.recipients) <= set(m.recipients):
                done.wrong.append(("mixed up", entry))
                continue
            taken.update(entry.recipients)
        lines = self.origin.log.deliveries("/smtp", since=self.mark)
        unmarked = set(UNMARKED.findall(self.origin.log.text(self.mark)))
        doubted = {d.to for d in lines if DOUBT.search(d.reason)
                   or d.queue_id in unmarked}
        told = {kind: {d.to for d in lines if d.status == kind}
                for kind in ("sent", "bounced")}
        for rcpt in (r for m in done.sent for r in m.recipients):
            self._judge_one(done, rcpt, taken[rcpt], told,
                            done.kills or rcpt in doubted)
        connections = self.sim.stats()["connections_max"]
        # of all rounds so far: each is told once
        if CONNECTIONS < connections != self.most_connections:
            done.wrong.append(("connections", connections))
        self.most_connections = connections

    def _judge_one(self, done, rcpt, times, told, may_double):
        if rcpt in done.refused:
            if times or rcpt in told["sent"]:
                done.wrong.append(("refused, and sent", rcpt))
            return
        if rcpt in told["bounced"]:
            done.wrong.append(("wrongly bounced", rcpt))
        if not times:
            done.wrong.append(("falsely sent" if rcpt in told["sent"]
                               else "lost", rcpt))
        if times > 1 and may_double:
            done.doubles += times - 1
        elif times > 1:
            done.wrong.append(("doubled without a doubt", rcpt))

    def evidence(self):
        return self.origin.log.text(self.mark)

    def state_directory(self):
        return os.path.join(self.origin.data_directory, "postlane")

    def state_files(self, kind=""):
        """Those whose names begin so; none before a lane was there."""
        folder = self.state_directory()
        if not os.path.isdir(folder):
            return []
        return [os.path.join(folder, name)
                for name in sorted(os.listdir(folder))
                if name.startswith(kind) and not name.startswith("ask.")]
