"""Parameters x messages x servers, by lane and by smtp(8): what goes out is
equal to the octet, and so are envelope, verdict in the log, and bounces.

One origin has a transport of lane and one of smtp(8) for each set of
parameters and each server, and every message goes by all of them, so that both
agents send one and the same queue file. A cell is a set, a message and a
server. POSTLANE_LONG=1 takes all 200 and more, else a few of each.

What differs, and why, is left out of the comparison in one place each:
- lane sends BDAT where CHUNKING is offered: contents are compared, not verbs;
- a bare CR is a blank in what lane sends (test_octets);
- how often a session was used, and how long it took, are each agent's own;
- a server's queue ids and dates, in its replies and in what it files, and what
  Postfix and Exim say of the chunks that lane sends.
"""
import base64
import os
import re
import subprocess

import dkim
import pytest

from harness import paths
from harness.exim import Exim
from harness.postfix import Postfix
from harness.sidebyside import submit
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER, PostfixSmarthost
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
AGENTS = ("lane", "smtp")

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")

HEAD = (b"From: \"Doe, John\" <john@in.example>\r\n"
        b"To: jane@in.example, r@rcpt.example\r\n"
        b"Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?= %s\r\n"
        b"Message-Id: <%s@in.example>\r\nX-Mailer: secret\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n")
FLOWED = (b"Content-Type: text/plain; charset=us-ascii; format=flowed\r\n\r\n"
          b"A line that goes on \r\n> quoted \r\n..dot\r\n.\r\n-- \r\nsig\r\n")
EIGHT = (b"Content-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: 8bit\r\n\r\n"
         + "grüße \u20ac ".encode() * 300 + b"\r\nend \r\n")
RAW_HEADER = b"X-Raw: gr\xfc\xdfe\r\n" + EIGHT
CHARSETS = b"Content-Type: multipart/alternative; boundary=\"b (1)\"\r\n\r\n" \
    + b"".join(
        b"--b (1)\r\nContent-Type: text/plain; charset=" + name.encode()
        + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + "käse".encode(name) + b"\r\n"
        for name in ("iso-8859-1", "utf-8", "windows-1252", "cp437")) \
    + b"--b (1)--\r\n"


def deep():
    """Twenty levels of multipart and a message in the innermost."""
    text = (b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n"
            b"From: inner@in.example\r\n" + EIGHT)
    for n in range(20):
        text = (b"Content-Type: multipart/mixed; boundary=b%d\r\n"
                b"Content-Transfer-Encoding: 8bit\r\n\r\n--b%d\r\n" % (n, n)
                + text + b"\r\n--b%d--\r\n" % n)
    return text


def long_headers():
    """100 kB of them, one of them alone 40 kB of addresses."""
    many = b",\r\n ".join(b"user%d@in.example" % n for n in range(1500))
    return (b"Cc: " + many + b"\r\n" + b"".join(
        b"X-Filler-%d: %s\r\n" % (n, b"f" * 900) for n in range(70))
        + b"X-One: " + b"w " * 2000 + b"\r\n\r\nbody\r\n")


def signed(key):
    data = HEAD % (b"signed", b"signed") + FLOWED
    return dkim.sign(data, b"test", b"in.example", key,
                     include_headers=[b"From", b"Subject", b"Date"],
                     canonicalize=(b"relaxed", b"simple")) + data


def plain(name, rest):
    return HEAD % (name, name) + rest


# What is sent: name, octets, what only few sets are tried with.
def messages_of(key):
    found = {
        "signed": signed(key),
        "eight": plain(b"eight", EIGHT),
        "headers": plain(b"headers", long_headers()),
        "refused": plain(b"refused", FLOWED),
    }
    if LONG:
        found.update({
            "flowed": plain(b"flowed", FLOWED),
            "deep": plain(b"deep", deep()),
            "raw": plain(b"raw", RAW_HEADER),
            "charsets": plain(b"charsets", CHARSETS),
            "big": plain(
                b"big", b"Content-Transfer-Encoding: base64\r\n\r\n"
                + base64.encodebytes(bytes(range(256)) * 30000).replace(
                    b"\n", b"\r\n"))})
    return found


GENERIC = "john@in.example john.doe@out.example\n@in.example @out.example\n"
CHECKS = """\
/^X-Mailer:/ IGNORE
/^Subject: (.*)/ REPLACE Subject: [site] $1
/^Date:/ PREPEND X-Checked: yes
/^Received:/ STRIP ours
"""
BODY = "/^A line/ REPLACE The line\n/^> quoted/ IGNORE\n"


def sets(home):
    """name: options of a transport."""
    def table(name, text, kind):
        path = os.path.join(home, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return f"{kind}:{path}"

    generic = {"smtp_generic_maps": table("generic", GENERIC, "texthash")}
    checks = {"smtp_header_checks": table("header", CHECKS, "regexp"),
              "smtp_mime_header_checks": table(
                  "mime", "/^Content-Type: text/ INFO\n", "regexp"),
              "smtp_nested_header_checks": table(
                  "nested", "/^Subject/ REPLACE Subject: hidden\n", "regexp"),
              "smtp_body_checks": table("body", BODY, "regexp")}
    found = {
        "plain": {},
        "both": {**generic, **checks},
    }
    if LONG:
        found.update({
            "generic": generic,
            "replies": {
                "smtp_reply_filter": table(
                    "replies", "/^550 5.1.1 (.*)/ 450 4.2.0 later: $1\n",
                    "regexp"),
                "smtp_delivery_status_filter": table(
                    "status", "/^4\\.2\\.0 (.*)/ 5.2.0 never: $1\n",
                    "regexp")},
            "keywords": {"smtp_discard_ehlo_keywords": "8bitmime, dsn, size"},
            "checks": checks,
            "folded": {"smtp_line_length_limit": "200"},
            "unfolded": {"smtp_line_length_limit": "0"},
            "unconverted": {"disable_mime_output_conversion": "yes",
                            **generic},
            "soft": {"soft_bounce": "yes"},
            "auth": {"smtp_send_dummy_mail_auth": "yes",
                     "smtp_helo_name": "other.example"}})
    return found


def servers(base, certs, started):
    script = 'rcpt if rcpt "refused" reply "550 5.1.1 no such user"\n'
    found = {
        "sim": Simulator(base, certs, "sim", store=True, script=script),
        "small": Simulator(base, certs, "small", store=True, script=script,
                           no_8bitmime=True, no_smtputf8=True,
                           no_chunking=True, no_dsn=True),
        "exim": Exim(base, certs)}
    if LONG:
        found["lockstep"] = Simulator(
            base, certs, "lockstep", store=True, script=script,
            no_pipelining=True, no_chunking=True, no_size=True)
        found["postfix"] = PostfixSmarthost(
            base, certs, "relay", smtpd_recipient_restrictions=(
                "check_recipient_access "
                "inline:{{refused@ = 550 5.1.1 no such user}}, "
                "permit_sasl_authenticated, reject"))
    for server in found.values():
        started(server)
    return found


def refused_at(server):
    """Whose name all refuse."""
    return "nosuchuser" if server == "exim" else "refused"


class Matrix:
    def __init__(self, base, certs, started):
        self.base = base
        os.chmod(base, 0o755)
        key = os.path.join(base, "key.pem")
        self.key = _make_key(key)
        self.messages = messages_of(self.key)
        self.sets = sets(base)
        self.servers = servers(base, certs, started)
        self.origin = Postfix(base)
        self._route()
        started(self.origin)
        self.cells = [(s, m, u) for s in self.sets for m in self.messages
                      for u in self.servers if self._is_tried(s, m, u)]
        self._submit()

    @staticmethod
    def _is_tried(name, message, server):
        """Ten megabytes and real servers cost time: not with every set."""
        if message == "big":
            return name in ("plain", "both") and server != "lockstep"
        if server in ("postfix", "exim"):
            return name in ("plain", "both", "replies")
        return True

    def _route(self):
        routes, logins = {}, {}
        for server, upstream in self.servers.items():
            settings = upstream.client_settings(self.origin)
            logins[settings["relayhost"]] = f"{USER}:{PASSWORD}"
            for name, options in self.sets.items():
                for agent in AGENTS:
                    service = f"{agent}-{name}-{server}"
                    self.origin.agent(agent, service, "class=fast", options)
                    routes[domain(agent, name, server)] = \
                        f"{service}:{settings['relayhost']}"
        self.origin.main.update(settings)
        self.origin.set(
            transport_maps=self.origin.map("transport", routes),
            smtp_sasl_password_maps=self.origin.map(
                "auth", logins, mode=0o600),
            local_header_rewrite_clients="", header_size_limit="200000",
            message_size_limit="30000000", smtpd_recipient_limit="1000",
            smtp_tls_secure_cert_match="smarthost.example, nexthop",
            relayhost="", minimal_backoff_time="1h",
            maximal_backoff_time="1h", queue_run_delay="1h")

    def _submit(self):
        for message, data in self.messages.items():
            to = [(recipient(a, s, m, u), ("NOTIFY=FAILURE",))
                  for s, m, u in self.cells if m == message for a in AGENTS]
            submit(self.origin.port, data, to, "john@in.example"
                   if message != "refused" else "from@sender.example",
                   ("BODY=8BITMIME",))
        ends = 2 * len(self.cells)
        wait_until(lambda: len({d.to for d in self.origin.log.deliveries()
                                if ".cell.example" in d.to}) >= ends,
                   900, f"{ends} outcomes")
        exim = self.servers.get("exim")
        filed_there = 2 * len([c for c in self.cells if c[1] != "refused"
                               and c[2] == "exim"])
        wait_until(lambda: exim is None or
                   len(exim.contents()) >= filed_there, 120,
                   lambda: f"{filed_there} messages filed by Exim, "
                   f"{len(exim.contents())} are: {exim.log()[-2000:]}")

    # what became of a cell

    def went_out(self, agent, cell):
        """Envelope and octets, at a simulator; what was filed elsewhere."""
        name, _, server = cell
        upstream = self.servers[server]
        where = "@" + domain(agent, name, server)
        if isinstance(upstream, Simulator):
            return sorted(
                (e.sender, e.mail_parameters.replace(where, "@HERE"),
                 [p.replace(where, "@HERE") for p in e.rcpt_parameters],
                 e.login, same_octets(content, where))
                for e, content in self._simulated(server)
                if e.recipients[0] == recipient(agent, *cell))
        return sorted(same_octets(filed(data), where)
                      for data in self._filed(server)
                      if recipient(agent, *cell).encode()
                      in data.partition(b"\n\n")[0])

    def _simulated(self, server):
        upstream = self.servers[server]
        cached = self.__dict__.setdefault("_ledgers", {})
        if server not in cached:
            cached[server] = list(zip(upstream.ledger(),
                                      upstream.contents()))
        return cached[server]

    def _filed(self, server):
        upstream = self.servers[server]
        cached = self.__dict__.setdefault("_files", {})
        if server not in cached:
            cached[server] = upstream.mailbox() if server == "postfix" \
                else upstream.contents()
        return cached[server]

    def verdict(self, agent, cell):
        """Fields of the line in the log."""
        [line] = {(d.dsn, d.status, normal(d.reason, agent, cell))
                  for d in self.origin.log.deliveries()
                  if d.to == recipient(agent, *cell)}
        return line

    def bounces(self, agent):
        """What the sender was told of the refused ones, without times and
        boundaries; one bounce names all, so by recipient."""
        found = {}
        for data in self.origin.mailbox():
            for part in re.split(r"\n\n", data.decode("utf-8", "replace")):
                for cell in self.cells:
                    address = recipient(agent, *cell)
                    if address in part and "Final-Recipient" in part:
                        found[cell] = normal(part, agent, cell)
        return found


def _make_key(path):
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", path,
                    "1024"], check=True, capture_output=True)
    with open(path, "rb") as f:
        return f.read()


def domain(agent, name, server):
    return f"{name}-{server}.{agent}.cell.example"


def recipient(agent, name, message, server):
    user = refused_at(server) if message == "refused" else message
    return f"{user}@{domain(agent, name, server)}"


def same_octets(content, where):
    """A bare CR is a blank to lane; addresses of the cell are its own."""
    return re.sub(rb"\r(?!\n)", b" ", content).replace(
        where.encode(), b"@HERE")


def filed(data):
    """Without what the server put on top and wrote into it."""
    return re.sub(rb"(?mi)\A(?:(?:Return-Path|X-Original-To|Delivered-To|"
                  rb"Received|Envelope-to|Delivery-date):.*\n(?:[ \t].*\n)*)+",
                  b"", data)


def normal(text, agent, cell):
    text = text.replace(domain(agent, cell[0], cell[2]), "HERE")
    text = re.sub(r"250- \d+ byte chunk, total \d+ (?=250 )", "", text)
    text = re.sub(r"(?:\d+ bytes )?queued as \S+|\bid[= ]\S+", "ID", text)
    text = re.sub(r":\d{4,5}\b", ":PORT", text)
    return re.sub(r"Arrival-Date: .*|Last-Attempt-Date: .*", "", text)


def test_the_matrix(base, certs, started):
    matrix = Matrix(base, certs, started)
    differ = []
    for cell in matrix.cells:
        for look in (matrix.went_out, matrix.verdict):
            lane, smtp = (look(agent, cell) for agent in AGENTS)
            if lane != smtp:
                differ.append((cell, look.__name__, short(lane),
                               short(smtp)))
        if cell[1] != "refused" and not matrix.went_out("smtp", cell):
            differ.append((cell, "nothing went out", "", ""))
    told = [{k: v.replace(k[0], "") for k, v in matrix.bounces(a).items()}
            for a in AGENTS]
    print(f"{len(matrix.cells)} cells, {len(told[0])} bounces")
    assert not differ, "\n".join(map(str, differ))
    assert told[0] == told[1]
    assert len(told[0]) > 3
    assert len(matrix.cells) >= (200 if LONG else 15)


def short(value):
    text = str(value)
    return text if len(text) < 700 else text[:350] + " ... " + text[-300:]
