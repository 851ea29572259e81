"""A server whose process for a session dies of what it is sent, and with it
all that it had not answered: as Dovecot's submission does of some mixes."""
import os

import pytest

from harness import messages
from harness.simulator import Simulator
from test_manners import CONNECTIONS, configure, let_go

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 600 if LONG else 200
DEPTH = 10
IN_DOUBT = "message may be sent more than once"


@pytest.mark.parametrize("every", (25, 60, 150, 250) if LONG else (60,))
def test_further_deaths_leave_one_message_each_in_doubt(
        base, certs, origin, started, every):
    """The first has a window; so have those that come before what was sent
    until then is answered."""
    sim = started(Simulator(
        base, certs, store=True, latency=20, transcript=True,
        script=f"mail every {every} cut-hard 1"))
    configure(origin, sim, lane_pipeline_depth=DEPTH)
    started(origin)
    sent = messages.generate(COUNT)
    let_go(origin, sent)
    doubts = sum(IN_DOUBT in d.reason
                 for d in origin.log.deliveries("/smtp"))
    deaths = sim.transcript().count(" C: MAIL FROM:") // every
    windows = min(deaths, 1 + CONNECTIONS * DEPTH // every)
    most = windows * DEPTH + deaths - windows
    print(f"every {every}: {deaths} deaths, {doubts} in doubt, {most} allowed")
    assert deaths > 1
    assert doubts <= most
    assert not messages.compare(sent, sim.taken()).lost
