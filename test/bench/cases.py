"""What is measured: groups (size, round trip, sessions) and, in each, the
variants that take turns. Pure values; nothing here starts anything.

The bound of a variant is what the link alone allows. Each session repeats

  dial          connect, greeting, EHLO, STARTTLS, TLS, EHLO, AUTH: 7 RTT
  window time   PER_SESSION messages: with CHUNKING a window's worth per RTT
                (depth, or what fits into lane_pipeline_bytes); with DATA one
                RTT per message and one to open; smtp(8) RSET (not before the
                first), MAIL..DATA, content: 3 RTT
  QUIT          rides in the last group: no RTT of its own

so at most sessions x PER_SESSION / ((dial + window) x RTT) messages/s. With TLS
before SMTP the dial is connect, TLS, greeting, EHLO, AUTH: 5 RTT. lane saves the
round trip of AUTH (lane_pipeline_auth) where a login was accepted before: cold,
which the first sessions of each drain are, it dials like smtp(8), warm in 6 and
4 RTT. Over an honest
link a session also sends no more in one RTT than its TCP window, which begins
with ten segments and doubles; that of smtp(8)'s one message is not used up.
"""
from dataclasses import dataclass

PER_SESSION = 50
DIAL_RTT = 7
DIAL_WRAPPED_RTT = 5
LED_RTT = 1             # AUTH in one group with the first mail
PIPELINE_BYTES = 1 << 20
DEFAULT_DEPTH = 50
INITIAL_WINDOW = 10 * 1448
LOSS = 0.001


@dataclass(frozen=True)
class Variant:
    """One way to send. depth: lane_pipeline_depth, None where it is the
    default, 0 for smtp(8)."""
    name: str
    agent: str
    depth: int | None = None
    has_chunking: bool = True
    is_wrapped: bool = False    # TLS before SMTP

    @property
    def most(self):
        """Messages on their way on a session."""
        return DEFAULT_DEPTH if self.depth is None else self.depth

    def window_rtt(self, group):
        """Round trips for the messages of one session."""
        if self.agent == "smtp":
            return 3 * PER_SESSION - 1
        if not self.has_chunking:
            return PER_SESSION + 1
        fit = max(1, PIPELINE_BYTES // group.size)
        window = min(self.most, fit) * group.size
        tcp = INITIAL_WINDOW if group.is_honest else window
        left, rtts = PER_SESSION * group.size, 0
        while left > 0:
            left -= min(tcp, window)
            tcp *= 2
            rtts += 1
        return rtts

    def session_rtt(self, group, is_warm):
        """Round trips of one session. is_warm: its login may lead the mail."""
        dial = DIAL_WRAPPED_RTT if self.is_wrapped else DIAL_RTT
        led = LED_RTT if is_warm and self.agent == "lane" else 0
        return dial - led + self.window_rtt(group)

    def bound(self, group, count=None):
        """Messages/s of a drain of `count`, None without a link; losses are
        not in it. The first sessions are cold, those that follow are warm."""
        if not group.rtt_ms:
            return None
        each = group.sessions * PER_SESSION
        times = max(1, -(-(count or group.count) // each))
        rtts = self.session_rtt(group, False) \
            + (times - 1) * self.session_rtt(group, True)
        return times * each / (rtts * group.rtt_ms / 1000)

    def warm_bound(self, group):
        """As bound(), of a drain that never ends."""
        if not group.rtt_ms:
            return None
        return group.sessions * PER_SESSION \
            / (self.session_rtt(group, True) * group.rtt_ms / 1000)


SMTP = Variant("smtp", "smtp", 0)
VARIANTS = (
    SMTP,
    Variant("bdat", "lane"),
    Variant("bdat10", "lane", 10),
    Variant("data", "lane", has_chunking=False),
    Variant("wrapped", "lane", is_wrapped=True),
)


@dataclass(frozen=True)
class Group:
    size: int           # octets of content, about
    rtt_ms: int
    sessions: int
    count: int          # messages of one drain
    quick_count: int    # the same with QUICK=1; 0: left out
    # At RTT 0 the simulator's kernel delays its ACK of an unfinished message
    # by 40 ms, and smtp(8) holds its last segment back until it comes. With
    # acks_at_once the simulator does not delay (the proxy never does).
    acks_at_once: bool = False
    # A link with TCP's windows, and one that loses segments besides.
    is_honest: bool = False
    loses: bool = False

    @property
    def name(self):
        return (f"{self.size // 1000}k-rtt{self.rtt_ms}-s{self.sessions}"
                + ("-ack" if self.acks_at_once else "")
                + ("-honest" if self.is_honest else "")
                + ("-loss" if self.loses else ""))

    @property
    def link(self):
        """What makes the delay proxy such a link."""
        return {"initial_window": INITIAL_WINDOW if self.is_honest else None,
                "loss": LOSS if self.loses else None}


# Counts: whole sessions for everybody, and half a minute of smtp(8) at most; but
# where it is said how fast a long drain is, two.
GROUPS = (
    Group(5000, 0, 1, 200, 0),
    Group(5000, 0, 1, 2000, 0, acks_at_once=True),
    Group(5000, 0, 20, 6000, 4000),
    Group(5000, 0, 20, 6000, 4000, acks_at_once=True),
    Group(5000, 20, 1, 200, 0),
    Group(5000, 20, 20, 4000, 0),
    Group(5000, 100, 1, 100, 100),
    Group(5000, 100, 20, 8000, 1000),
    Group(5000, 20, 20, 4000, 0, is_honest=True),
    Group(5000, 100, 20, 8000, 0, is_honest=True),
    Group(5000, 100, 20, 2000, 0, is_honest=True, loses=True),
    Group(100000, 0, 1, 500, 0, acks_at_once=True),
    Group(100000, 0, 20, 1000, 0),
    Group(100000, 0, 20, 2000, 1000, acks_at_once=True),
    Group(100000, 20, 1, 100, 0),
    Group(100000, 20, 20, 1000, 0),
    Group(100000, 100, 1, 50, 0),
    Group(100000, 100, 20, 1000, 0),
)


def warmup_count(variant, group):
    """Messages sent unmeasured beforehand. lane learns the depth of a
    smarthost by doubling, and its board remembers it; smtp(8) learns
    nothing and only gets its programs into memory."""
    if variant.agent == "smtp":
        return 2 * group.sessions
    return min(group.count, 3 * PER_SESSION * group.sessions, 2000)


def select(wanted, quick):
    """[(group, [variants])] for the words of CASES, each a part of
    GROUP:VARIANT; smtp(8) is always there to compare with."""
    words = [w for w in wanted.replace(",", " ").split() if w]
    chosen = []
    for group in GROUPS:
        if quick and not group.quick_count and not words:
            continue
        variants = [v for v in VARIANTS if v is SMTP or not words or any(
            w in f"{group.name}:{v.name}" for w in words)]
        smtp_only = any(w in f"{group.name}:smtp" for w in words)
        if len(variants) > 1 or smtp_only:
            chosen.append((group, variants))
    return chosen


def upstream_name(has_chunking):
    """Of the simulator's directory, beside those of the variants."""
    return "upstream" if has_chunking else "upstream-data"


def middle_rate(times_us):
    """Messages/s of the middle half of a drain, by the sorted times at which
    messages were taken: first dials and the last sessions are not in it. None
    where it took no time, as where one window holds it."""
    first, last = len(times_us) // 4, 3 * len(times_us) // 4
    if last <= first or times_us[last] == times_us[first]:
        return None
    return (last - first) / ((times_us[last] - times_us[first]) / 1e6)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def spread(values):
    """{"median", "min", "max"} of what the runs gave."""
    return {"median": median(values), "min": min(values),
            "max": max(values)}
