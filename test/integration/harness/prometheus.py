"""Debian's Prometheus and promtool, as scripts/setup has unpacked them."""
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from . import paths
from .daemon import Daemon

RULES = os.path.join(paths.ROOT, "share/prometheus/postlane.rules.yml")


def promtool(*words, input=None):
    """(status, what it says)"""
    done = subprocess.run(
        [paths.PROMTOOL, *words], input=input, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    return done.returncode, done.stdout


class Prometheus(Daemon):
    """Scrapes lanestat at a port once a second, and evaluates our rules."""

    def __init__(self, base, target_port):
        super().__init__(base, "prometheus")
        self.port = paths.free_port()
        with open(self.path("prometheus.yml"), "w", encoding="ascii") as f:
            json.dump({      # is YAML, too
                "global": {"scrape_interval": "1s",
                           "evaluation_interval": "1s"},
                "rule_files": [RULES],
                "scrape_configs": [{
                    "job_name": "postlane",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{target_port}"]}]}],
            }, f)

    def command(self):
        return ["env", "GOMAXPROCS=1", paths.PROMETHEUS,
                "--config.file=" + self.path("prometheus.yml"),
                "--storage.tsdb.path=" + self.path("data"),
                f"--web.listen-address=127.0.0.1:{self.port}"]

    def is_ready(self):
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as a:
                return a.status == 200
        except OSError:
            return False

    def ask(self, path, **query):
        """"data" of an answer of its API; an error is one of the test's."""
        url = (f"http://127.0.0.1:{self.port}/api/v1/{path}?"
               + urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=300) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{query}: {e.read().decode()}") from e

    def query(self, expression):
        """{labels: value}; labels as a frozenset of pairs."""
        rows = self.ask("query", query=expression)["result"]
        return {frozenset(r["metric"].items()): float(r["value"][1])
                for r in rows}

    def firing(self):
        """Labels of the alerts that fire, by the alert's name."""
        return {a["labels"]["alertname"]: a["labels"]
                for a in self.ask("alerts")["alerts"]
                if a["state"] == "firing"}
