"""A milter that edits every message: what queue files with pointer records
are made by. Speaks as much of the protocol as smtpd(8) needs here."""
import socket
import struct
import threading

_ADD_HEADERS, _CHANGE_BODY, _CHANGE_HEADERS = 0x01, 0x02, 0x10


class Milter:
    """with Milter() as m: ... m.port"""

    BODY = b"new body\r\n.with a dot\r\n" + b"n" * 2500 + b"\r\n"

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        with client, client.makefile("rwb") as stream:
            while True:
                head = stream.read(4)
                if len(head) < 4:
                    return
                packet = stream.read(struct.unpack("!I", head)[0])
                self._on_packet(stream, packet[:1])
                stream.flush()

    def _on_packet(self, stream, command):
        def say(kind, data=b""):
            stream.write(struct.pack("!I", len(data) + 1) + kind + data)
        if command == b"O":
            say(b"O", struct.pack("!III", 6, _ADD_HEADERS | _CHANGE_BODY
                                  | _CHANGE_HEADERS, 0))
        elif command == b"E":
            say(b"i", struct.pack("!I", 0) + b"X-First\0one\0")
            say(b"m", struct.pack("!I", 1) + b"X-Old\0changed\0")
            say(b"m", struct.pack("!I", 1) + b"X-Gone\0\0")
            say(b"h", b"X-Last\0" + b"z" * 1500 + b"\0")
            say(b"b", self.BODY)
            say(b"a")
        elif command not in b"DAQ":
            say(b"c")
