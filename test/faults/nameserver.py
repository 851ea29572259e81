"""The name server of a site, which knows one host, and may be ill."""
import os
import socket
import struct
import threading
import time

from harness.wait import wait_until

SMARTHOST = "smtp.provider.test"
ADDRESS = "127.0.0.1"
A = 1
TTL_S = 1
SLOW_S = 1.5
HEADER = 12
TRUNCATED = 0x0200
# What it says, by mood: the flags of an answer without records.
FLAGS = {"servfail": 0x8182, "refused": 0x8185, "no such name": 0x8183,
         "no record": 0x8180, "truncated": 0x8180 | TRUNCATED}


class NameServer:
    """Answers for SMARTHOST at `conf`, a resolv.conf. mood: "well", "dead" (no
    answer at all), "slow", "garbage", "another's" (the answer to another
    question), or one of FLAGS. Nothing listens by TCP, where a truncated
    answer sends one."""

    def __init__(self, base):
        self.mood, self.asked, self.is_over = "well", 0, False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # nobody else's meanwhile: one network for each process, 64 in it
        for host in range(1, 65):
            address = f"127.84.{os.getpid() % 250 + 1}.{host}"
            try:
                self.socket.bind((address, 53))
                break
            except OSError:
                if host == 64:
                    raise
        self.socket.settimeout(0.1)
        self.conf = os.path.join(base, "resolv.conf")
        with open(self.conf, "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o644)
            f.write(f"nameserver {address}\noptions timeout:1 attempts:2\n")
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def destroy(self):
        self.is_over = True
        self.thread.join()
        self.socket.close()

    def wait_asked(self, before):
        wait_until(lambda: self.asked > before, 30, "somebody asks for a name")

    def _run(self):
        while not self.is_over:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            if len(packet) <= HEADER:
                continue
            self.asked += 1
            answer = self._answer(packet)
            if answer:
                self.socket.sendto(answer, peer)

    def _answer(self, packet):
        mood, number, question = self.mood, packet[:2], _question(packet)
        if mood == "dead":
            return b""
        if mood == "garbage":
            return number + os.urandom(len(packet))
        if mood in FLAGS:
            return number + struct.pack(">HHHHH", FLAGS[mood], 1, 0, 0, 0) \
                + question
        if mood == "slow":
            time.sleep(SLOW_S)
        if mood == "another's":
            question = b"\5other\4test\0" + question[-4:]
        return _record(number, question)


def _question(packet):
    at = HEADER
    while at < len(packet) and packet[at]:
        at += 1 + packet[at]
    return packet[HEADER:at + 5]


def _record(number, question):
    """The address, to who asked for one."""
    kind = struct.unpack(">H", question[-4:-2])[0]
    has_one = kind == A
    record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, TTL_S, 4) \
        + socket.inet_aton(ADDRESS)
    return (number + struct.pack(">HHHHH", 0x8180, 1, int(has_one), 0, 0)
            + question + (record if has_one else b""))
