"""Messages that can be told apart, and the comparison of what was sent with
what an upstream took.

Every message carries X-Lane-Id and X-Lane-Digest (SHA-256 of its body), so
one that arrives can be judged by itself: is it whole, and did it come with
its own sender and recipients?
"""
import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    id: str
    sender: str
    recipients: tuple
    data: bytes         # header and body, CRLF line ends
    digest: str         # of the body, see body_digest()


@dataclass(frozen=True)
class Taken:
    """One acceptance by an upstream; recipients as it saw them."""
    id: str
    sender: str
    recipients: tuple
    digest: str         # "" where the upstream keeps no body
    intact: bool = True


@dataclass
class Verdict:
    """Counts are of (message, recipient) pairs."""
    expected: int = 0
    taken: int = 0
    lost: list = field(default_factory=list)
    duplicates: list = field(default_factory=list)
    mixed_up: list = field(default_factory=list)

    def is_clean(self):
        return not (self.lost or self.duplicates or self.mixed_up)

    def __str__(self):
        return (f"expected {self.expected}, taken {self.taken}, "
                f"lost {len(self.lost)}, duplicates {len(self.duplicates)}, "
                f"mixed up {len(self.mixed_up)}"
                + "".join(f"\n  {kind}: {items[:5]}" for kind, items in
                          (("lost", self.lost),
                           ("duplicates", self.duplicates),
                           ("mixed up", self.mixed_up)) if items))


def body_digest(body):
    """SHA-256 of a body: line ends LF, one final LF, whatever came in."""
    text = body.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    return hashlib.sha256(text).hexdigest()


def split(data):
    """Header block and body of a message with either kind of line end."""
    for gap in (b"\r\n\r\n", b"\n\n"):
        head, found, body = data.partition(gap)
        if found:
            return head, body
    return data, b""


def header(head, name):
    """Value of the first such header line, "" when there is none."""
    prefix = name.lower().encode() + b":"
    for line in head.splitlines():
        if line.lower().startswith(prefix):
            return line[len(prefix):].strip().decode()
    return ""


def examine(data, sender, recipients):
    """Taken for a stored message."""
    head, body = split(data)
    digest = body_digest(body)
    return Taken(header(head, "X-Lane-Id"), sender, tuple(recipients),
                 digest, digest == header(head, "X-Lane-Digest"))


def _body(rng, size):
    lines, length = [], 0
    while length < size:
        line = "".join(rng.choices("abcdefghij klmnop.", k=70))
        if rng.random() < 0.05:
            line = "." + line[1:]   # dots must survive
        lines.append(line)
        length += 72
    return "\r\n".join(lines).encode()[:size - 2] + b"\r\n"


def make(ident, sender, recipients, body, headers=()):
    """One message around a given body (bytes)."""
    digest = body_digest(body)
    head = [f"From: <{sender}>", f"To: <{recipients[0]}>",
            f"Subject: message {ident}",
            f"Message-Id: <{ident}@sender.example>",
            "Date: Thu, 01 Jan 2026 00:00:00 +0000",
            f"X-Lane-Id: {ident}", f"X-Lane-Digest: {digest}", *headers]
    data = "\r\n".join(head).encode() + b"\r\n\r\n" + body
    return Message(ident, sender, tuple(recipients), data, digest)


def generate(count, domain="rcpt.example", prefix="m", size=1000,
             recipients=1, sender_domain="sender.example", seed=1):
    """`count` messages with senders, recipients and bodies of their own.

    size in octets of body; recipients per message, or a function of the
    message's number that returns the recipient addresses.
    """
    rng = random.Random(f"{seed}{prefix}")
    made = []
    for n in range(count):
        ident = f"{prefix}-{n}"
        if callable(recipients):
            rcpts = tuple(recipients(n))
        else:
            rcpts = tuple(f"{ident}-r{r}@{domain}"
                          for r in range(recipients))
        made.append(make(ident, f"{ident}@{sender_domain}", rcpts,
                         _body(rng, size)))
    return made


def compare(sent, taken):
    """Verdict on what an upstream took of the messages sent to it.

    lost        no acceptance for that recipient of that message
    duplicates  each acceptance beyond the first
    mixed_up    foreign id, another message's sender or recipient, or a body
                that is not the one that belongs to the id
    """
    by_id = {m.id: m for m in sent}
    verdict = Verdict(expected=sum(len(m.recipients) for m in sent))
    seen = Counter()
    for t in taken:
        verdict.taken += len(t.recipients)
        m = by_id.get(t.id)
        if m is None or t.sender != m.sender or not t.intact \
                or (t.digest and t.digest != m.digest):
            verdict.mixed_up.append((t.id, t.sender, t.recipients))
            continue
        for rcpt in t.recipients:
            if rcpt in m.recipients:
                seen[t.id, rcpt] += 1
            else:
                verdict.mixed_up.append((t.id, t.sender, rcpt))
    for m in sent:
        for rcpt in m.recipients:
            times = seen[m.id, rcpt]
            if times == 0:
                verdict.lost.append((m.id, rcpt))
            elif times > 1:
                verdict.duplicates.extend([(m.id, rcpt)] * (times - 1))
    return verdict
