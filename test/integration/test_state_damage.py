"""Files of the state directory that somebody cuts, overwrites, removes or
exchanges while two lanes of one account work: both go on and say so, the
account's connections and rate are kept, nothing is lost."""
import os
import shutil
import time

import pytest

from harness import messages
from harness.load import Load, wait_clock
from harness.pace import ahead
from harness.simulator import Simulator

LIMIT, RATE = 6, 60
FAST = "fast.example"
SLOTS_TOLD = r"connection slots of 127\.0\.0\.1: the file was changed"
RATES_TOLD = r"rates\.[0-9a-f]{16} in lane_state_directory was changed"
BOARD_TOLD = r"the board was changed, cut or removed"


def start(base, certs, origin, started):
    sim = started(Simulator(base, certs, latency=20, max_connections=LIMIT))
    options = {"lane_account_connection_limit": LIMIT,
               "lane_connection_limit": LIMIT,
               "lane_message_rate_limit": "none",
               "lane_account_message_rate_limit": f"{RATE}/1s"}
    origin.agent("lane", "fast", "class=fast", options)
    origin.agent("lane", "slow", "class=slow", options)
    windows = {f"{lane}_{name}": "100" for lane in ("fast", "slow")
               for name in ("destination_concurrency_limit",
                            "initial_destination_concurrency")}
    origin.relay_to(sim, transport="slow", transport_maps=origin.map(
        "transport", {FAST: "fast:"}), **windows)
    started(origin)
    return sim


def cut(path, kept):
    os.truncate(path, 0)


def cut_short(path, kept):
    os.truncate(path, 100)


def zero(path, kept):
    with open(path, "r+b") as f:
        f.write(bytes(os.path.getsize(path)))


def noise(path, kept):
    with open(path, "r+b") as f:
        f.write(os.urandom(os.path.getsize(path)))


def older(path, kept):
    """cp of a backup."""
    with open(kept, "rb") as f, open(path, "r+b") as to:
        to.truncate(0)
        to.write(f.read())


def removed(path, kept):
    os.unlink(path)


def replaced(path, kept):
    """mv of a backup."""
    st = os.stat(os.path.dirname(path))
    shutil.copy(kept, path + ".new")
    os.chown(path + ".new", st.st_uid, st.st_gid)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


@pytest.mark.sanitized
@pytest.mark.parametrize("damages", [(cut, cut_short, zero, noise, older),
                                     (removed, replaced)],
                         ids=["same-file", "another-file"])
def test_lanes_go_on_with_damaged_files(base, certs, origin, started, damages):
    sim = start(base, certs, origin, started)
    state = os.path.join(origin.data_directory, "postlane")
    backup = os.path.join(base, "backup")
    began = time.time()
    with Load(origin, per_s=50) as slow, \
            Load(origin, per_s=20, prefix="fast", domain=FAST) as fast:
        sim.wait_taken(30)
        pids = sorted(origin.pids("lane"))
        assert len(pids) == 2
        # sockets are no files
        shutil.copytree(state, backup,
                        ignore=shutil.ignore_patterns("ask.*"))
        sim.wait_taken(90)
        for damage in damages:
            mark = origin.log.mark()
            for name in os.listdir(backup):
                damage(os.path.join(state, name), os.path.join(backup, name))
            # of slots an old file may say the same as the new one
            for told in [SLOTS_TOLD] * (damage is not older) + [
                    RATES_TOLD, BOARD_TOLD]:
                origin.log.wait(told, since=mark)
            wait_clock(0.3)     # until both have looked
    sent = slow.sent + fast.sent
    sim.wait_taken(len(sent))
    origin.wait_empty()
    assert sorted(origin.pids("lane")) == pids
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    stats = sim.stats()
    assert stats["connections_max"] <= LIMIT
    assert stats["violations"] == 0
    assert not origin.log.problems()
    assert not origin.log.lines("disagree")
    # what one lane had stored when the file went may be taken twice
    early = ahead(sorted((e.time_us / 1e6, 1) for e in sim.ledger()), RATE,
                  began)
    print(f"\n{len(sent)} messages, at most {early:.1f} before their time, "
          f"{stats['connections_max']} connections")
    assert early <= 15 * len(damages)
