"""What an administrator sets in master.cf, with Postfix's own postconf(1), is
what the lane of that entry does, and no other; and a lane that cannot read its
settings touches nobody's queue."""
import os
import re

import pytest

from harness import messages, paths
from harness.simulator import Simulator

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")

# What no parameter of its type takes; every other: one that it does not.
REFUSED = {
    "lane_smarthost": "[nowhere", "lane_provider": "nobody",
    "lane_provider_directory": "/dev/null",
    "lane_reply_rules": "/nowhere/rules", "lane_log_name": "a[b]",
    "lane_state_directory": "here", "lane_alert_url": "ftp://x",
    "lane_alert_command": "here", "lane_domain_rate_limits": "x=y",
}
# Any text is one to a lane: what it does is looked at elsewhere
# (test_budget.py, test_oauth.py, test/unit/fleet/test_speaker.c).
ANY_TEXT = {"lane_account", "lane_token_directory", "lane_token_service_name",
            "lane_fleet", "lane_fleet_name", "lane_fleet_password_file",
            "lane_fleet_tls_CAfile"}


def names():
    """All lane_ parameters, from the table of the source."""
    with open(os.path.join(paths.ROOT, "agent/settings/params_table.c"),
              encoding="utf-8") as f:
        found = re.findall(r"^    [A-Z]+\((lane_\w+),", f.read(), re.M)
    assert len(found) > 30
    return found


def mail(origin, transport, count):
    origin.inject([messages.make(
        f"{transport}{i}", "someone@sender.example",
        (f"m{i}@{transport}.example",), b"hello\r\n")
        for i in range(count)])


@pytest.fixture
def site(base, certs, origin, started):
    """Two lanes to one provider, both with what class= says alone."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.agent("lane", "slow", "class=slow")
    origin.set(transport_maps=origin.map(
        "transport", {"fast.example": "fast:", "slow.example": "slow:"},
        type="texthash"))
    origin.relay_to(sim)
    origin.sim = sim
    return started(origin)


def edit(origin, *words):
    return origin.command("postconf", *words).stdout.strip()


def test_postconf_p_reads_and_writes_each_parameter(site):
    """Written with a value that is refused: the lane of that entry says so,
    each once, and the other one keeps what it had."""
    for name in names():
        value = REFUSED.get(name, "x" if name in ANY_TEXT else "?")
        edit(site, "-P", f"fast/unix/{name}={value}")
        assert edit(site, "-P", f"fast/unix/{name}") == (
            f"fast/unix/{name} = {value}")
    site.reload()
    mark = site.log.mark()
    mail(site, "slow", 1)
    mail(site, "fast", 1)
    # in the log under the name that was refused nowhere else
    site.log.wait(r"status=deferred \(mail system configuration error")
    site.log.wait(r"to=<m0@slow.example>.*status=sent")
    text = site.log.text(mark)
    for name in names():
        if name not in ANY_TEXT:
            assert len(re.findall(rf"fatal: bad parameter: (?:-o )?{name}\b",
                                  text)) == 1, name
    for name in names():
        edit(site, "-PX", f"fast/unix/{name}")
    site.reload()
    site.flush()
    site.wait_empty()


def times(site, transport):
    return sorted(e.time_us / 1e6 for e in site.sim.ledger()
                  if e.recipients[0].endswith(f"@{transport}.example"))


def test_postconf_p_sets_the_pace_of_its_lane_alone(site):
    edit(site, "-P", "fast/unix/lane_message_rate_limit=100/1s")
    edit(site, "-P", "fast/unix/lane_connection_limit=3")
    site.reload()
    mail(site, "slow", 4)
    mail(site, "fast", 20)
    site.wait_empty()
    slow = times(site, "slow")
    # 1/1s: three pauses, of which none is shorter than its token takes
    assert len(slow) == 4 and slow[-1] - slow[0] > 2.8
    assert len(times(site, "fast")) == 20
    edit(site, "-P", "slow/unix/lane_message_rate_limit=none")
    site.reload()
    mark = site.log.mark()
    mail(site, "slow", 30)
    site.wait_empty(20)
    assert not site.log.problems(mark)


def test_a_value_behind_the_word_and_another_before_it(site):
    """postconf -P does not see the one behind class=: neither is guessed."""
    entry = "slow unix - - n - 1 lane class=slow -o lane_wait_limit=60s"
    edit(site, "-M", f"slow/unix={entry}")
    site.reload()
    mail(site, "slow", 1)
    site.wait_empty()
    edit(site, "-P", "slow/unix/lane_wait_limit=90s")
    site.reload()
    mail(site, "slow", 1)
    site.log.wait(r"fatal: bad parameter: -o lane_wait_limit = 60s: it is "
                  r"given twice, first as 90s")
    site.log.wait(r"status=deferred \(mail system configuration error")
    edit(site, "-PX", "slow/unix/lane_wait_limit")
    site.reload()
    site.flush()
    site.wait_empty()


def test_postconf_f_and_x_do_what_they_say(site):
    edit(site, "-F", "slow/unix/process_limit=1")
    assert edit(site, "-F", "slow/unix/command") == (
        "slow/unix/command = lane class=slow")
    edit(site, "-e", "lane_wait_limit=soon")
    site.reload()
    mail(site, "slow", 1)
    site.log.wait(r"fatal: bad parameter: lane_wait_limit = soon: must be")
    edit(site, "-X", "lane_wait_limit")
    site.reload()
    site.flush()
    site.wait_empty()


# --- what fails while a lane starts -----------------------------------------

# Each once: what the parent does of it. What fails in the child alone would fail
# in each (test_command_output.c has these).
ONCE = ["fork:1:EAGAIN", "pipe:1:EMFILE", "pipe:2:EMFILE", "pipe:3:ENFILE",
        "open@general.conf:1:ENFILE", "read@general.conf:1:EIO",
        *(f"read:{n}:EIO" for n in range(1, 5))]


def other_queue():
    """The queue of the built-in defaults, which is another instance's."""
    return {path: os.stat(path).st_ctime_ns
            for path, _, _ in os.walk("/var/spool/postfix")}


def test_one_failing_call_at_start_leaves_the_right_lane(site):
    mail(site, "fast", 1)
    site.wait_empty()
    site.set(lane_provider_directory=paths.ROOT + "/providers")
    before = other_queue()
    failed = []
    for count, order in enumerate(ONCE):
        site.lane_faults(order)
        for pid in site.pids("lane"):
            site.kill9(pid)
        had = len(site.sim.ledger())
        site.inject([messages.make(f"f{count}", "someone@sender.example",
                                   ("x@fast.example",), b"hello\r\n")])
        site.wait_empty(30)
        taken = site.sim.ledger()[had:]
        assert [e.login for e in taken] == [site.sim.login[0]], order
        failed += [order] * len(site.faults())
    assert set(failed) == set(ONCE)     # else nothing was tried
    assert other_queue() == before


def test_a_shortage_of_processes_is_waited_for(site):
    """As long as it lasts, nothing is served and nobody's queue is touched;
    a second after it, mail goes."""
    before = other_queue()
    site.lane_faults("fork:1-4:EAGAIN")
    for pid in site.pids("lane"):
        site.kill9(pid)
    mail(site, "fast", 1)
    site.log.wait(r"warning: .*Resource temporarily unavailable -- cannot "
                  r"start, trying again")
    site.wait_empty(30)
    assert len(site.faults()) >= 4
    assert len(site.log.lines("cannot start, trying again")) == 1
    assert other_queue() == before


def test_what_postconf_refuses_ends_the_lane(site):
    """No service rather than one of built-in defaults."""
    before = other_queue()
    for pid in site.pids("lane"):
        site.kill9(pid)
    site.lane_environment(MAIL_CONFIG="/nowhere")
    mail(site, "fast", 1)
    site.log.wait(r"fatal: cannot read the configuration: open "
                  r"/nowhere/main.cf: No such file")
    site.log.wait(r"libexec/lane pid \d+ exit status 1")
    assert site.queue_count() == 1 and not site.sim.ledger()
    assert other_queue() == before
