"""The log of one instance: waiting for lines, and delivery lines as data."""
import re
import socket
from collections import Counter
from dataclasses import dataclass

from .wait import Stopwatch, wait_until

# Mmm dd hh:mm:ss host tag/program[pid]: text
LINE = re.compile(r"^\w{3} [ \d]\d [\d:]{8} \S+ (?P<tag>[^\s\[]+)"
                  r"\[(?P<pid>\d+)\]: (?P<text>.*)$")
DELIVERY = re.compile(
    r"^(?P<queue_id>\w+): to=<(?P<to>[^>]*)>,"
    r"(?: orig_to=<(?P<orig_to>[^>]*)>,)? relay=(?P<relay>[^,]+),"
    r"(?: conn_use=(?P<conn_use>\d+),)? delay=(?P<delay>[\d.e+-]+),"
    r" delays=(?P<delays>[\d.e+/-]+), dsn=(?P<dsn>\d\.\d+\.\d+),"
    # the log cuts a line after 2,000 octets
    r" status=(?P<status>\w+) \((?P<reason>.*?)\)?$")
ASK_AGAIN_S = 5
# What wait_written() puts there.
WRITTEN = re.compile(r"^written up to here: \d+\n", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    tag: str            # "postfix/smtp"
    pid: int
    text: str           # behind "tag[pid]: "


@dataclass(frozen=True)
class Delivery:
    """One per-recipient line of a delivery agent."""
    tag: str
    pid: int
    queue_id: str
    to: str
    relay: str
    conn_use: int
    delay: float
    delays: str
    dsn: str
    status: str         # sent, deferred, bounced, ...
    reason: str


class MailLog:
    """postlogd: the socket of postlogd(8), which may be behind: whoever asks
    for lines gets all that were logged before. Nothing is awaited where nobody
    listens there."""

    def __init__(self, path, postlogd=None):
        self.path = path
        self.postlogd = postlogd
        self.marks = 0

    def mark(self):
        """Position of the end now, for `since=`. Octets."""
        try:
            with open(self.path, "rb") as f:
                return f.seek(0, 2)
        except FileNotFoundError:
            return 0

    def text(self, since=0):
        self.wait_written()
        try:
            with open(self.path, "rb") as f:
                f.seek(since)
                text = f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return WRITTEN.sub("", text)

    def lines(self, pattern="", since=0):
        """Raw lines in which the regular expression is found."""
        found = re.compile(pattern)
        return [t for t in self.text(since).splitlines() if found.search(t)]

    def parsed(self, since=0):
        return [Line(m["tag"], int(m["pid"]), m["text"])
                for m in map(LINE.match, self.text(since).splitlines()) if m]

    def deliveries(self, tag="", status=None, since=0):
        """Delivery lines of agents whose tag ends in `tag`."""
        found = []
        for line in self.parsed(since):
            m = DELIVERY.match(line.text)
            if not m or not line.tag.endswith(tag) \
                    or status not in (None, m["status"]):
                continue
            found.append(Delivery(
                line.tag, line.pid, m["queue_id"], m["to"], m["relay"],
                int(m["conn_use"] or 1), float(m["delay"]), m["delays"],
                m["dsn"], m["status"], m["reason"]))
        return found

    def statuses(self, tag="", since=0):
        """How many recipients were sent, deferred, bounced."""
        return Counter(d.status for d in self.deliveries(tag, since=since))

    def wait(self, pattern, timeout_s=30, count=1, since=0):
        """Wait for `count` lines with the pattern; return those there are."""
        tail = _Tail(self.path, since, re.compile(pattern))
        return wait_until(
            lambda: tail.found if tail.read() >= count else None, timeout_s,
            lambda: f"{count} x /{pattern}/ in {self.path}, "
                    f"got {len(tail.found)}; end of log:\n"
                    + "\n".join(self.text(since).splitlines()[-15:]))

    def follow(self, pattern):
        """read() is the number of lines with it in `found` by then."""
        return _Tail(self.path, 0, re.compile(pattern))

    def wait_written(self, timeout_s=30):
        """Until all that was logged before is in the file."""
        self.marks += 1
        mark = f"written up to here: {self.marks}"
        tail = _Tail(self.path, self.mark(), re.compile(f"^{mark}$"))
        watch, asked = Stopwatch(), 0

        def written():
            nonlocal asked
            # once more: a postlogd that was killed may have had it
            if watch.seconds() >= asked:
                asked = watch.seconds() + ASK_AGAIN_S
                if not self._log(mark):
                    return True
            return tail.read()
        wait_until(written, timeout_s, f"the log is written to {self.path}")

    def _log(self, text):
        """False: there is nobody who would write it."""
        if self.postlogd is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(ASK_AGAIN_S)
            try:
                s.sendto(text.encode() + b"\n", self.postlogd)
            except OSError:
                return False
        return True

    def problems(self, since=0):
        """Lines that no healthy run has."""
        return self.lines(r"\]: (fatal|panic|error): |bad command startup|"
                          r"exit status [1-9]|killed by signal", since)


class _Tail:
    """Reads what was appended since the last look, whole lines only."""

    def __init__(self, path, offset, pattern):
        self.path, self.offset, self.pattern = path, offset, pattern
        self.found = []
        self.partial = b""

    def read(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.offset)
                data = f.read()
        except FileNotFoundError:
            data = b""
        self.offset += len(data)
        *whole, self.partial = (self.partial + data).split(b"\n")
        for line in whole:
            text = line.decode("utf-8", "replace")
            if self.pattern.search(text):
                self.found.append(text)
        return len(self.found)
