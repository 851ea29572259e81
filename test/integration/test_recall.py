"""What a lane deferred for a cause that is repaired by now goes out at once,
whatever process of the lane runs by then, or none: nobody says postqueue -f,
and the queue manager would try again in an hour."""
import contextlib
import os
import signal

import pytest
from harness import messages, paths
from harness.load import wait_clock
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER
from harness.wait import wait_until

LATER = 3600
WAITING = 8


def password(origin, sim, text):
    """As README.md has it: a texthash table of root's."""
    origin.set(smtp_sasl_password_maps=origin.map(
        "lane_login", {f"[127.0.0.1]:{sim.port}": f"{USER}:{text}"},
        "texthash", mode=0o600))


class Site:
    def __init__(self, base, certs, origin, started):
        self.origin = origin
        self.sim = started(Simulator(base, certs, store=True))
        origin.agent("lane", "slow", "class=slow", {
            # no dial comes to help, and none may be in the way
            "lane_alert_retry": "1h", "lane_message_rate_limit": "50/1s",
            "lane_connection_limit": "1"})
        origin.relay_to(self.sim, transport="slow")
        password(origin, self.sim, PASSWORD)
        origin.set(minimal_backoff_time=f"{LATER}s",
                   maximal_backoff_time=f"{LATER}s",
                   queue_run_delay=f"{LATER}s")
        self.started = started
        self.sent = []

    def start(self):
        self.started(self.origin)

    def send(self, count):
        new = messages.generate(count, prefix=f"m{len(self.sent)}-")
        self.sent += new
        self.origin.inject(new)

    def defer(self, cause):
        taken = len(self.sim.ledger())
        self.send(WAITING)
        wait_until(lambda: self.origin.queued("deferred") == WAITING and
                   self.origin.queued("active", "incoming") == 0, 60,
                   "all of them are deferred")
        assert self.origin.log.lines(rf"status=deferred \(.*{cause}")
        assert len(self.sim.ledger()) == taken

    def all_out(self):
        self.sim.wait_taken(len(self.sent))
        self.origin.wait_empty()
        verdict = messages.compare(self.sent, self.sim.taken())
        assert verdict.is_clean(), verdict
        # and nothing is left for another process
        assert self.kept()
        wait_until(lambda: all(os.path.getsize(path) <= 32
                               for path in self.kept()), 30, "the file is cut")

    def kept(self):
        folder = self.origin.main["data_directory"] + "/postlane"
        return [os.path.join(folder, name) for name in os.listdir(folder)
                if name.startswith("recall.")]

    def ask(self, *words):
        done = self.origin.postlane(*words)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture
def site(base, certs, origin, started):
    return Site(base, certs, origin, started)


def refuse(site):
    password(site.origin, site.sim, "wrong")
    site.start()
    site.defer("535")


def test_password_is_corrected(site):
    """The next message meets a process that reads the table anew."""
    refuse(site)
    password(site.origin, site.sim, PASSWORD)
    wait_clock(1.1)     # until the lane looks at its tables again
    site.send(1)
    site.all_out()
    site.origin.log.wait(r"has changed -- restarting")


def test_authority_is_corrected(site, certs):
    """A reload is all that it takes."""
    site.origin.set(smtp_tls_CAfile=certs.other_ca.cert)
    site.start()
    site.defer("certificate")
    site.origin.set(smtp_tls_CAfile=certs.ca.cert, reload=True)
    site.all_out()


def test_password_is_corrected_and_the_process_killed(site):
    refuse(site)
    [pid] = site.origin.pids("lane")
    site.origin.kill9(pid)
    password(site.origin, site.sim, PASSWORD)
    site.send(1)
    site.all_out()


def without_process(site):
    for pid in site.origin.pids("lane"):     # one may still end its sessions
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not site.origin.pids("lane"), 30, "it has ended")


def test_retry_without_a_process(site):
    refuse(site)
    without_process(site)
    assert site.origin.lane("slow")["gauges"]["outage_noted"] == WAITING
    password(site.origin, site.sim, PASSWORD)
    assert "asked for" in site.ask("retry")
    site.all_out()


def test_resume_after_a_reload(site):
    """Paused, with a process of before and after, and then with none."""
    site.start()
    site.send(1)
    site.sim.wait_taken(1)
    site.ask("pause", "slow")
    site.defer("paused by root")
    site.origin.reload()
    # One was asked for, so that there is a process, and is back.
    site.origin.log.wait(r"status=deferred \(paused by root",
                         count=WAITING + 1)
    wait_until(lambda: site.origin.queued("deferred") == WAITING, 30,
               "as before")
    without_process(site)
    assert "asked for" in site.ask("resume", "slow")
    site.all_out()


def test_configuration_is_corrected(site):
    site.origin.set(lane_pipeline_depth="many")
    site.start()
    site.defer("mail system configuration error")
    site.origin.set(lane_pipeline_depth="50", reload=True)
    site.all_out()


@pytest.mark.skipif(not os.environ.get("POSTLANE_LONG"),
                    reason="two outages of ten seconds, POSTLANE_LONG=1")
def test_other_host_that_is_still_down(site):
    """That one host works says nothing of another: one message finds out."""
    site.origin.set(transport_maps=site.origin.map("transport", {
        "b.example": f"slow:[127.0.0.1]:{paths.free_port()}"}))
    site.start()
    site.origin.inject(messages.generate(WAITING, "b.example", "b"))
    wait_until(lambda: site.origin.queued("deferred") == WAITING and
               site.origin.queued("active", "incoming") == 0, 60,
               "all of them are deferred")
    without_process(site)
    site.send(1)
    site.sim.wait_taken(1)
    deferred = r"to=<b-.*status=deferred"
    site.origin.log.wait(deferred, count=WAITING + 1)
    wait_until(lambda: site.origin.queued("deferred") == WAITING, 30,
               "as before")
    site.send(1)
    site.sim.wait_taken(2)
    assert len(site.origin.log.lines(deferred)) == WAITING + 1
