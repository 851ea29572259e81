"""What replies teach: pace, pauses, sessions that are used up, alarms.
POSTLANE_LONG=1 takes more mail, minutes long, and smtp(8) beside it; figures
go to stdout."""
import json
import os
import shutil
import time

import pytest

from harness import messages, paths
from harness.load import wait_clock, wait_flushed
from harness.simulator import Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
AGENTS = ["lane", "smtp"] if LONG else ["lane"]
STAGES = ["mail", "rcpt", "data"] if LONG else ["mail"]
PROVIDERS = os.path.join(paths.ROOT, "providers")
BLACKLISTED = ("421 4.5.1 Too many errors, you have been temporarily "
               "blacklisted")
TOO_MANY = "550 5.7.0 Too many messages, try again in {} seconds"
# What a test of a few seconds loses on a machine with other work.
SLACK_S = 0 if LONG else 3
WIDE = {"fast_destination_concurrency_limit": "400",
        "fast_initial_destination_concurrency": "400"}


def start(base, certs, origin, started, agent="lane", options=None,
          main=None, **sim_options):
    sim = started(Simulator(base, certs, **{
        "max_connections": 20, **sim_options}))
    origin.agent(agent, "fast", "class=fast", {
        "lane_provider_directory": PROVIDERS, **(options or {})})
    origin.relay_to(sim, transport="fast", **{**WIDE, **(main or {})})
    started(origin)
    return sim


def drain(origin, sim, count, timeout_s, prefix="m"):
    """Injects, waits for the end; seconds from the first acceptance to the
    last. Everything has to be there once."""
    began = len(sim.ledger())
    sent = messages.generate(count, prefix=prefix)
    origin.inject(sent)
    return finish(origin, sim, sent, timeout_s, began)


def drain_queue(origin, sim, count, timeout_s, prefix="m"):
    """As drain(), of mail that is in the queue before."""
    began = len(sim.ledger())
    origin.hold_transports("fast")
    sent = messages.generate(count, prefix=prefix)
    origin.inject(sent, connections=8)
    origin.release_transports()
    return finish(origin, sim, sent, timeout_s, began)


def finish(origin, sim, sent, timeout_s, began):
    sim.wait_taken(began + len(sent), timeout_s)
    origin.wait_empty(timeout_s)
    entries = sim.ledger()[began:]
    verdict = messages.compare(sent, sim.taken()[began:])
    assert verdict.is_clean(), verdict
    times = sorted(e.time_us for e in entries)
    return (times[-1] - times[0]) / 1e6


def drain_told(origin, sim, count, timeout_s, **main):
    """The same once more with the limit set from the start, and nothing known
    from before: how fast it can be."""
    origin.stop()
    shutil.rmtree(os.path.join(origin.data_directory, "postlane"))
    origin.set(**main)
    origin.start()
    return drain_queue(origin, sim, count, timeout_s, "told")


def deferred(origin):
    """Times that Postfix was given mail back by the agent."""
    statuses = origin.log.statuses("/smtp")
    assert statuses["bounced"] == 0
    return statuses["deferred"]


# ---- an unannounced rate ---------------------------------------------------

@pytest.mark.parametrize("agent", AGENTS)
def test_unannounced_rate_is_found(base, certs, origin, started, agent):
    # fewer than make the active queue crowded
    rate, count = (100, 10000) if LONG else (200, 2400)
    # smtp(8) defers most of it again and again
    if agent == "smtp":
        count //= 5
    sim = start(base, certs, origin, started, agent,
                rate=f"{rate}/1s:10", sync=False)
    took = drain(origin, sim, count, count / rate * 20 + 60)
    stats = sim.stats()
    times = sorted(e.time_us for e in sim.ledger())
    later = [t for t in times if t > times[0] + 60e6]
    late_rate = (len(later) - 1) / (later[-1] - later[0]) * 1e6 \
        if len(later) > 100 else 0
    print(f"\n{agent}: {count} messages at {rate}/s in {took:.1f} s, "
          f"{count / took:.1f}/s, after a minute {late_rate:.1f}/s; "
          f"refused {stats['throttled']}, "
          f"deferred {deferred(origin)}, "
          f"connections {stats['connections_total']}")
    if agent == "lane":
        assert deferred(origin) == 0
        assert stats["throttled"] <= count * (0.02 if LONG else 0.05)
        if LONG:    # on a machine with nothing else to do
            # found within a quarter of a minute, from a burst of ten
            settled = times[int(count * 0.6):]
            found = (len(settled) - 1) / (settled[-1] - settled[0]) * 1e6
            assert found >= rate * 0.8
            assert not later or late_rate >= rate * 0.9
        check_rate_is_remembered(origin, sim, rate)


def check_rate_is_remembered(origin, sim, rate):
    """Over stop and start: neither a burst nor a new search."""
    before = sim.stats()["throttled"]
    origin.stop()
    origin.start()
    began, count = len(sim.ledger()), rate * 3
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(began + 1, 30)
    if sim.stats()["throttled"] == before:
        # known before anybody had to tell it again
        wait_until(lambda: origin.lane("fast")["gauges"]["rate_milli"] > 0,
                   10, "a learned rate on the board")
    began += 1
    origin.inject(messages.generate(count, prefix="again"))
    sim.wait_taken(began + count, 30)
    times = sorted(e.time_us for e in sim.ledger()[began:])
    took = (times[-1] - times[0]) / 1e6
    refused = sim.stats()["throttled"] - before
    print(f"after a restart: {count} messages in {took:.1f} s, "
          f"refused {refused}")
    assert not LONG or took <= 3 * 1.6
    # a machine that is busy hands mail on in flights
    assert refused <= (3 if LONG else 12)


@pytest.mark.parametrize("stage", STAGES)
def test_throttle_at_any_stage_is_waited_out(base, certs, origin, started,
                                             stage):
    sim = start(base, certs, origin, started, rate="50/1s:20",
                rate_stage=stage)
    took = drain(origin, sim, 120, 60)
    print(f"\n{stage}: 120 messages at 50/s in {took:.1f} s, "
          f"refused {sim.stats()['throttled']}")
    assert deferred(origin) == 0


# ---- sessions --------------------------------------------------------------

@pytest.mark.parametrize("agent", AGENTS)
def test_sessions_of_five_messages_cost_nothing(base, certs, origin, started,
                                                agent):
    sim = start(base, certs, origin, started, agent, max_messages=5,
                latency=20)
    count = 5000 if LONG else 500
    took = drain_queue(origin, sim, count, 120)
    stats = sim.stats()
    print(f"\n{agent}: {count} messages, 421 after 5: {took:.2f} s, "
          f"{stats['connections_total']} connections, "
          f"deferred {deferred(origin)}")
    if agent == "lane":
        assert deferred(origin) == 0
        assert stats["connections_total"] <= count / 5 * 1.2 + 20
        told = drain_told(origin, sim, count, 120,
                          lane_messages_per_connection="5")
        print(f"with lane_messages_per_connection = 5: {told:.2f} s")
        assert not LONG or took <= told * 1.2 + SLACK_S


@pytest.mark.parametrize("agent", AGENTS)
def test_three_connections_are_enough(base, certs, origin, started, agent):
    sim = start(base, certs, origin, started, agent, max_connections=3,
                latency=10)
    count = 5000 if LONG else 500
    # smtp(8) has most of it deferred, again and again
    took = drain_queue(origin, sim, count, 300 if agent == "lane" else 900)
    stats = sim.stats()
    print(f"\n{agent}: {count} messages, 3 connections: {took:.2f} s, "
          f"{stats['connections_refused']} refused, "
          f"deferred {deferred(origin)}")
    if agent == "lane":
        assert deferred(origin) == 0
        assert stats["connections_refused"] <= 40
        assert len(sim.per_connection()) <= count / 50 * 1.5 + 20
        told = drain_told(origin, sim, count, 300,
                          lane_account_connection_limit="3")
        print(f"with lane_account_connection_limit = 3: {told:.2f} s")
        assert not LONG or took <= told * 1.2 + SLACK_S


# ---- 5xx that are really throttles -----------------------------------------

@pytest.mark.parametrize("stage", ["auth", "mail", "eod"])
def test_5xx_that_asks_for_time_bounces_nothing(base, certs, origin, started,
                                                stage):
    reply = TOO_MANY.format(2)
    rule = f'{stage} nth 40 reply "{reply}"\n' if stage != "auth" else \
        f'auth times 3 reply "{reply}"\n'
    sim = start(base, certs, origin, started, script=rule)
    began = time.monotonic()
    drain(origin, sim, 300, 60)
    took = time.monotonic() - began
    print(f"\n5xx at {stage}: 300 messages in {took:.1f} s")
    assert deferred(origin) == 0
    assert origin.mailbox() == []


def attempts(sim):
    stats = sim.stats()
    return stats["messages"] + stats["throttled"]


@pytest.mark.parametrize("agent", AGENTS)
def test_5xx_of_a_quota_is_drained_in_time(base, certs, origin, started,
                                           agent):
    """A hundred, then a 550 that asks for the time in which they come back."""
    again_s, rate, count = (20, 5, 500) if LONG else (2, 50, 500)
    burst = again_s * rate
    sim = start(base, certs, origin, started, agent,
                rate=f"{rate}/1s:{burst}", rate_stage="mail",
                rate_reply=TOO_MANY.format(again_s))
    if agent == "smtp":
        origin.inject(messages.generate(count))
        origin.wait_empty(300)
        print(f"\nsmtp: {origin.log.statuses('/smtp')}")
        return
    origin.hold_transports("fast")
    sent = messages.generate(count)
    origin.inject(sent)
    origin.release_transports()
    wait_until(lambda: sim.stats()["throttled"], 60, "a refusal")
    began = time.monotonic()
    wait_clock(0.5)     # what was in the air is refused as well
    tried = attempts(sim)
    wait_clock(again_s - 0.5, since=began)
    assert attempts(sim) == tried
    took = finish(origin, sim, sent, 600, 0)
    ideal = (count - burst) / rate
    print(f"\n{count} messages in {took:.1f} s, ideal {ideal:.1f} s, "
          f"refused {sim.stats()['throttled']}")
    assert deferred(origin) == 0
    assert origin.mailbox() == []
    assert not LONG or took <= ideal * 1.2 + SLACK_S


def test_pause_is_kept_by_the_next_process(base, certs, origin, started):
    """Not even a login, however the last one ended."""
    def stop_and_start():
        origin.stop()
        origin.start()
    pattern = r"status=deferred .*asked for a pause"
    sim = start(base, certs, origin, started)
    drain(origin, sim, 1, 30)
    sim.script(f'mail reply "{TOO_MANY.format(1800)}"\n')
    origin.inject(messages.generate(1, prefix="refused"))
    origin.log.wait(pattern, 60)
    for end in (origin.reload, stop_and_start):
        mark = origin.log.mark()
        end()
        logins = sim.stats()["connections_total"]
        origin.inject(messages.generate(1, prefix=end.__name__))
        origin.log.wait(pattern, 60, since=mark)
        assert sim.stats()["connections_total"] == logins


# ---- alarms ----------------------------------------------------------------

def alarm_options(hook, **more):
    return {"lane_alert_url": hook.url, "lane_alert_retry": "2s", **more}


def taken(origin, sim, count):
    wait_flushed(origin, lambda: len(sim.ledger()) >= count, 60,
                 f"{count} messages taken")


def test_blacklist_is_told_at_once_and_ends_by_itself(
        base, certs, origin, started, hook):
    sim = start(base, certs, origin, started, options=alarm_options(hook))
    drain(origin, sim, 20, 30)
    sim.script(f'connect reply "{BLACKLISTED}" close\n'
               f'mail reply "{BLACKLISTED}" close\n')
    before = sim.stats()["connections_total"]
    later = messages.generate(20, prefix="later")
    began = time.time()
    origin.inject(later)
    wait_until(lambda: hook.got, 10, "an alarm")
    at, alarm = hook.got[0]
    print(f"\nalarm {at - began:.2f} s after the mail came: {alarm}")
    assert alarm["event"] == "alarm" and alarm["what"] == "blocked"
    assert alarm["reply"].startswith("421 4.5.1 Too many errors")
    refused = origin.log.wait(r"status=deferred .*refuses our mail")
    assert "temporarily blacklisted" in refused[0]
    waiting = wait_until(lambda: origin.queue("deferred"), 10, "mail kept")
    assert "blacklisted" in json.dumps(waiting)
    # once after 2 s, then after 4 s: Postfix tries again each second
    wait_clock(4)
    knocks = sim.stats()["connections_total"] - before
    print(f"{knocks} connections in {time.time() - began:.1f} s")
    assert knocks <= 4
    assert len(hook.got) == 1
    sim.script("")
    taken(origin, sim, 40)
    wait_until(lambda: len(hook.got) == 2, 10, "the end of the alarm")
    assert hook.got[1][1]["event"] == "clear"
    origin.wait_empty()
    assert origin.mailbox() == []


def test_refusal_in_a_session_is_told_too(
        base, certs, origin, started, hook):
    sim = start(base, certs, origin, started, options=alarm_options(hook),
                transcript=True,
                script='mail reply "554 5.7.1 Your account is suspended"\n')
    sent = messages.generate(1)
    origin.inject(sent)
    origin.log.wait(r"status=deferred")
    wait_until(lambda: hook.got, 10, "an alarm")
    assert hook.got[0][1]["what"] == "blocked"
    assert deferred(origin) >= 1
    sim.script("")
    taken(origin, sim, 1)
    wait_until(lambda: len(hook.got) == 2, 10, "the end of the alarm")


def test_alarm_is_posted_by_the_refusal_itself(
        base, certs, origin, started, hook):
    """Not by what comes later: no other attempt, of the lane or of the queue
    manager, is made before."""
    sim = start(base, certs, origin, started,
                options=alarm_options(hook, lane_alert_retry="3600s"),
                main={"minimal_backoff_time": "3600s",
                      "maximal_backoff_time": "3600s",
                      "queue_run_delay": "3600s"},
                script='mail reply "550 5.7.1 You have been blacklisted"\n')
    origin.inject(messages.generate(1))
    wait_until(lambda: hook.got, 30, "an alarm")
    [(_, alarm)] = hook.got
    assert (alarm["event"], alarm["what"]) == ("alarm", "blocked")
    assert alarm["reply"].startswith("550 5.7.1 You have been blacklisted")
    origin.log.wait(r"status=deferred .*blacklisted")
    assert len(origin.log.lines(r"warning: alarm: blocked: ")) == 1
    assert len(origin.log.deliveries("/smtp", "deferred")) == 1
    counters = origin.lane("fast")["counters"]
    assert (counters["dials"], counters["transactions"]) == (1, 1)
    sim.script("")
    assert origin.postlane("retry").returncode == 0
    taken(origin, sim, 1)
    wait_until(lambda: len(hook.got) == 2, 30, "the end of the alarm")
    assert hook.got[1][1]["event"] == "clear"


def alarmed(base, certs, origin, started, hook, stage):
    """An instance amid an alarm, with a message in the queue."""
    sim = start(base, certs, origin, started, options=alarm_options(
        hook, lane_alert_retry="60s"))
    drain(origin, sim, 1, 30)   # and master trusts the lane
    replies = {"auth": "535 5.7.8 Error: authentication failed",
               "mail": "554 5.7.1 Your account is suspended"}
    sim.script(f'{stage} reply "{replies[stage]}"\n')
    # sessions that are logged in already know nothing of it
    origin.reload()
    origin.inject(messages.generate(1, prefix="kept"))
    origin.log.wait(r"status=deferred")
    wait_until(lambda: hook.got, 10, "an alarm")
    # one that is killed before it has heard the answer leaves it in doubt
    wait_until(lambda: not origin.lane("fast")["gauges"]["alerts_pending"],
               30, "an alarm that is known to be told")
    return sim


@pytest.mark.parametrize("stage", ["auth", "mail"])
@pytest.mark.parametrize("how", ["reload", "kill"])
def test_alarm_is_told_once_over_processes(
        base, certs, origin, started, hook, how, stage):
    sim = alarmed(base, certs, origin, started, hook, stage)
    for n in range(2):
        # the second time by a process that has recalled it
        if how == "kill":
            pids = [p for p in origin.pids("lane") if origin.kill9(p)]
            assert pids
        else:
            origin.reload()
        since = origin.log.mark()
        if n == 0:
            # it tries at once, and meets the same trouble
            wait_flushed(origin, lambda: origin.log.deliveries(
                "/smtp", "deferred", since), 60, "another refusal")
    assert len(hook.got) == 1
    sim.script("")
    taken(origin, sim, 2)
    wait_until(lambda: len(hook.got) == 2, 10, "the end of the alarm")
    assert [g["event"] for _, g in hook.got] == ["alarm", "clear"]
    assert hook.got[0][1]["what"] == hook.got[1][1]["what"]
    drained = messages.generate(5, prefix="after")
    origin.inject(drained)
    sim.wait_taken(7)
    assert len(hook.got) == 2
    assert len(origin.log.lines(r"warning: alarm: ")) == 1
    assert len(origin.log.lines(r": alarm cleared: ")) == 1


def test_refused_login_is_told(base, certs, origin, started, hook):
    sim = start(base, certs, origin, started, options=alarm_options(hook),
                script='auth reply "535 5.7.8 Error: authentication failed"\n')
    origin.inject(messages.generate(30))
    wait_until(lambda: hook.got, 10, "an alarm")
    assert hook.got[0][1]["what"] == "login"
    assert "535" in hook.got[0][1]["reply"]
    assert sim.stats()["auths"] + sim.stats()["auth_failures"] <= 25
    sim.script("")
    taken(origin, sim, 30)
    wait_until(lambda: [g for _, g in hook.got if g["event"] == "clear"], 10,
               "the end of the alarm")
    assert len(hook.got) == 2
    assert deferred(origin) >= 30


def test_login_of_one_sender_is_told_apart(base, certs, origin, started, hook):
    """That another sender's works is not the end of it."""
    sim = start(base, certs, origin, started, options=alarm_options(hook))
    hop = origin.main["relayhost"]
    origin.set(smtp_sender_dependent_authentication="yes",
               smtp_sasl_password_maps=origin.map("by_sender", {
                   "@bad.example": "nobody:wrong",
                   hop: ":".join(sim.login)}, mode=0o600), reload=True)
    origin.inject(messages.generate(1, sender_domain="bad.example"))
    wait_until(lambda: hook.got, 10, "an alarm")
    origin.inject(messages.generate(5, prefix="good"))
    taken(origin, sim, 5)
    assert [(g["event"], g["what"]) for _, g in hook.got] == \
        [("alarm", "login")]
    assert "bad.example" in hook.got[0][1]["smarthost"]


# ---- one witness -----------------------------------------------------------

ABOUT_THE_MESSAGE = [
    "550 High probability of spam. Your account may be disabled if you "
    "continue",
    "554 5.7.1 The URL http://offer.example/x is listed; your domain may be "
    "blocked",
    "554 5.7.1 Message rejected because your domain spam.example is listed "
    "in a block list"]


@pytest.mark.parametrize("agent", ["lane", "smtp"])
def test_one_refused_message_stops_no_other(
        base, certs, origin, started, agent):
    sim = start(base, certs, origin, started, agent, transcript=True)
    for i, text in enumerate(ABOUT_THE_MESSAGE):
        sim.script(f'eod nth 6 reply "{text}"\n')
        before = origin.log.statuses("/smtp")
        origin.inject(messages.generate(20, prefix=f"t{i}-"))
        wait_until(lambda: sum((origin.log.statuses("/smtp") - before)
                               .values()) >= 20, 30, "20 results")
        assert origin.log.statuses("/smtp") - before == \
            {"sent": 19, "bounced": 1}
    assert not origin.log.lines(r"warning: alarm: ")


@pytest.mark.parametrize("agent", ["lane", "smtp"])
def test_one_refused_login_of_many_costs_nothing(
        base, certs, origin, started, agent):
    lost = "535 5.7.8 Error: authentication failed: Connection lost"
    sim = start(base, certs, origin, started, agent, max_messages=10,
                script=f'auth nth 5 reply "{lost}"\n')
    origin.inject(messages.generate(300))
    taken(origin, sim, 300)
    refused = sim.stats()["auth_failures"]
    print(f"\n{agent}: {deferred(origin)} deferred, {refused} refused")
    if agent == "lane":
        assert deferred(origin) == 0
    assert not origin.log.lines(r"warning: alarm: ")


# ---- parameters ------------------------------------------------------------

@pytest.mark.parametrize("stress, connections, messages_each",
                         [(None, 2, 4), ("", 2, 4), ("yes", 3, 9)])
def test_stress_decides_our_parameters_too(
        base, certs, origin, started, stress, connections, messages_each):
    """As master(8) would pass it to a service of more than one process."""
    options = {"lane_connection_limit": "${stress?{3}:{2}}",
               "lane_messages_per_connection": "${stress?{9}:{4}}"}
    if stress is not None:
        options["stress"] = stress
    sim = start(base, certs, origin, started, options=options, latency=20)
    drain(origin, sim, 60, 60)
    assert max(sim.per_connection().values()) == messages_each
    assert sim.stats()["connections_max"] == connections
