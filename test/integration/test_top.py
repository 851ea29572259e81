"""postlane top, on a terminal of 80 x 24, while a lane works."""
import os

import pytest
from harness import messages
from harness.simulator import Simulator
from harness.terminal import Terminal
from harness.wait import wait_until


@pytest.fixture
def top(origin, base, certs, started):
    """Two lanes, the first of which has sent something; and a terminal."""
    sim = started(Simulator(base, certs, store=True))
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}", {
            "lane_connection_limit": "2",
            "lane_message_rate_limit": "5/1s"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(30))
    sim.wait_taken(3)
    terminal = Terminal(base)
    origin.postlane("-V")       # makes the copy that every user may run
    yield origin, sim, terminal
    terminal.stop()


def start(origin, terminal, **environment):
    terminal.start(os.path.join(origin.home, "postlane"), "-c", origin.etc,
                   "top", **environment)


def test_top_shows_and_steers(top):
    origin, sim, terminal = top
    start(origin, terminal)
    terminal.shows(r"^> fast +well .* 5/1s:1 ", "the lane")
    lines = terminal.screen()
    assert len(lines) == 24 and max(map(len, lines)) <= 80
    assert lines[1].split() == ["LANE", "STATE", "RATE/S", "LIMIT", "WAIT",
                                "QUEUED", "SESSIONS", "P95"]
    terminal.shows(r"^    60s \|.*[▁▂▃▄▅▆▇█].*\| \d+/s$", "its pace")
    terminal.shows(r"^account 127.0.0.1 +#+·+ \d of 20 held", "the account")
    terminal.shows(r"^    (at its limit|idle|sends)", "status's sentence")
    # Not without a yes.
    terminal.keys("p")
    terminal.shows(r"pause lane fast until it is told otherwise\? \(y, n\)",
                   "it asks")
    terminal.keys("n")
    terminal.shows("^not paused", "it does not")
    assert not origin.lane("fast")["orders"]
    terminal.keys("p", "y")
    terminal.shows(r"^> fast +paused ", "it is paused")
    assert [o["verb"] for o in origin.lane("fast")["orders"]] == ["pause"]
    terminal.keys("Down")
    terminal.shows("^> slow ", "another is chosen")
    terminal.keys("Up", "r")
    terminal.shows("^lane fast: resumed: in force", "it goes on")
    assert not origin.lane("fast")["orders"]
    terminal.keys("s")
    terminal.shows("s sort: rate", "it sorts")
    terminal.tmux("resize-window", "-x", "120", "-y", "40")
    wait_until(lambda: len(terminal.screen()) == 40
               and terminal.screen()[39].startswith("up/down choose"), 30,
               "it fills the window")
    terminal.keys("q")
    wait_until(terminal.is_over, 30, "it ends")
    sim.wait_taken(30)
    origin.wait_empty()


def test_top_without_colour_and_without_a_terminal(top):
    origin, _, terminal = top
    start(origin, terminal, TERM="vt100", LC_ALL="C")
    terminal.shows(r"^> fast ", "the lane")
    terminal.shows(r"^    60s \|[ .:=+*#-]+\| \d+/s$", "its pace")
    assert all(line.isascii() for line in terminal.screen())
    terminal.keys("q")
    wait_until(terminal.is_over, 30, "it ends")
    found = origin.postlane("top")
    assert found.returncode == 69
    assert "top: it needs a terminal" in found.stderr
