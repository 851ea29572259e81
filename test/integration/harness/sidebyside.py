"""The same case with lane and with smtp(8), and what of their traces can be
compared: delivery lines, queue, bounce messages, upstream's ledger.

Both sides have instances of the same name, so that all that is left to
normalise are queue ids, process ids, ports and times.
"""
import os
import re
from dataclasses import dataclass

from .maillog import DELIVERY
from .paths import agents
from .postfix import Postfix
from .simulator import Simulator

_TIMES = re.compile(r" delay=[\d.e+-]+, delays=[\d.e+/-]+,")
_BOUNDARY = re.compile(r'boundary="([^"]+)"')
_DATE = re.compile(r"\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
                   r"( \(\w+\))?")


@dataclass
class Side:
    """One agent between its own origin and its own upstream."""
    agent: str
    origin: Postfix
    upstream: object

    def normal(self, text):
        """Without what differs from run to run."""
        o = self.origin
        ports = {str(o.port)}
        if self.upstream is not None:
            ports |= {str(self.upstream.port), str(self.upstream.tls_port)}
        for port in ports:
            text = re.sub(rf"\b{port}\b", "PORT", text)
        for name in sorted(self._queue_ids(), key=len, reverse=True):
            text = re.sub(rf"\b{name}\b", "QUEUEID", text)
        text = text.replace(os.path.dirname(o.home), "BASE")
        text = _TIMES.sub("", text)
        return _DATE.sub("DATE", text)

    def _queue_ids(self):
        text = self.origin.log.text()
        return set(re.findall(r"\]: (?:warning: )?([0-9A-F]{8,16}): ", text)) \
            | set(re.findall(r"status notification: ([0-9A-F]{8,16})", text))

    def lines(self, pattern=""):
        """Log lines of the agent, normalised, in sorted order: recipients
        of one message need not come to an end in the same order."""
        found = [l.text for l in self.origin.log.parsed()
                 if l.tag.endswith("/smtp")
                 and re.search(pattern, l.text)]
        return sorted(self.normal(text) for text in found)

    def delivery_lines(self):
        """Of every agent of the instance but virtual(8), in sorted order."""
        return sorted(self.normal(l.text) for l in self.origin.log.parsed()
                      if DELIVERY.match(l.text)
                      and not l.tag.endswith("/virtual"))

    def notes(self):
        """Log lines of the agent that are no delivery line."""
        return [l for l in self.lines() if not DELIVERY.match(
            l.replace("dsn=", "delay=0, delays=0/0/0/0, dsn="))]

    def mailq(self):
        """Recipients that are queued, with the reason postqueue -j shows."""
        return sorted((e["queue_name"], e["sender"], r["address"],
                       self.normal(r.get("delay_reason", "")))
                      for e in self.origin.queue() for r in e["recipients"])

    def mailbox(self):
        """Messages delivered here, normalised, in sorted order."""
        return sorted(self._normal_mail(m.decode("utf-8", "replace"))
                      for m in self.origin.mailbox())

    def _normal_mail(self, text):
        for found in _BOUNDARY.findall(text):
            text = text.replace(found, "BOUNDARY")
        return re.sub(r"Message-Id: <\d+\.", "Message-Id: <STAMP.",
                      self.normal(text))

    def ledger(self):
        """What the upstream took: envelope with parameters, content."""
        return sorted((e.sender, e.recipients, e.mail_parameters,
                       e.rcpt_parameters, e.size, self.normal(e.id))
                      for e in self.upstream.ledger())

    def commands(self):
        """Commands the upstream was given, normalised; it must keep a
        transcript. BDAT is left out, and DATA, of which there is one each."""
        text = self.upstream.transcript()
        return [self.normal(l) for l in re.findall(
            r"^\d+ C: (MAIL .*|RCPT .*)$", text, re.M)]


class Pair:
    """Pair(base, certs, started) makes two origins and two simulators.

    main        settings of both origins, by name
    services    [(command, name, fields)] more master.cf entries
    agent_options   -o of the transport
    upstream    options of Simulator
    """

    def __init__(self, base, certs, started, main=None, agent_options=None,
                 setup=None, relay=None, **upstream):
        self.sides = []
        for agent in agents():
            home = os.path.join(base, agent)
            os.mkdir(home)
            os.chmod(home, 0o755)
            sim = started(Simulator(home, certs, transcript=True,
                                    store=True, **upstream))
            origin = Postfix(home)
            origin.agent(agent, "fast", "class=fast", agent_options)
            origin.relay_to(sim, transport="fast", **(relay or {}))
            origin.set(**(main or {}))
            side = Side(agent, origin, sim)
            if setup:
                setup(side)
            started(origin)
            self.sides.append(side)

    def each(self, act):
        """Do something with both; the results."""
        return [act(side) for side in self.sides]

    def inject(self, sent, **how):
        for side in self.sides:
            side.origin.inject(sent, **how)

    def wait(self, pattern, count=1, **how):
        for side in self.sides:
            side.origin.log.wait(pattern, count=count, **how)

    def wait_empty(self, timeout_s=30):
        for side in self.sides:
            side.origin.wait_empty(timeout_s)

    def same(self, look):
        """look(side) gives the same for both; returns it."""
        one, *others = [look(side) for side in self.sides]
        for other in others:
            assert one == other, _difference(one, other)
        return one


class Both:
    """One origin with a transport for each agent, one simulator: mail for
    lane.example and smtp.example goes by the agent of that name, so that
    both deliver one and the same queue file."""

    def __init__(self, base, certs, started, main=None, **upstream):
        self.upstream = started(Simulator(base, certs, store=True,
                                          **upstream))
        self.origin = Postfix(base)
        routes = {}
        for agent in agents():
            self.origin.agent(agent, f"by-{agent}", "class=fast")
            routes[f"{agent}.example"] = f"by-{agent}:"
        self.origin.relay_to(self.upstream)
        # an empty nexthop in a transport map is the recipient's domain
        routes = {k: v + self.origin.main["relayhost"]
                  for k, v in routes.items()}
        self.origin.set(transport_maps=self.origin.map("transport", routes),
                        **(main or {}))
        started(self.origin)

    def took(self, domain):
        """Sorted (sender, MAIL, RCPT parameters, content) of one domain,
        whose name is left out."""
        found = []
        for e, content in zip(self.upstream.ledger(),
                              self.upstream.contents()):
            if e.recipients[0].endswith("@" + domain):
                parameters = [p.replace(domain, "DOMAIN")
                              for p in e.rcpt_parameters]
                found.append((e.sender, e.mail_parameters, parameters,
                              content))
        return sorted(found)


def _difference(one, other):
    def listed(value):
        if isinstance(value, str):
            return value.splitlines()
        return [str(v) for v in value]
    lines = ["lane and smtp(8) differ:"]
    lines += ["lane  " + l for l in listed(one) if l not in listed(other)]
    lines += ["smtp  " + l for l in listed(other) if l not in listed(one)]
    return "\n".join(lines)
