"""A large backlog without the time it takes to inject one: queue files are
copies of one that Postfix's own cleanup(8) made."""
import os
import pwd
import socket

from . import messages
from .wait import wait_until

HOLD_HEADER = "X-Template"


def _template(origin, message):
    """Octets of the queue file of a message, which does not stay."""
    origin.inject([message])
    hold = os.path.join(origin.queue_directory, "hold")
    name = wait_until(lambda: os.listdir(hold), 20, "a held message")[0]
    path = os.path.join(hold, name)
    with open(path, "rb") as f:
        octets = f.read()
    os.unlink(path)
    return octets


class Backlog:
    """Messages PREFIX-000000... to DOMAIN. Make it before the instance
    starts, and add() to it when it runs."""

    def __init__(self, origin, domain, prefix="bulk", size=1000):
        self.origin, self.prefix = origin, prefix
        self.domain, self.size = domain, size
        self.count = 0
        self.octets = None
        checks = origin.map("template", {f"/^{HOLD_HEADER}:/": "HOLD"},
                            type="regexp")
        origin.set(header_checks=checks)

    def _id(self, number):
        return f"{self.prefix}-{number:06}"

    def prepare(self):
        """Has the copies' original made by the running instance."""
        ident = self._id(999999)
        body = (b"x" * 70 + b"\r\n") * (self.size // 72 + 1)
        self.octets = _template(self.origin, messages.make(
            ident, f"{ident}@sender.example", (f"{ident}@{self.domain}",),
            body, (f"{HOLD_HEADER}: yes",)))

    def add(self, count):
        """So many more into incoming/, and tells the queue manager."""
        queue = self.origin.queue_directory
        owner = pwd.getpwnam("postfix")
        draft = os.path.join(queue, "saved", "draft")
        for number in range(self.count, self.count + count):
            octets = self.octets.replace(self._id(999999).encode(),
                                         self._id(number).encode())
            with open(draft, "wb") as f:
                f.write(octets)
                os.fchown(f.fileno(), owner.pw_uid, owner.pw_gid)
                os.fchmod(f.fileno(), 0o700)
            # microseconds and inode, as Postfix makes short ones
            os.rename(draft, os.path.join(
                queue, "incoming", f"{number % 0x100000:05X}"
                f"{os.stat(draft).st_ino:X}"))
        self.count += count
        with socket.socket(socket.AF_UNIX) as trigger:
            trigger.connect(os.path.join(queue, "public/qmgr"))
            trigger.sendall(b"I")


def files_in(origin, name):
    """Messages in one of the queue's directories."""
    return sum(len(files) for _, _, files in os.walk(
        os.path.join(origin.queue_directory, name)))
