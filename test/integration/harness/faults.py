"""Mail of which a part fails, each message at a stage that its addresses name,
upstreams that refuse it there, and the judgement of every verdict.

  m-17.mail5@sender.example      MAIL is refused with a 5xx reply
  m-18-r1.no4@rcpt.example       this recipient with a 4xx reply
"""
import os
import re
from dataclasses import dataclass, field

from . import messages
from .exim import Exim
from .messages import Taken
from .simulator import Simulator
from .upstream import PostfixSmarthost

SIZE_LIMIT = 120000
LARGE = 90000           # of more than one chunk
TOO_BIG = 140000
# bounce(8) dies of each such file, and master(8) logs each death, blocking.
# When many die at once while the log is busy, master waits for postlogd(8) to
# read, and postlogd(8) for master to read its status: for ever (seen with
# 3.7.11, twelve deaths a second). So about so many, spread over the storm.
CORRUPT_MAX = 30
# On a line of its own: spoil() makes the record unreadable
SPOILT = "here the queue file is unreadable"

# kind: what each recipient comes to, for one with its own refusal by its tag
KINDS = {
    "mail5": "5", "mail4": "4",
    "one5": "", "one4": "",
    "all5": "", "all4": "",
    "vain5": "",                # 354 though every recipient was refused
    "data5": "5", "data4": "4",
    "end5": "5", "end4": "4",
    "big": "big",
    "corrupt": "corrupt",
}
EXPECTED = {"": ("sent", r""), "5": ("bounced", r"fault\b"),
            "4": ("deferred", r"fault\b"),
            "big": ("bounced", r"exceeds size limit|size limit exceeded|"
                               r"maximum allowed|exceeds (fixed|message) "
                               r"(limit|size)"),
            "corrupt": ("bounced", r"unreadable mail queue entry")}


@dataclass
class Storm:
    sent: list                                  # messages.Message
    kinds: dict = field(default_factory=dict)   # id: kind, "" when healthy
    fates: dict = field(default_factory=dict)   # recipient: key of EXPECTED
    owners: dict = field(default_factory=dict)  # recipient: message

    def of_kind(self, kind):
        return [m for m in self.sent if self.kinds[m.id] == kind]

    def to_be_taken(self):
        """Messages with those of their recipients that are accepted."""
        taken = []
        for m in self.sent:
            good = tuple(r for r in m.recipients if not self.fates[r])
            if good:
                taken.append(messages.Message(m.id, m.sender, good, m.data,
                                              m.digest))
        return taken


def _recipients(rng, ident, kind):
    """[(address, key of EXPECTED)]"""
    tags = [""] * rng.randint(1, 3)
    if kind in ("one5", "one4"):
        tags.insert(rng.randrange(len(tags) + 1), kind[-1])
    elif kind in ("all5", "all4", "vain5"):
        tags = [kind[-1]] * len(tags)
    return [(f"{ident}-r{n}{'.no' + tag if tag else ''}@rcpt.example",
             tag or KINDS.get(kind, "")) for n, tag in enumerate(tags)]


def _body(rng, ident, kind):
    size = rng.randint(100, 3000)
    if kind == "big":
        size = TOO_BIG
    elif rng.random() < 0.02:
        size = LARGE
    lines, length = [], 0
    while length < size:
        dot = "." if rng.random() < 0.1 else ""
        lines.append(f"{dot}{ident} line {len(lines)} "
                     f"{rng.getrandbits(160):x}")
        length += len(lines[-1]) + 2
    if kind == "corrupt":
        lines.insert(rng.randrange(len(lines) + 1), SPOILT)
    return "\r\n".join(lines).encode() + b"\r\n"


def generate(count, rng, share=0.2, kinds=tuple(KINDS)):
    """`count` messages of which a `share` fails, in a random order; of
    unreadable ones there are about one in a hundred and CORRUPT_MAX at
    most."""
    storm = Storm([])
    few = min(CORRUPT_MAX, count / 100) * len(kinds) / (count * share)
    for n in range(count):
        ident = f"m-{n}"
        kind = rng.choice(kinds) if rng.random() < share else ""
        if kind == "corrupt" and rng.random() > few:
            kind = ""
        tag = f".{kind}" if kind else ""
        rcpts = _recipients(rng, ident, kind)
        m = messages.make(ident, f"{ident}{tag}@sender.example",
                          [r for r, _ in rcpts], _body(rng, ident, kind))
        storm.sent.append(m)
        storm.kinds[ident] = kind
        for address, fate in rcpts:
            storm.fates[address] = fate
            storm.owners[address] = m
    return storm


def _queue_files(origin, queue_name):
    for folder, _, names in os.walk(
            os.path.join(origin.queue_directory, queue_name)):
        for name in names:
            yield os.path.join(folder, name)


def spoil(origin, queue_name="deferred"):
    """Break the record that holds the line SPOILT; how many files had it."""
    found = 0
    for path in _queue_files(origin, queue_name):
        with open(path, "r+b") as f:
            at = f.read().find(SPOILT.encode())
            if at >= 0:
                f.seek(at - 2)          # type and length come before
                assert f.read(2) == b"N" + bytes([len(SPOILT)])
                f.seek(at - 2)
                f.write(b"\x01")
                found += 1
    return found


def judge(storm, deliveries, echoes):
    """What is wrong with the delivery lines. echoes: a refusal names the
    address that it is about."""
    wrong, seen = [], set()
    for d in deliveries:
        fate = storm.fates.get(d.to)
        if fate is None:
            wrong.append(("foreign", d))
            continue
        status, reason = EXPECTED[fate]
        own = (d.to, storm.owners[d.to].sender)
        if d.to in seen:
            wrong.append(("second verdict", d))
        elif d.status != status or not re.search(reason, d.reason):
            wrong.append((f"not {status}", d))
        elif echoes and fate in "45" and fate \
                and not any(f"<{a}>" in d.reason for a in own):
            wrong.append(("another's reply", d))
        seen.add(d.to)
    wrong += [("no verdict", r) for r in storm.fates if r not in seen]
    return wrong


# Upstreams that refuse what the addresses ask for

def _simulator_rules():
    rules = ["data if sender .vain5@ go-ahead"]
    for d, code in ("5", "550 5.7.1"), ("4", "451 4.3.0"):
        say = f'reply "{code} fault'
        rules += [f'mail if sender .mail{d}@ {say} at MAIL"',
                  f'rcpt if rcpt .no{d}@ {say} at RCPT"',
                  f'data if sender .data{d}@ {say} at DATA"',
                  f'bdat if sender .data{d}@ {say} at BDAT"',
                  f'eod if sender .end{d}@ {say} at the end"']
    return "\n".join(rules) + "\n"


class RefusingSimulator(Simulator):
    echoes = False

    def __init__(self, base, certs, chunking, personality, **options):
        super().__init__(base, certs, store=True, script=_simulator_rules(),
                         personality=personality, size=SIZE_LIMIT,
                         no_chunking=not chunking, **options)

    def wait_filed(self):
        pass


class RefusingPostfix(PostfixSmarthost):
    """With CHUNKING it does not announce SIZE: what is too big is then
    refused on the way."""
    echoes = True

    def __init__(self, base, certs, chunking):
        super().__init__(base, certs, chunking=chunking)
        self.set(
            smtpd_discard_ehlo_keywords="size" if chunking else "chunking",
            message_size_limit=str(SIZE_LIMIT),
            smtpd_delay_reject="no",
            smtpd_sender_restrictions=self._refuse("sender", "mail"),
            smtpd_recipient_restrictions=self._refuse("recipient", "no")
            + ", permit_sasl_authenticated, reject",
            smtpd_data_restrictions=self._refuse("sender", "data"),
            smtpd_end_of_data_restrictions=self._refuse("sender", "end"))

    def _refuse(self, whose, stage):
        table = self.map(f"refuse-{stage}", {
            rf"/\.{stage}5@/": f"550 5.7.1 fault {stage}",
            rf"/\.{stage}4@/": f"451 4.3.0 fault {stage}"}, type="regexp")
        return f"check_{whose}_access {table}"

    def wait_filed(self):
        self.wait_empty(600)


_EXIM_DATA = r"""
  deny  message = 550 5.7.1 fault <$sender_address>
        senders = *.{stage}5@*
  defer message = 451 4.3.0 fault <$sender_address>
        senders = *.{stage}4@*
"""
# Noted instead of filed, which takes a process for each message.
_EXIM_NOTE = r"""
  warn  logwrite = TAKEN|$h_X-Lane-Id:|$sender_address|$recipients|\
                   ${sha256:$message_body}
  discard
"""
_EXIM_RCPT = r"""
  deny  message = 550 5.1.1 fault <$local_part@$domain>
        local_parts = *.no5
  defer message = 451 4.3.0 fault <$local_part@$domain>
        local_parts = *.no4
"""


class RefusingExim(Exim):
    """With CHUNKING it has no stage DATA: it refuses at the end instead."""
    echoes = True

    def __init__(self, base, certs, chunking):
        home = os.path.join(base, "exim")
        acls = {
            "mail": _EXIM_DATA.format(stage="mail") + "  accept\n",
            "predata": _EXIM_DATA.format(stage="data") + "  accept\n",
            "data": _EXIM_DATA.format(stage="data")
            + _EXIM_DATA.format(stage="end") + _EXIM_NOTE,
        }
        super().__init__(
            base, certs, chunking=chunking, size_limit=str(SIZE_LIMIT),
            rcpt_acl=_EXIM_RCPT,
            main="message_body_newlines = true\n"
            f"message_body_visible = {SIZE_LIMIT}\n"
            + "".join(f"acl_smtp_{stage} = {home}/{stage}.acl\n"
                      for stage in acls))
        for stage, text in acls.items():
            with open(self.path(f"{stage}.acl"), "w",
                      encoding="ascii") as f:
                f.write(text)

    def wait_filed(self):
        pass

    def taken(self):
        taken = []
        for line in self.log().splitlines():
            _, found, rest = line.partition(" TAKEN|")
            if found:
                ident, sender, rcpts, digest = rest.split("|")
                taken.append(Taken(
                    ident, sender, tuple(re.split(r",\s*", rcpts)),
                    digest.lower()))
        return taken
