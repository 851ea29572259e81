"""A server that talks without end, on one connection: what it costs the other
mail of the lane, and how it ends. POSTLANE_LONG=1 sends 50 MB of each; with
-s the greatest delay of another message is shown."""
import os
import re
import socket
import threading

import pytest

from harness import messages
from harness.simulator import Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
MB = 50 if LONG else 4
TLS_KINDS = {
    # what the simulator sends with keys, or records as they are before
    "keyupdate": "keyupdate", "keyupdate-asking": "keyupdate-asking",
    "ticket": "ticket", "hellorequest": "hellorequest tls12",
    "empty": "empty", "empty-tls12": "empty tls12",
    "warning": "warning", "warning-tls12": "warning tls12",
    "mixed": "mixed", "mixed-tls12": "mixed tls12",
    "empty-records": bytes.fromhex("1603030000") * 200,
    "warnings": bytes.fromhex("15030300020100") * 200,
}
LINES = {
    # said at this stage, and what
    "multi-line": ("greeting", b"220-" + b"x" * 500 + b"\r\n"),
    "ehlo": ("EHLO", b"250-X" + b"Y" * 500 + b"\r\n"),
    "empty-lines": ("EHLO", b"\r\n" * 256),
    "no-line-end": ("greeting", b"220 " + b"z" * 512),
    "replies": ("MAIL", b"250 2.0.0 unasked\r\n" * 32),
}


class Hostile(threading.Thread):
    """Speaks until `stage`, then sends one text for as long as it is taken.
    `sent`: octets of each connection."""

    def __init__(self, stage, text, limit, step=None):
        super().__init__(daemon=True)
        self.stage, self.text, self.limit, self.step = stage, text, limit, step
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.sent, self.over = [], threading.Event()
        self.begun = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                self._speak(client)
                self._flood(client)
            except OSError:
                pass

    def _speak(self, client):
        replies = {"EHLO": b"250-hostile\r\n250-STARTTLS\r\n"
                           b"250 PIPELINING\r\n"}
        if self.stage == "greeting":
            return
        client.sendall(b"220 hostile\r\n")
        lines = client.makefile("rb")
        for line in lines:
            verb = line[:4].decode("latin-1").upper()
            if verb == self.stage:
                if verb == "STAR":
                    client.sendall(b"220 2.0.0 go ahead\r\n")
                    client.recv(1)      # the client has begun
                return
            client.sendall(replies.get(verb, b"250 2.0.0 ok\r\n"))

    def _flood(self, client):
        self.sent.append(0)
        mine = len(self.sent) - 1
        while self.sent[mine] < self.limit and not self.over.is_set():
            part = self.text[:self.step] if self.step else self.text
            client.sendall(part)
            self.sent[mine] += len(part)
            if self.sent[mine] >= 2:
                self.begun.set()
            if self.step:
                self.over.wait(0.05)
        client.recv(1)      # until the other side has had enough

    def destroy(self):
        self.over.set()
        self.listener.close()


@pytest.fixture
def hostile():
    made = []

    def make(*args, **how):
        made.append(Hostile(*args, **how))
        return made[-1]
    yield make
    for one in made:
        one.destroy()


def start(base, certs, origin, started, port, level="none", **main):
    """Mail for bad.example goes to the port, the other to a simulator."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    origin.set(transport_maps=origin.map("transport", {
        "bad.example": f"fast:[127.0.0.1]:{port}"}),
        smtp_tls_policy_maps="inline:{ {[127.0.0.1]:%d = %s} }" % (port, level),
        minimal_backoff_time="300s", maximal_backoff_time="4000s",
        smtp_helo_timeout="3s", smtp_mail_timeout="3s",
        smtp_starttls_timeout="3s", **main)
    started(origin)
    return sim


def others_flow(origin, sim, is_over, least=5):
    """While the flood goes on, one message after the other comes to the other
    host; the greatest time that one took, in seconds."""
    count, worst = 0, 0.0
    while count < least or not is_over():
        origin.inject(messages.generate(1, prefix=f"good{count}"))
        count += 1
        sim.wait_taken(count)
    lines = origin.log.wait(r"to=<good.*status=sent", count=count)
    for line in lines:
        worst = max(worst, float(re.search(
            r"delays=[\d.]+/[\d.]+/[\d.]+/([\d.]+)", line)[1])
            + float(re.search(r"delays=[\d.]+/([\d.]+)", line)[1]))
    return count, worst


@pytest.mark.parametrize("kind", LINES if LONG else ["ehlo", "replies"])
def test_flood_of_lines_delays_no_other_mail(
        base, certs, origin, started, hostile, kind):
    stage, text = LINES[kind]
    server = hostile(stage, text, MB << 20)
    sim = start(base, certs, origin, started, server.port)
    origin.inject(messages.generate(1, prefix="bad", domain="bad.example"))
    assert server.begun.wait(30)
    count, worst = others_flow(origin, sim, lambda: origin.log.lines(
        r"to=<bad.*status=deferred"))
    assert max(server.sent) < server.limit
    print(f"\n{kind}: {max(server.sent) / 1e6:.1f} MB on one connection, "
          f"{count} others, the slowest {worst:.2f} s")
    assert not origin.log.lines(r"to=<bad.*status=(sent|bounced)")
    assert not origin.log.problems()


@pytest.mark.parametrize(
    "kind", TLS_KINDS if LONG else [
        "keyupdate", "hellorequest", "empty", "warning-tls12", "mixed"])
def test_flood_inside_tls_delays_no_other_mail(
        base, certs, origin, started, hostile, kind):
    """No octet of it is SMTP, so that SSL_read() has nothing to give."""
    what = TLS_KINDS[kind]
    if isinstance(what, bytes):
        server = hostile("STAR", what, MB << 20)
        sent, has_begun = lambda: max(server.sent, default=0), (
            lambda: server.begun.is_set())
    else:
        home = os.path.join(base, "flood")
        os.mkdir(home)
        word, *version = what.split()
        server = started(Simulator(
            home, certs, name="flood", login=None, tls12="tls12" in version,
            script=f"mail flood {word} {MB}M\n"))

        def sent():
            return server.stats()["flood_bytes"]

        def has_begun():
            return sent() > 0
    sim = start(base, certs, origin, started, server.port, level="encrypt")
    origin.inject(messages.generate(1, prefix="bad", domain="bad.example"))
    wait_until(has_begun, 30, "the flood has begun")
    count, worst = others_flow(origin, sim, lambda: origin.log.lines(
        r"to=<bad.*status=deferred"))
    ends = origin.log.lines(r"session=\w+ end=.*accepted=0")
    whys = {re.search(r'why="([^"]*)"', line)[1] for line in ends}
    print(f"\n{kind}: {sent() / 1e6:.1f} MB in all, {count} others, "
          f"the slowest {worst:.2f} s; {whys}")
    # they are records of this connection
    assert not any("mac" in why for why in whys), whys
    assert not origin.log.lines(r"to=<bad.*status=(sent|bounced)")
    assert not origin.log.problems()


def test_drip_of_single_octets_delays_no_other_mail(
        base, certs, origin, started, hostile):
    """Its time is up when that of the command is."""
    server = hostile("greeting", b"2", 1 << 20, step=1)
    sim = start(base, certs, origin, started, server.port)
    origin.inject(messages.generate(1, prefix="bad", domain="bad.example"))
    assert server.begun.wait(30)
    count, worst = others_flow(origin, sim, lambda: origin.log.lines(
        r"to=<bad.*status=deferred"))
    print(f"\ndrip: {count} others, the slowest {worst:.2f} s")
