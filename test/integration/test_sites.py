"""`smtp` becomes `lane` in one word of master.cf, and what goes out is equal:
envelope, octets, login and TLS, for main.cf as ten kinds of sites have it
(test/fixtures/sites)."""
import glob
import os
import re

import pytest

from harness import paths
from harness.postfix import Postfix
from harness.sidebyside import Side, submit
from harness.simulator import Simulator

SITES = os.path.join(paths.ROOT, "test/fixtures/sites")
HEAD = "From: <{0}>\r\nTo: <{1}>\r\nSubject: {2}\r\n" \
    "Message-Id: <{2}@sender.example>\r\nUser-Agent: site\r\n" \
    "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n{3}\r\n"
QUEUED_AS = re.compile(r"(Ok: )(?:\d+ bytes )?queued as \S+?\)")

# Which upstream got how many of the messages.
TAKEN = {"senders": (2, 1), "policies": (2, 1), "filter": (3, 0)}

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def mail():
    """(sender, recipients, octets): of a program, to two, with 8 bits."""
    for name, sender, to, more, body in (
            ("one", "ann", ["a@rcpt.example"], "", "plain\r\n..dot\r\n"),
            ("two", "bob", ["b@rcpt.example", "c@rcpt.example"],
             "X-Long: " + "w " * 300 + "\r\n", "x" * 900 + "\r\n\r\nend"),
            ("three", "from", ["d@strict.example"],
             "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Transfer-Encoding: 8bit\r\n", "gr\u00fc\u00dfe\r\n")):
        sender += "@sender.example"
        yield sender, to, (HEAD.format(sender, to[0], name, more)
                           + body).encode()


class Site(Side):
    """A site's main.cf between its clients and its two smarthosts."""

    def __init__(self, name, agent, base, certs, started):
        home = os.path.join(base, agent)
        os.mkdir(home)
        os.chmod(home, 0o755)
        self.upstreams = [started(Simulator(
            home, certs, name=f"relay{n}", store=True, login=None,
            require_auth=name in ("senders", "office365", "gmail", "two",
                                  "docker"))) for n in (1, 2)]
        super().__init__(agent, Postfix(home), self.upstreams[0])
        self.words = {
            "ETC": self.origin.etc, "CA": certs.ca.cert,
            "PORT": self.upstreams[0].port, "PORT2": self.upstreams[1].port,
            "TLSPORT": self.upstreams[0].tls_port,
            "DEAD": paths.free_port(), "FILTER": paths.free_port()}
        self.origin.service(agent, "smtp")
        self._take_back()
        self.hashed = re.findall(r"hash(:@ETC@/\w+)",
                                 read(f"{SITES}/{name}.cf"))
        for path in glob.glob(f"{SITES}/{name}.*"):
            self._install(path[len(SITES) + len(name) + 2:], read(path))
        started(self.origin)

    def _take_back(self):
        """What comes back from a content filter."""
        self.origin.service(
            "smtpd", f"127.0.0.1:{self.words['FILTER']}", "inet", private="n",
            options={"content_filter": "", "receive_override_options":
                     "no_unknown_recipient_checks,no_header_body_checks"})

    def _install(self, name, text):
        text = re.sub(r"@(\w+)@", lambda m: str(self.words[m[1]]), text)
        if name == "cf":
            self.origin.tail = "smtp_tls_loglevel = 1\n" + text
            self.origin.write()
            return
        path = os.path.join(self.origin.etc, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if f":@ETC@/{name}" in self.hashed:
            self.origin.command("postmap", "hash:" + path)

    def normal(self, text):
        for name, value in self.words.items():
            text = re.sub(rf"(?<![\w.]){re.escape(str(value))}\b", name, text)
        return QUEUED_AS.sub(r"\1queued as ID)", super().normal(text))

    def delivery_lines(self):
        """How often a connection was used is each agent's own affair."""
        return sorted(re.sub(r" conn_use=\d+,", "", line)
                      for line in super().delivery_lines())

    def submit(self):
        for sender, to, data in mail():
            submit(self.origin.port, data, [(r, ()) for r in to], sender)

    def wait_taken(self, counts):
        for upstream, count in zip(self.upstreams, counts):
            upstream.wait_taken(count)
        self.origin.wait_empty()

    def went_out(self):
        """Of each smarthost: envelope, parameters, login, octets."""
        return [(n, e.sender, sorted(zip(e.recipients, e.rcpt_parameters)),
                 re.sub(r"SIZE=\d+", "SIZE=N", e.mail_parameters), e.login,
                 self.normal(content.decode()))
                for n, upstream in enumerate(self.upstreams)
                for e, content in sorted(
                    zip(upstream.ledger(), upstream.contents()),
                    key=lambda pair: (pair[0].sender, pair[0].recipients,
                                      self.normal(pair[1].decode())))]

    def encryption(self):
        """How good, which protocol and cipher; a session that was resumed
        has no word about keys."""
        return sorted({line.split(" key-exchange")[0] for line in self.lines()
                       if "TLS connection established" in line})


def sites(name, base, certs, started):
    made = [Site(name, agent, base, certs, started)
            for agent in ("lane", "smtp")]
    for site in made:
        site.submit()
    return made


NAMES = sorted(os.path.basename(path)[:-3]
               for path in glob.glob(SITES + "/*.cf"))


def test_there_are_ten():
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_out_is_equal(base, certs, started, name):
    lane, smtp = sites(name, base, certs, started)
    for site in (lane, smtp):
        site.wait_taken(TAKEN.get(name, (3, 0)))
    assert lane.went_out() == smtp.went_out()
    assert lane.encryption() == smtp.encryption()
    assert lane.delivery_lines() == smtp.delivery_lines()
