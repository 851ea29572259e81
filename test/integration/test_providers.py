"""lane_provider with a real Postfix: what the files in providers/ make of a
lane, what wins over them, and that they are data: no program is rebuilt."""
import glob
import os
import re
import shutil
import subprocess
import time

from harness import messages, paths
from harness.pace import ahead
from harness.simulator import Simulator
from harness.wait import wait_until

SHIPPED = os.path.join(paths.ROOT, "providers")
NAMES = sorted(os.path.basename(p)[:-len(".conf")]
               for p in glob.glob(SHIPPED + "/*.conf")
               if not p.endswith("/general.conf"))
WIDE = {"fast_destination_concurrency_limit": "400",
        "fast_initial_destination_concurrency": "400"}
IN_FORCE = {
    "authsmtp": {"lane_account_connection_limit": "5"},
    "emailit": {"lane_account_message_rate_limit": "2/1s 5000/1d!"},
    "gmail": {},
    "gmail-relay": {"lane_account_recipient_rate_limit": "10000/1d!"},
    "mailersend": {"lane_messages_per_connection": "5",
                   "lane_account_message_rate_limit": "120/1m"},
    "office365": {"lane_account_connection_limit": "3",
                  "lane_account_message_rate_limit": "30/1m",
                  "lane_account_recipient_rate_limit": "10000/1d!"},
    "reachmail": {"lane_messages_per_connection": "25"},
    # published are 10,000 connections: the most the parameter takes
    "sendgrid": {"lane_account_connection_limit": "1000",
                 "lane_messages_per_connection": "5000"},
    "ses": {"lane_messages_per_connection": "350"},
    "smtp2go": {},
    "socketlabs": {"lane_account_connection_limit": "20",
                   "lane_messages_per_connection": "50"},
    "sparkpost": {"lane_messages_per_connection": "100"},
}


def start(base, certs, origin, started, directory=SHIPPED, main=None,
          **sim_options):
    sim = started(Simulator(base, certs, max_connections=20, latency=5,
                            **sim_options))
    # one session at a time is as full as it may be
    origin.agent("lane", "fast", "class=fast", {"lane_connection_limit": 1})
    origin.relay_to(sim, transport="fast", lane_provider_directory=directory,
                    **WIDE, **(main or {}))
    started(origin)
    return sim


def ask(origin, *options):
    """lane -P: {parameter: value in force}, and all it says."""
    done = subprocess.run(
        [paths.built("lane"), "-P", *options], capture_output=True,
        text=True, check=False, timeout=300,
        env={**os.environ, "MAIL_CONFIG": origin.etc})
    found = dict(re.findall(r"^  (lane_\w+) = (.*?)   \(", done.stdout, re.M))
    return found, done.stdout + done.stderr, done.returncode


def deliver(origin, sim, count, prefix, timeout_s=60):
    """Entries of the ledger for so many messages more."""
    before = len(sim.ledger())
    sent = messages.generate(count, prefix=prefix, size=300)
    origin.inject(sent, connections=8)
    sim.wait_taken(before + count, timeout_s)
    origin.wait_empty()
    entries = sim.ledger()[before:]
    assert sorted(e.id for e in entries) == sorted(m.id for m in sent)
    return entries


def most_per_session(entries):
    count = {}
    for e in entries:
        count[e.connection] = count.get(e.connection, 0) + 1
    return max(count.values())


def test_each_provider_fills_parameters_and_delivers(
        base, certs, origin, started):
    sim = start(base, certs, origin, started)
    assert set(NAMES) == set(IN_FORCE)
    for name in NAMES:
        origin.set(lane_provider=name, reload=True)
        found, text, status = ask(origin)
        assert (found, status) == (IN_FORCE[name], 0), text
        deliver(origin, sim, 1, f"{name}-")
    assert set(origin.log.statuses("/smtp")) == {"sent"}
    assert not [line for line in origin.log.problems()
                if "disagree" not in line]


def test_provider_limits_are_kept(base, certs, origin, started):
    """MailerSend: five messages on a session, 120 a minute of the account."""
    sim = start(base, certs, origin, started,
                main={"lane_provider": "mailersend"}, max_messages=5)
    began = time.time()
    entries = deliver(origin, sim, 14, "m")
    times = sorted(e.time_us / 1e6 for e in entries)
    per_s = (len(times) - 1) / (times[-1] - times[0])
    print(f"\nmailersend: {per_s:.3f}/s, {most_per_session(entries)} messages "
          f"on a session at most")
    assert most_per_session(entries) == 5
    assert ahead([(at, 1) for at in times], 2, began) <= 1.1
    assert origin.log.statuses("/smtp") == {"sent": 14}
    # what was set wins, be it only the default
    origin.set(lane_account_message_rate_limit="none",
               lane_messages_per_connection="3", reload=True)
    entries = deliver(origin, sim, 30, "own")
    times = sorted(e.time_us / 1e6 for e in entries)
    assert most_per_session(entries) == 3
    # faster than the provider's rate lets them
    assert ahead([(at, 1) for at in times], 2, times[0]) > 1.1
    found, text, _ = ask(origin)
    assert found == {"lane_account_message_rate_limit": "none",
                     "lane_messages_per_connection": "3"}
    assert re.search(r"lane_messages_per_connection = 3   \(set; line \d+ "
                     r"says 5\)", text)


def test_unknown_provider_is_told_and_repaired(base, certs, origin, started):
    sim = start(base, certs, origin, started,
                main={"lane_provider": "sess"})
    origin.inject(messages.generate(2))
    [line, *_] = origin.log.wait(
        r"fatal: bad parameter: lane_provider = sess: cannot read")
    for name in NAMES:
        assert re.search(rf"must be .*\b{name}\b", line)
    origin.log.wait(r"dsn=4\.3\.5, status=deferred \(mail system "
                    r"configuration error: bad parameter: lane_provider")
    assert ask(origin)[2] == 2
    origin.set(lane_provider="ses", reload=True)
    origin.flush()
    sim.wait_taken(2)


def test_files_are_read_anew_at_reload(base, certs, origin, started):
    """One that was edited, one that is new, one that is wrong."""
    own = os.path.join(origin.etc, "providers")
    shutil.copytree(SHIPPED, own)
    sim = start(base, certs, origin, started, own,
                main={"lane_provider": "mailersend",
                      "lane_account_message_rate_limit": "none"},
                script='eod if subject "*acme*" times 1 '
                       'reply "451 4.0.0 our own words"\n')
    assert most_per_session(deliver(origin, sim, 30, "a")) == 5
    path = os.path.join(own, "mailersend.conf")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("messages-per-connection 5",
                             "messages-per-connection 4"))
    origin.reload()
    assert most_per_session(deliver(origin, sim, 30, "b")) == 4

    with open(os.path.join(own, "acme.conf"), "w", encoding="utf-8") as f:
        f.write("provider acme\n"
                "source AC 2026-11 acme.example/limits\n"
                "limit messages-per-connection 2 per session published AC\n"
                "reply eod 451 * /our own words/ slow\n")
    origin.set(lane_provider="acme", reload=True)
    assert most_per_session(deliver(origin, sim, 20, "acme")) == 2
    # what would have been deferred was slowed down for, by its rule
    assert origin.log.lines(r"pace=slower .*rule=\S+acme\.conf:4 .*our own words")
    assert set(origin.log.statuses("/smtp")) == {"sent"}

    with open(os.path.join(own, "acme.conf"), "a", encoding="utf-8") as f:
        f.write("limit messages-per-connection many per session "
                "published AC\n")
    origin.reload()
    origin.inject(messages.generate(1, prefix="last"))
    wait_until(lambda: origin.log.lines(r"fatal: .*acme\.conf:5: "), 30,
               "the line that is wrong")
