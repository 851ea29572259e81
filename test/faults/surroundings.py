"""What may go wrong around a site that has a name server, or is one host of a
fleet: deeds as in deeds.py, which mail must not suffer from for longer than they
last; where no engine answers, not at all."""
from deeds import Deed, new_sessions, nothing, pass_time
from nameserver import FLAGS

SHARES_END_S = 11       # more than lane_fleet_ttl


# ---- names ----------------------------------------------------------------

def _names_are(mood):
    def begin(site):
        site.names.mood = mood
        site.asked = site.names.asked
        new_sessions(site)

    def act(site):
        site.names.wait_asked(site.asked)

    def end(site):
        site.names.mood = "well"
    return Deed(f"names: {mood}", begin, act, end)


def _names_become(mood):
    """While sessions are open, which need no name."""
    def begin(site):
        site.names.mood = mood

    def end(site):
        site.names.mood = "well"
    return Deed(f"names: {mood} meanwhile", begin, nothing, end)


def names():
    for mood in ("dead", "slow", "garbage", "another's", *FLAGS):
        yield _names_are(mood)
        yield _names_become(mood)


# ---- the engine of a fleet ------------------------------------------------

def _heal(site):
    site.link.heal()


def _way(name, how):
    """Before there is mail, until it has gone."""
    yield Deed(f"fleet: {name}", how, after=_heal)
    yield Deed(f"fleet: {name}, and a reload", how,
               lambda site: site.origin.reload(), after=_heal)
    yield Deed(f"fleet: {name} until shares have ended", lambda site: (
        how(site), pass_time(SHARES_END_S)), after=_heal)


def _killed(site):
    site.engine.kill9()
    site.engine.start()


def _gone(site):
    site.engine.kill9()


def _back(site):
    site.engine.start()


def _still(site):
    site.engine.pause()


def _moves(site):
    site.engine.go_on()


def _told(*words):
    return lambda site: site.engine.ask(*words)


def _spoil(site):
    """Rows that no script of ours has written."""
    for key in site.engine.rows():
        for host in ("one", "another", ""):
            site.engine.ask("HSET", key, host, "\x01 nonsense -5 1e999")
        site.engine.ask("SET", key.replace(":hosts", ":state"), "a text")


def _wrong_kind(site):
    for key in site.engine.rows():
        site.engine.ask("SET", key, "a text")


def fleet():
    yield from _way("cut", lambda site: site.link.cut())
    yield from _way("stalled", lambda site: site.link.stall())
    yield from _way("dripping", lambda site: site.link.drip(0.01))
    yield from _way("slow", lambda site: site.link.slow(2))
    yield Deed("fleet: engine killed", act=_killed)
    yield Deed("fleet: engine gone", _gone, after=_back)
    yield Deed("fleet: engine stands still", _still, after=_moves)
    yield Deed("fleet: engine forgets all", act=_told("FLUSHALL"))
    yield Deed("fleet: script forgotten", act=_told("SCRIPT", "FLUSH"))
    yield Deed("fleet: rows are nonsense", _spoil,
               after=_told("FLUSHALL"))
    yield Deed("fleet: rows of another kind", _wrong_kind,
               after=_told("FLUSHALL"))
    yield Deed("fleet: engine is full",
               _told("CONFIG", "SET", "maxmemory", "1"),
               after=_told("CONFIG", "SET", "maxmemory", "0"))
    yield Deed("fleet: engine is a replica",
               _told("REPLICAOF", "127.0.0.1", "1"),
               after=_told("REPLICAOF", "NO", "ONE"))
    yield Deed("fleet: login refused",
               _told("ACL", "SETUSER", "default", "off"),
               after=_told("ACL", "SETUSER", "default", "on"))
    yield Deed("fleet: connections ended",
               act=_told("CLIENT", "KILL", "TYPE", "normal"))


def own_deeds(kind):
    return {"names": names, "fleet": fleet}.get(kind, list)()
