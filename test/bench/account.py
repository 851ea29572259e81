"""CPU time and memory of the agent processes of one Postfix instance.

CPU. Agents that live are read from /proc/PID/schedstat (nanoseconds); what
they had used before the gate opened is subtracted. Agents that ended in
between (smtp(8) serves 100 requests, then a new process follows) were reaped
by master(8), whose own children's time grew by theirs; from that growth the
time of other programs that ended meanwhile is taken off, as sampled last.
Time of an agent's own children (lane asks postconf at its start) counts.

Memory. The sum of the proportional set sizes of all agent processes, sampled
during the drain; its highest value is kept. Sampling costs at most 1/50 of
the time.
"""
import os
import threading
import time

from harness.process import memory_kb, session_processes

# Who works for whom. tlsmgr(8) and qmgr(8) count for nobody.
PROGRAMS = {"smtp": {"smtp", "tlsproxy", "scache"}, "lane": {"lane"}}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
INTERVAL_S = 0.1
COST_SHARE = 50


def _children_s(pid):
    """Time of reaped children, 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as f:
            rest = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(rest[13]) + int(rest[14])) * TICK_S


def _own_s(pid):
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9
    except OSError:
        return 0.0


class Account:
    """Made before the gate opens; start(), then finish() after the drain
    and before Postfix is stopped."""

    def __init__(self, master_pid, agent):
        self.master = master_pid
        self.programs = PROGRAMS[agent]
        self.peak_kb = 0
        self.peak_processes = 0
        self.cpu_s = 0.0
        self.others = {}
        self.done = threading.Event()
        self.sampler = threading.Thread(target=self._sample, daemon=True)

    def _processes(self):
        return [p for p in session_processes(self.master)
                if p.pid != self.master]

    def start(self):
        self.before = {p.pid: _own_s(p.pid) + _children_s(p.pid)
                       for p in self._processes()}
        self.reaped_before = _children_s(self.master)
        self.sampler.start()

    def _look(self):
        agents = []
        for p in self._processes():
            if p.name in self.programs:
                agents.append(p.pid)
            else:
                self.others[p.pid] = _own_s(p.pid) + _children_s(p.pid)
        kb = sum(memory_kb(pid) for pid in agents)
        self.peak_kb = max(self.peak_kb, kb)
        self.peak_processes = max(self.peak_processes, len(agents))

    def _sample(self):
        pause = INTERVAL_S
        while not self.done.wait(pause):
            begun = time.thread_time()
            self._look()
            pause = max(INTERVAL_S,
                        (time.thread_time() - begun) * COST_SHARE)

    def finish(self):
        self.done.set()
        self.sampler.join()
        self._look()
        living = self._processes()
        for p in living:
            if p.name in self.programs:
                self.cpu_s += _own_s(p.pid) + _children_s(p.pid) \
                    - self.before.get(p.pid, 0.0)
        here = {p.pid for p in living}
        reaped = _children_s(self.master) - self.reaped_before
        for pid, used in self.others.items():
            if pid not in here:
                reaped -= used
        # one that was there before and ended: its earlier time counts not
        for pid, used in self.before.items():
            if pid not in here and pid not in self.others:
                reaped -= used
        self.cpu_s += max(0.0, reaped)
