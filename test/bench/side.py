"""One side of the comparison: a private Postfix with one agent behind a gate.

The gate makes a prepared queue. While it is closed the agent's program in the
instance's daemon directory is a script that waits at a FIFO: qmgr(8) reads
all mail into its active queue, asks for the first deliveries, and waits for
the hello. Opening it puts the program itself in its place and lets the
waiting process become it. Both agents start that way, from the same state.
"""
import os
import shutil

from harness import paths
from harness.postfix import Postfix
from harness.wait import wait_until

from cases import PER_SESSION

TRANSPORT = "bench"
DRAIN_LIMIT_S = 300
GATE = """#!/bin/sh
read -r _ <"${0%/*}/gate"
exec "${0%/*}/real/${0##*/}" "$@"
"""


class Side:
    """upstream: Simulator; proxy: DelayProxy in front of it or None."""

    def __init__(self, base, variant, group, upstream, proxy):
        self.variant, self.group = variant, group
        self.postfix = Postfix(base, variant.name, **common_main(group))
        self._make_gate()
        self.postfix.relay_to(upstream, transport=TRANSPORT,
                              wrapped=variant.is_wrapped,
                              port=proxy and proxy.port)
        if variant.agent == "smtp":
            self.postfix.agent("smtp", TRANSPORT)
            self.postfix.set(**smtp_main(group))
        else:
            options = lane_options(variant, group)
            self.postfix.agent("lane", TRANSPORT, "class=fast", options)
            self.postfix.set(**lane_main(variant, group))

    # the gate

    def _make_gate(self):
        libexec = self.postfix.libexec
        self.program = os.path.join(libexec, self.variant.agent)
        self.real = os.path.join(libexec, "real", self.variant.agent)
        os.makedirs(os.path.dirname(self.real))
        shutil.move(self.program, self.real)
        os.mkfifo(os.path.join(libexec, "gate"))
        self._close_gate()

    def _place(self, make):
        make(self.program + ".new")
        os.rename(self.program + ".new", self.program)

    def _close_gate(self):
        def write(path):
            with open(path, "w", encoding="ascii") as f:
                f.write(GATE)
                os.fchmod(f.fileno(), 0o755)
        self._place(write)

    def open_gate(self):
        gate = os.path.join(self.postfix.libexec, "gate")

        def opened():
            try:
                return [os.open(gate, os.O_WRONLY | os.O_NONBLOCK)]
            except OSError:
                return None         # the script is not there yet
        fd, = wait_until(opened, 30, "an agent waiting at the gate")
        # the script reads until we close; whoever comes now needs none
        self._place(lambda path: os.link(self.real, path))
        os.close(fd)

    def start_without_gate(self):
        self._place(lambda path: os.link(self.real, path))
        self.postfix.start()

    # a drain

    def prepare(self, count):
        """Start with `count` messages waiting in the active queue."""
        self._close_gate()
        self.postfix.start()
        self.postfix.smtp_source(count, sender="load@sender.example",
                                 recipient="load@rcpt.example",
                                 size=self.group.size, connections=8)
        wait_until(lambda: self._files("active") == count, 60,
                   lambda: f"{count} messages active, "
                           f"{self._files('active')} are")

    def _files(self, name):
        return len(os.listdir(os.path.join(self.postfix.queue_directory,
                                           name)))

    def wait_drained(self):
        wait_until(lambda: not self._files("active"), DRAIN_LIMIT_S,
                   lambda: f"drained; {self._files('active')} left; log:\n"
                   + "\n".join(self.postfix.log.text().splitlines()[-10:]))
        self.postfix.wait_empty(DRAIN_LIMIT_S)

    def stop(self):
        self.postfix.stop()

    def destroy(self):
        self.postfix.destroy()


def common_main(group):
    """The same machine for every agent."""
    return {
        # never hold back the sender of the load
        "in_flow_delay": "0s",
        "smtpd_timeout": "300s",
        f"{TRANSPORT}_destination_recipient_limit": "50",
        "smtp_tls_session_cache_database":
            "btree:${data_directory}/smtp_scache",
        # a lost message must not come back within the run
        "minimal_backoff_time": "2s",
    }


def smtp_main(group):
    """smtp(8) at its best: one TLS connection for many messages, as many
    sessions as the provider allows, none given up early."""
    return {
        "smtp_tls_connection_reuse": "yes",
        "smtp_connection_cache_destinations": "127.0.0.1",
        "smtp_connection_reuse_count_limit": str(PER_SESSION - 1),
        "smtp_connection_reuse_time_limit": "300s",
        f"{TRANSPORT}_destination_concurrency_limit": str(group.sessions),
        f"{TRANSPORT}_initial_destination_concurrency":
            str(group.sessions),
    }


def lane_options(variant, group):
    options = {
        "lane_connection_limit": str(group.sessions),
        "lane_messages_per_connection": str(PER_SESSION),
    }
    if variant.depth is not None:
        options["lane_pipeline_depth"] = str(variant.depth)
    return options


def lane_main(variant, group):
    """As main.cf.example: twice what all windows together can hold."""
    limit = str(2 * group.sessions * variant.most)
    return {
        f"{TRANSPORT}_destination_concurrency_limit": limit,
        f"{TRANSPORT}_initial_destination_concurrency": limit,
        f"{TRANSPORT}_destination_rate_delay": "0s",
    }


def lane_is_built():
    return os.path.exists(paths.built("lane"))
