"""What the bench of foreign servers reads off the wire."""
import os
import socket
import struct
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "bench"))

import wire                                             # noqa: E402

MAIL = b"MAIL FROM:<a@x> SIZE=1\r\n"
RCPT = b"RCPT TO:<b@y>\r\n"
MANNERS = [
    (MAIL, {"LOCKSTEP": 1}),
    (b"RSET\r\n" + MAIL + RCPT + b"DATA\r\n", {"GROUP": 1}),
    (b"text\r\n.\r\n" + MAIL + RCPT + b"DATA\r\n", {"OVERLAP": 1}),
    (b".\r\nRSET\r\n" + MAIL + RCPT + b"DATA\r\n", {"OVERLAP": 1}),
    ((MAIL + RCPT + b"BDAT 6 LAST\r\ntext\r\nRSET\r\n") * 3, {"BDAT": 3}),
    (RCPT, {}), (b"a line of MAIL FROM: somebody\r\n", {}),
]


@pytest.mark.parametrize("segment, manners", MANNERS)
def test_a_message_is_told_by_what_comes_with_its_mail(segment, manners):
    assert wire.manners_of(segment) == manners


def serve(listener, answers):
    for answer in answers:
        peer, _ = listener.accept()
        peer.recv(4096)
        peer.sendall(answer)
        peer.close()


def test_connections_and_commands_of_one_port_are_seen():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = threading.Thread(
            target=serve, args=(listener, [b"250 one\r\n", b"250 two\r\n"]))
        server.start()
        with wire.Wire(port) as seen:
            for segment in (MAIL + RCPT, MAIL):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(segment)
                    assert client.recv(4096).startswith(b"250 ")
        server.join()
    assert seen.connections() == 2
    assert seen.manners() == {"GROUP": 1, "LOCKSTEP": 1}
    assert seen.span_s() > 0


def syn(client, port, sequence):
    """An IPv4 packet, as far as it is looked at."""
    tcp = struct.pack("!HHIIBBHHH", client, port, sequence, 0, 5 << 4, 0x02,
                      65535, 0, 0)
    return struct.pack("!BBH16s", 0x45, 0, 20 + len(tcp), b"") + tcp


def test_a_syn_sent_again_is_no_connection_more():
    """A server whose backlog is full drops them."""
    seen = wire.Wire(25)
    for client, sequence in ((4001, 7), (4002, 7), (4001, 7), (4001, 9)):
        seen._look(syn(client, 25, sequence))   # pylint: disable=W0212
    seen.socket.close()
    assert seen.connections() == 3
