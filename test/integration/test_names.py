"""Names of hosts by real name servers, with the resolv.conf of a mount name
space of its own: how long it takes beside smtp(8), and whom anybody speaks to.
With -s a table is shown."""
import os
import re
import socket
import struct
import subprocess
import threading

import pytest

from harness import messages
from harness.namespace import inside, outside, run_again
from harness.sidebyside import Pair
from harness.simulator import Simulator
from test_outcomes import DATA, PATIENT

A, AAAA = 1, 28
NET = f"127.83.{os.getpid() % 250 + 1}"      # nobody else's meanwhile
RIGHT, WRONG = "127.0.0.1", f"{NET}.9"
GOOD, DEAD = f"{NET}.1", f"{NET}.2"
NAME = "smtp.provider.test"


class NameServer(threading.Thread):
    """Answers A and nothing else, by UDP: {name or "*.parent": address}.
    mute: question types that get no answer."""

    def __init__(self, address, zone, mute=()):
        super().__init__(daemon=True)
        self.zone, self.mute, self.asked = zone, mute, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.1)
        self.over = False
        self.start()

    def run(self):
        while not self.over:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            labels, at = [], 12
            while packet[at]:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode())
                at += 1 + packet[at]
            kind = struct.unpack_from(">H", packet, at + 1)[0]
            name = ".".join(labels).lower()
            self.asked.append((name, kind))
            if kind not in self.mute:
                self.socket.sendto(self._answer(
                    packet[:2], packet[12:at + 5], name, kind), peer)

    def _find(self, name):
        while name:
            if name in self.zone:
                return self.zone[name]
            name = "*." + name.removeprefix("*.").partition(".")[2]
            if name == "*.":
                return None
        return None

    def _answer(self, number, question, name, kind):
        address = self._find(name)
        answer = b""
        if address and kind == A:
            answer = (b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 1, 4)
                      + socket.inet_aton(address))
        return (number + struct.pack(">HHHHH", 0x8180 if address else 0x8183,
                                     1, 1 if answer else 0, 0, 0)
                + question + answer)

    def destroy(self):
        self.over = True
        self.join()
        self.socket.close()


class Stranger(threading.Thread):
    """Where only a search list leads: counts what it is told."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.octets = self.connections = 0
        self.listener = socket.create_server((WRONG, port))
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with client:
                client.settimeout(5)
                try:
                    client.sendall(b"220 stranger\r\n")
                    self.octets += len(client.recv(4096))
                except OSError:
                    pass

    def destroy(self):
        self.listener.close()


OURS = {NAME: RIGHT}
TRAP = {NAME: RIGHT, "*.corp.test": WRONG}
CASES = {
    # resolv.conf behind the name servers, zone, mute, servers, status
    "plain": ("", OURS, (), (GOOD,), "sent"),
    "AAAA unanswered": ("options timeout:1 attempts:2", OURS, (AAAA,),
                        (GOOD,), "sent"),
    "first server dead": ("options timeout:1 attempts:2", OURS, (),
                          (DEAD, GOOD), "sent"),
    "search list": ("search corp.test", TRAP, (), (GOOD,), "sent"),
    "search, ndots:5": ("search corp.test\noptions ndots:5", TRAP, (),
                        (GOOD,), "sent"),
    "only the wildcard": ("search corp.test\noptions ndots:5",
                          {"*.corp.test": WRONG}, (), (GOOD,), "deferred"),
}


@outside
def test_names_beside_smtp(base):
    said = run_again(__file__, base, "-s", timeout=300)
    print("\n" + "\n".join(line for line in said.splitlines()
                           if line.startswith("| ")))


@inside
@pytest.mark.parametrize("case", CASES)
def test_one_way_of_names(base, certs, started, case):
    more, zone, mute, servers, status = CASES[case]
    with open("/etc/resolv.conf", "w", encoding="ascii") as f:
        f.write("".join(f"nameserver {s}\n" for s in servers) + more + "\n")
    good = NameServer(GOOD, zone, mute)
    dead = NameServer(DEAD, {}, mute=(A, AAAA))
    strangers = []

    def setup(side):
        host = f"[{NAME}]:{side.upstream.port}"
        strangers.append(Stranger(side.upstream.port))
        side.origin.set(
            relayhost=host, smtp_host_lookup="dns", inet_protocols="all",
            smtp_tls_security_level="encrypt",
            smtp_sasl_password_maps=side.origin.map(
                "relay_auth", {host: ":".join(side.upstream.login)},
                mode=0o600))
    try:
        pair = Pair(base, certs, started, setup=setup, main=PATIENT)
        pair.submit(DATA, ["one@rcpt.example"])
        pair.wait(r"/smtp\[.* status=", timeout_s=60)
        for side, stranger in zip(pair.sides, strangers):
            line = side.origin.log.lines(r"/smtp\[.* status=")[0]
            took = re.search(r"delays=[\d.]+/[\d.]+/([\d.]+)", line)[1]
            print(f"\n| {case} | {side.agent} | "
                  f"{re.search(r'status=(.*?) ', line)[1]} | {took} s | "
                  f"{stranger.octets} octets to another host |")
            assert f"status={status}" in line
            assert stranger.connections == 0
    finally:
        for one in (good, dead, *strangers):
            one.destroy()


@inside
def test_records_are_left_out(base, certs, started):
    """By smtp_dns_reply_filter, whose table is asked for the same text."""
    with open("/etc/resolv.conf", "w", encoding="ascii") as f:
        f.write(f"nameserver {GOOD}\n")
    good = NameServer(GOOD, OURS)

    def setup(side):
        side.origin.set(
            relayhost=f"[{NAME}]:{side.upstream.port}",
            smtp_host_lookup="dns", inet_protocols="ipv4",
            smtp_dns_reply_filter=side.origin.map("dns_filter", {
                rf"/^{re.escape(NAME)}\. [0-9]+ IN A 127\.0\.0\.1$/":
                "IGNORE"}, type="regexp"))
    try:
        pair = Pair(base, certs, started, setup=setup, main=PATIENT)
        pair.submit(DATA, ["one@rcpt.example"])
        pair.wait(r"/smtp\[.* status=", timeout_s=60)
        for side in pair.sides:
            assert side.origin.log.lines(
                f"ignoring DNS RR: {NAME}. 1 IN A 127.0.0.1$")
            line = side.origin.log.lines(r"/smtp\[.* status=")[0]
            assert ("dsn=4.7.0, status=deferred (Error looking up "
                    f"name={NAME} type=A: DNS reply filter drops all "
                    "results)") in line
    finally:
        good.destroy()


@inside
def test_login_asks_nobody_for_the_name_of_this_host(base, certs, origin,
                                                     started):
    """The SASL library would, at each login, and the whole lane would wait:
    this host is called "bare", which its hosts file does not have."""
    hosts = os.path.join(base, "hosts")
    with open(hosts, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o644)
        f.write("127.0.0.1 localhost\n")
    with open("/etc/resolv.conf", "w", encoding="ascii") as f:
        f.write(f"nameserver {GOOD}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    before = socket.gethostname()
    socket.sethostname("bare")
    good = NameServer(GOOD, {})
    try:
        upstream = started(Simulator(base, certs, mechs="PLAIN"))
        origin.agent("lane", "fast", "class=fast")
        origin.relay_to(upstream, transport="fast")
        started(origin)
        origin.inject([messages.make("one", "from@sender.example",
                                     ("one@rcpt.example",), b"hello\r\n")])
        origin.wait_empty()
        assert [e.login for e in upstream.ledger()] == [upstream.login[0]]
        assert socket.gethostname() == "bare"     # elsewhere it still is
        assert "bare" not in {name.rstrip(".") for name, _ in good.asked}
    finally:
        good.destroy()
        socket.sethostname(before)
        subprocess.run(["umount", "/etc/hosts"], check=True)
