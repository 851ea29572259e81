"""The same case with lane and with smtp(8), and what of their traces can be
compared: delivery lines, queue, bounce messages, upstream's ledger.

Both sides have instances of the same name, so that all that is left to
normalise are queue ids, process ids, ports and times.
"""
import os
import pwd
import re
import shutil
import smtplib
from dataclasses import dataclass

from .paths import ROOT, agents
from .postfix import MAIL_OWNER, Postfix
from .simulator import Simulator
from .wait import wait_until

QUEUE_FILES = os.path.join(ROOT, "test/fixtures/queue")

# What one of them says in addition: lane about its sessions and routes,
# smtp(8) the details of a corrupt queue file.
_OWN = re.compile(r"^session=\w+ |is reachable again"
                  r"|closes a session after \d+ messages"
                  r"|bad record type: \d+ in message content")
_SESSION = re.compile(r", session=\w{10}$", re.M)
# Which of several messages a server took first is no difference.
_TAKEN = re.compile(r"\bqueued as [0-9A-F]{8}\b")
_TIMES = re.compile(r" delay=[\d.e+-]+, delays=[\d.e+/-]+,")
_BOUNDARY = re.compile(r'boundary="([^"]+)"')
# Which name or date is wrong: smtp(8) does not say.
_CERTIFICATE = re.compile(
    r"(Server certificate not verified|hostname mismatch|"
    r"certificate has expired|certificate not yet valid): [^)\n]*")
_DATE = re.compile(r"\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
                   r"( \(\w+\))?")


@dataclass
class Side:
    """One agent between its own origin and its own upstream."""
    agent: str
    origin: Postfix
    upstream: object
    dead: str = "DEAD"      # a port where nobody listens

    def normal(self, text):
        """Without what differs from run to run."""
        o = self.origin
        ports = {str(o.port)}
        if self.upstream is not None:
            ports |= {str(self.upstream.port), str(self.upstream.tls_port)}
        for port in ports:
            text = re.sub(rf"\b{port}\b", "PORT", text)
        text = re.sub(rf"\b{self.dead}\b", "DEAD", text)
        for name in sorted(self._queue_ids(), key=len, reverse=True):
            text = re.sub(rf"\b{name}\b", "QUEUEID", text)
        text = text.replace(os.path.dirname(o.home), "BASE")
        text = _SESSION.sub("", text)
        text = _TAKEN.sub("queued as NUMBER", text)
        text = _TIMES.sub("", text)
        text = _CERTIFICATE.sub(r"\1", text)
        return _DATE.sub("DATE", text)

    def _queue_ids(self):
        """Long and short ones that the log mentions."""
        return set(re.findall(
            r"(?:\]: |warning: |notification: )"
            r"([0-9A-F]{8,16}|[0-9B-Zb-z]{15,20})(?:$|: )",
            self.origin.log.text(), re.M))

    def lines(self):
        """Log lines of the agent, normalised, in sorted order: recipients
        of one message need not come to an end in the same order."""
        found = [l.text for l in self.origin.log.parsed()
                 if l.tag.endswith("/smtp") and not _OWN.search(l.text)]
        return sorted(self.normal(text) for text in found)

    def delivery_lines(self):
        return [line for line in self.lines() if " status=" in line]

    def notes(self):
        """All other lines, each text once and without queue ids: lane says
        of a site, not of a message, what is wrong with it."""
        return {line.replace("QUEUEID: ", "") for line in self.lines()
                if " status=" not in line}

    def mailq(self):
        """Recipients that are queued, with the reason postqueue -j shows,
        once the queue manager is at rest: a message leaves its hands after
        the bounce that tells of it has come into them."""
        wait_until(lambda: not self.origin.queued("incoming", "active"), 20,
                   lambda: f"at rest: {self.origin.queue()}")
        return sorted((e["queue_name"], e["sender"], r["address"],
                       self.normal(r.get("delay_reason", "")))
                      for e in self.origin.queue() for r in e["recipients"])

    def mailbox(self):
        """Messages delivered here, normalised, in sorted order."""
        return sorted(self._normal_mail(m.decode("utf-8", "replace"))
                      for m in self.origin.mailbox())

    def _normal_mail(self, text):
        """Paragraphs in sorted order: bounce(8) is told of several
        recipients at once, and lists them as they come."""
        for found in _BOUNDARY.findall(text):
            text = text.replace(found, "BOUNDARY")
        return "\n\n".join(sorted(self.normal(text).split("\n\n")))

    def ledger(self):
        """What the upstream took: envelope with parameters, content."""
        return sorted((e.sender, e.recipients,
                       self.normal(re.sub(r"SIZE=\d+", "SIZE=N",
                                          e.mail_parameters)),
                       e.rcpt_parameters, e.id)
                      for e in self.upstream.ledger())


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
            sim = started(Simulator(home, certs, store=True, **upstream))
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

    def submit(self, data, recipients, sender="from@sender.example",
               options=()):
        """One message; recipients: addresses, or (address, RCPT options)."""
        recipients = [r if isinstance(r, tuple) else (r, ())
                      for r in recipients]
        for side in self.sides:
            submit(side.origin.port, data, recipients, sender, options)

    def wait(self, pattern, count=1, **how):
        for side in self.sides:
            side.origin.log.wait(pattern, count=count, **how)

    def wait_mailbox(self, count, timeout_s=30):
        for side in self.sides:
            wait_until(lambda: len(side.origin.mailbox()) >= count,
                       timeout_s, f"{count} messages in the mailbox")

    def wait_empty(self, timeout_s=30):
        for side in self.sides:
            side.origin.wait_empty(timeout_s)

    def same(self, look):
        """look(side) gives the same for both; returns it."""
        one, *others = [look(side) for side in self.sides]
        for other in others:
            assert one == other, _difference(one, other)
        return one


def place(origin, path, queue_id):
    """A captured file becomes mail that cleanup(8) has just queued."""
    owner = pwd.getpwnam(MAIL_OWNER)
    target = os.path.join(origin.queue_directory, "incoming", queue_id)
    shutil.copy(path, target + ".new")
    os.chown(target + ".new", owner.pw_uid, owner.pw_gid)
    os.chmod(target + ".new", 0o700)
    os.rename(target + ".new", target)


def submit(port, data, recipients, sender, options=()):
    """By SMTP; an answer but 250 is an error that shows it."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example",
                      timeout=300) as client:
        client.ehlo()
        if any(ord(c) > 127 for c in sender + "".join(
                r for r, _ in recipients)):
            client.command_encoding = "utf-8"
        replies = [client.mail(sender, list(options))]
        replies += [client.rcpt(r, list(o)) for r, o in recipients]
        replies.append(client.data(data))
        assert all(code == 250 for code, _ in replies), replies


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
        return [line for v in value for line in str(v).splitlines()]
    lines = ["lane and smtp(8) differ:"]
    lines += ["lane  " + l for l in listed(one) if l not in listed(other)]
    lines += ["smtp  " + l for l in listed(other) if l not in listed(one)]
    return "\n".join(lines)
