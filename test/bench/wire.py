"""What goes over the wire to one loopback port, watched from outside, so that
it is counted alike for every agent and server.

  with Wire(port) as wire: ...
  wire.connections()     SYNs seen, without those sent again
  wire.span_s()          first SYN to the last reply that was a 250
  wire.manners()         Counter of messages by the manner of talking:

  BDAT       MAIL, RCPT and BDAT in one go
  OVERLAP    MAIL in one go with the end of the message before
  GROUP      MAIL and RCPT in one go
  LOCKSTEP   MAIL alone

"In one go" means in one segment: loopback carries up to 64 kB in each. Needs
root and talk in the clear.
"""
import ctypes
import re
import select
import socket
import struct
import threading
import time
from collections import Counter

ETH_P_IP = 0x0800
PACKET_HOST = 0         # each packet of lo is seen twice: leaving, arriving
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 64 << 20
SEGMENT_MAX = 1 << 17
SEQUENCES = 1 << 32


def _filter(port):
    """Classic BPF: IPv4, TCP, from or to the port."""
    code = [
        (0x30, 0, 0, 14 + 9),           # protocol
        (0x15, 0, 6, socket.IPPROTO_TCP),
        (0xb1, 0, 0, 14),               # x = length of the IP header
        (0x48, 0, 0, 14),               # source port
        (0x15, 2, 0, port),
        (0x48, 0, 0, 16),               # destination port
        (0x15, 0, 1, port),
        (0x06, 0, 0, SEGMENT_MAX),
        (0x06, 0, 0, 0),
    ]
    blob = b"".join(struct.pack("HBBI", *op) for op in code)
    return ctypes.create_string_buffer(blob), len(code)


def manners_of(segment):
    """Counter of the messages that begin in one segment."""
    found = Counter()
    for m in re.finditer(rb"(?:^|\n)MAIL FROM:", segment):
        rest = segment[m.end():]
        after = rest[:re.search(rb"\nMAIL FROM:|\Z", rest).start()]
        if b"\nBDAT " in after:
            found["BDAT"] += 1
        elif re.search(rb"(?:^|\n)\.\r\n", segment[:m.start() + 1]):
            found["OVERLAP"] += 1
        elif b"\nRCPT TO:" in after:
            found["GROUP"] += 1
        else:
            found["LOCKSTEP"] += 1
    return found


class Wire:
    def __init__(self, port):
        self.port = port
        self.syns = set()       # (client port, sequence number)
        self.first = self.last = None
        self.seen = Counter()
        self.read_to = {}       # by client port: sequence number
        self.done = threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                    socket.htons(ETH_P_IP))
        blob, length = _filter(port)
        self.socket.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER,
            struct.pack("HL", length, ctypes.addressof(blob)))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE,
                               RECEIVE_BUFFER)
        self.socket.bind(("lo", ETH_P_IP))
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.socket.close()

    def _watch(self):
        """Until told to stop and nothing is left."""
        while True:
            if select.select([self.socket], [], [], 0.05)[0]:
                packet, address = self.socket.recvfrom(SEGMENT_MAX)
                if address[2] == PACKET_HOST:
                    self._look(packet[14:])
            elif self.done.is_set():
                return

    def _look(self, ip):
        tcp = ip[(ip[0] & 15) * 4:struct.unpack("!H", ip[2:4])[0] or None]
        to, = struct.unpack("!H", tcp[2:4])
        payload = tcp[(tcp[12] >> 4) * 4:]
        if to != self.port:
            if payload.startswith(b"250"):
                self.last = time.monotonic()
        elif tcp[13] & 0x12 == 0x02:
            client, _, sequence = struct.unpack("!HHI", tcp[:8])
            self.syns.add((client, sequence))
            self.read_to.pop(client, None)
            self.first = self.first or time.monotonic()
        elif payload:
            self._take(tcp, payload)

    def _take(self, tcp, payload):
        """Not what is sent again because its ACK is late."""
        client, _, sequence = struct.unpack("!HHI", tcp[:8])
        end = (sequence + len(payload)) % SEQUENCES
        before = self.read_to.get(client)
        if before is None or 0 < (end - before) % SEQUENCES < SEQUENCES // 2:
            self.read_to[client] = end
            self.seen += manners_of(payload)

    def connections(self):
        return len(self.syns)

    def span_s(self):
        return self.last - self.first

    def manners(self):
        return self.seen
