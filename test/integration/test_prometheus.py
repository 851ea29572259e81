"""A real Prometheus beside lanestat(8): it takes what is served, each query of
rules and dashboard means something, and what is wrong makes an alert fire."""
import json
import os
import re

from harness import messages, paths
from harness.prometheus import RULES, Prometheus, promtool
from harness.simulator import Simulator
from harness.wait import wait_until
from test_lanestat import answer, series

DASHBOARD = os.path.join(paths.ROOT, "share/grafana/postlane.json")
ALERTS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "alerts.test.yml")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def queries(node):
    """Every "expr" below a node of the dashboard, as Grafana would ask it."""
    if isinstance(node, list):
        return [q for n in node for q in queries(n)]
    if not isinstance(node, dict):
        return []
    own = [node["expr"]] if isinstance(node.get("expr"), str) else []
    return own + [q for n in node.values() for q in queries(n)]


def metric_names(text):
    return set(re.findall(r"\bpostlane_\w+", text))


def test_rules_do_what_they_say():
    """Each alert has a case in which it fires and one in which it does not."""
    status, said = promtool("test", "rules", ALERTS)
    assert status == 0, said
    status, said = promtool("check", "rules", RULES)
    assert status == 0, said
    names = re.findall(r"^ +- alert: (\w+)$", read(RULES), re.M)
    cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?\n",
                       read(ALERTS))
    assert len(names) == len(set(names)) > 10
    assert {name for name, none in cases if not none} == set(names)
    # a login that fails is compared with those that do not, in one case
    assert {name for name, none in cases if none} >= set(names) - {
        "PostlaneLoginsFail"}


def test_prometheus_and_an_alert(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast", {
        "lane_provider_directory": os.path.join(paths.ROOT, "providers"),
        "lane_account_message_rate_limit": "10000/1d!",
        "lane_alert_retry": "1s"})
    origin.relay_to(sim, transport="fast")
    port = origin.lanestat()
    started(origin)
    prometheus = started(Prometheus(base, port))
    origin.inject(messages.generate(5))
    origin.wait_empty()
    wait_until(lambda: list(prometheus.query(
        'postlane_messages_total{lane="fast",result="sent"}').values()) == [5],
        30, "Prometheus knows of five messages")
    # it asked for OpenMetrics; this is the other format
    text = answer(port, "/metrics")
    status, said = promtool("check", "metrics", input=text)
    assert (status, said) == (0, "")

    # What rules and dashboard ask for exists, and can be asked.
    dashboard = json.loads(read(DASHBOARD))
    asked = queries(dashboard)
    assert len(asked) > 30
    # of tokens and fleets there are families without a series
    there = {name.partition("{")[0] for name in series(text)}
    there |= set(re.findall(
        r"^# TYPE (postlane_(?:token|fleet)\w+) ", text, re.M))
    assert metric_names(" ".join(asked)) <= there
    for panel in dashboard["panels"]:
        assert panel["targets"] and panel["title"]
    for query in asked:
        query = query.replace("$lane", ".*").replace(
            "$__rate_interval", "1m")
        prometheus.query(query)
    [group] = prometheus.ask("rules")["groups"]
    assert metric_names(" ".join(r["query"] for r in group["rules"])) <= there
    assert wait_until(
        lambda: all(r["health"] == "ok" for r in
                    prometheus.ask("rules")["groups"][0]["rules"]),
        20, "all rules are evaluated")
    assert not prometheus.firing()

    # The provider lets nothing of us in any more.
    sim.script('mail reply "550 5.7.1 Your IP address is blacklisted"\n')
    origin.inject(messages.generate(2, prefix="blocked"))
    alert = wait_until(lambda: prometheus.firing().get("PostlaneAlarm"), 30,
                       "the alert")
    assert (alert["lane"], alert["what"]) == ("fast", "blocked")
    sim.script("")
    origin.flush()
    wait_until(lambda: not prometheus.firing(), 60, "the end of the alert")
