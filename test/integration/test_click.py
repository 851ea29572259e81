"""Playwright clicks through lanestat's page while two lanes send: each lane,
range of time, graph, account and link, light and dark, at 360 px under a finger,
and without JavaScript. click.js has the steps."""
import os
import shutil
import subprocess

import pytest
from harness.browser import CHROMIUM
from harness.foreign import FOREIGN
from harness.load import Load
from harness.simulator import Simulator
from harness.wait import wait_until

PLAYWRIGHT = os.path.join(FOREIGN, "playwright/node_modules/playwright-core")
STEPS = 12

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None or shutil.which("node") is None,
                       reason="no browser: POSTLANE_BROWSER=1 scripts/setup"),
    pytest.mark.skipif(not os.path.isdir(PLAYWRIGHT),
                       reason="scripts/foreign playwright"),
]


def test_who_clicks_through_it_while_lanes_send(
        origin, base, certs, started, tmp_path):
    sim = started(Simulator(base, certs, sync=False))
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}", {
            "lane_connection_limit": "2", "lane_message_rate_limit": "20/1s"})
    origin.relay_to(sim, transport="fast")
    origin.set(transport_maps=origin.map("transport",
                                         {"bulk.example": "slow:"}))
    url = f"http://127.0.0.1:{origin.lanestat()}/"
    started(origin)
    with (Load(origin, batch=5, per_s=5, domain="quick.example"),
          Load(origin, batch=5, per_s=5, prefix="bulk",
               domain="bulk.example")):
        wait_until(lambda: all(lane["per_s_10s"] > 0
                               for lane in origin.lanes()["lanes"]), 60,
                   "both send")
        done = subprocess.run(
            ["node", os.path.join(os.path.dirname(__file__), "click.js"),
             PLAYWRIGHT, CHROMIUM, url, "fast", "slow"],
            check=False, capture_output=True, text=True, timeout=600,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == STEPS
    origin.wait_empty()
    assert not origin.log.problems()
