#!/usr/bin/python3
"""How soon what an operator asks of a lane has its effect, how soon an operator
hears of an alarm, and what looking costs: README.md, "Steering".

  COUNT=1200    messages that are sent meanwhile
  BASE=folder   where the instance lives

Effect: from the start of the command until the smarthost has taken the last
message of the old way, or the first of the new one, by the simulator's clock.
Alarm: from the moment at which the message is injected whose refusal raises it
until the web server has all of the POST.
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import messages, paths                     # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.hook import Hook                           # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import Simulator                 # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from home import processors                             # noqa: E402

COUNT = int(os.environ.get("COUNT", "1200"))
QUIET_S = 1.5       # without a message: it is paused
BLACKLISTED = 'mail reply "550 5.7.1 You have been blacklisted"\n'


class Bench:
    def __init__(self, base):
        self.sim = Simulator(base, Certs(os.path.join(base, "certs")),
                             sync=False)
        self.sim.start()
        self.hook = Hook()
        self.postfix = Postfix(base, "steering")
        self.postfix.agent("lane", "bench", "class=fast", {
            "lane_alert_url": self.hook.url, "lane_alert_retry": "3600s",
            "lane_connection_limit": "4", "lane_pipeline_depth": "2",
            "lane_message_rate_limit": "40/1s:4"})
        self.postfix.relay_to(self.sim, transport="bench")
        self.postfix.set(minimal_backoff_time="600s",
                         queue_run_delay="600s")
        self.postfix.start()
        self.postfix.postlane("-V")

    def stop(self):
        self.postfix.stop()
        self.postfix.destroy()
        self.sim.stop()
        self.hook.close()

    def times(self):
        return sorted(e.time_us / 1e6 for e in self.sim.ledger())

    def tell(self, *words):
        """When the command began, and how long it took."""
        began = time.time()
        found = self.postfix.postlane(*words)
        assert found.returncode == 0, found
        return began, time.time() - began

    def since(self, moment):
        return [t - moment for t in self.times() if t > moment]

    def last_before_quiet(self, moment):
        """The last one that came before QUIET_S without any."""
        def found():
            now = time.time()
            after = self.since(moment)
            last = after[-1] if after else 0.0
            return now - moment - last > QUIET_S and (last,)
        return wait_until(found, 60, "it is quiet")[0]

    def first(self, moment):
        return wait_until(lambda: self.since(moment)[:1], 60, "it goes")[0]

    def connections(self):
        lane = self.postfix.lane("bench")
        return len(lane["sessions"])


def effects(bench):
    began, took = bench.tell("pause", "bench")
    print(f"pause        the last message after "
          f"{bench.last_before_quiet(began):.3f} s, command {took:.3f} s")
    began, took = bench.tell("resume", "bench")
    print(f"resume       the first message after {bench.first(began):.3f} s, "
          f"command {took:.3f} s")
    time.sleep(3)
    began, took = bench.tell("rate", "bench", "4/1s:1")
    time.sleep(4)
    after = bench.since(began)
    gaps = [(b - a, b) for a, b in zip([0.0] + after, after)]
    old = [t for gap, t in gaps if gap < 0.2]
    print(f"rate 40 to 4 the last at the old pace after "
          f"{max(old, default=0.0):.3f} s, command {took:.3f} s")
    began, took = bench.tell("rate", "bench", "default")
    fast = wait_until(
        lambda: [b for a, b in zip(bench.since(began), bench.since(began)[1:])
                 if b - a < 0.1][:1], 60, "it is fast")[0]
    print(f"rate default the first at the new pace after {fast:.3f} s, "
          f"command {took:.3f} s")
    began, took = bench.tell("connections", "bench", "1")
    wait_until(lambda: bench.connections() <= 1, 60, "one is left")
    print(f"connections 1 one session is left after "
          f"{time.time() - began:.3f} s (a look takes some 0.2 s), "
          f"command {took:.3f} s")
    bench.tell("connections", "bench", "default")


def retry(bench):
    """The smarthost is away, and back."""
    bench.postfix.wait_empty(120)
    bench.sim.stop()
    bench.postfix.inject(messages.generate(20, prefix="away", size=100))
    wait_until(lambda: bench.postfix.queued("deferred") == 20, 120,
               "deferred")
    bench.sim.start()
    began, took = bench.tell("retry", "bench")
    print(f"retry        the first message after {bench.first(began):.3f} s, "
          f"command {took:.3f} s")


def alarm(bench):
    """The smarthost has us on its list of spammers, and takes us off it."""
    bench.postfix.wait_empty(120)
    bench.sim.script(BLACKLISTED)
    before = len(bench.hook.got)
    began = time.time()
    bench.postfix.inject(messages.generate(1, prefix="listed", size=100))
    at, told = wait_until(lambda: bench.hook.got[before:], 60, "an alarm")[0]
    assert (told["event"], told["what"]) == ("alarm", "blocked"), told
    [refused] = bench.postfix.log.wait(r"status=deferred \(.*blacklisted", 30)
    print(f"alarm        posted {at - began:.3f} s after the message that is "
          f"refused was injected ({delays(refused)} of it until the reply)")
    bench.sim.script("")
    began, took = bench.tell("retry", "bench")
    print(f"retry        after an alarm: the first message after "
          f"{bench.first(began):.3f} s, command {took:.3f} s")
    cleared, _ = wait_until(lambda: bench.hook.got[before + 1:], 60,
                            "its end")[0]
    print(f"alarm        its end posted {cleared - began:.3f} s after the "
          "command")


def delays(line):
    return re.search(r" delay=([\d.]+)", line)[1] + " s"


def looking(bench):
    program = os.path.join(paths.BUILD, "look_bench")
    for rate in ("100", "1000"):
        print(f"{rate} a second:")
        print(subprocess.run(
            [program, bench.postfix.etc, rate, "5"], check=True,
            capture_output=True, text=True).stdout, end="")


@processors()
def main():
    # Nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    base = paths.make_base(os.environ.get("BASE"))
    bench = Bench(base)
    try:
        mail = messages.generate(COUNT, size=100)
        feeder = threading.Thread(
            target=bench.postfix.inject, args=(mail,), daemon=True)
        feeder.start()
        bench.sim.wait_taken(50)
        effects(bench)
        looking(bench)
        feeder.join()
        retry(bench)
        alarm(bench)
        bench.postfix.command("postqueue", "-f")
        bench.sim.wait_taken(COUNT + 21, 300)
        bench.postfix.wait_empty(60)
        taken = [e.id for e in bench.sim.ledger()]
        print(f"lost {COUNT + 21 - len(set(taken))}, "
              f"twice {len(taken) - len(set(taken))} of {COUNT + 21}")
    finally:
        bench.stop()
        paths.drop_base(base)
    print(subprocess.run([os.path.join(paths.BUILD, "why_bench")],
                         check=True, capture_output=True, text=True).stdout,
          end="")


main()
