#!/usr/bin/python3
"""Pictures of lanestat's page and of postlane top while lanes work: README.md,
"Pictures".

  SHOTS=folder  where they go (build/shots)
  SPAN=120      seconds of load before the first
  BASE=folder   where the instances live
"""
import html
import os
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from harness import messages, paths                     # noqa: E402
from harness.browser import Browser                     # noqa: E402
from harness.certs import Certs                         # noqa: E402
from harness.load import Load                           # noqa: E402
from harness.postfix import Postfix                     # noqa: E402
from harness.simulator import DelayProxy, Simulator     # noqa: E402
from harness.terminal import Terminal                   # noqa: E402
from harness.wait import wait_until                     # noqa: E402

from home import bench_home                             # noqa: E402

SHOTS = os.path.abspath(os.environ.get("SHOTS", paths.built("shots")))
SPAN = float(os.environ.get("SPAN", "120"))
BLACKLISTED = ('mail reply "550 5.7.1 Your IP address is blacklisted, see '
               'https://provider.example/unblock?id=7f3a"\n')
SLOWER = 'eod if rcpt "bulk" reply "454 4.7.0 Too many messages, slow down"\n'
PAGES = (("wide-light", 1440, "light"), ("wide-dark", 1440, "dark"),
         ("phone-light", 360, "light"), ("phone-dark", 360, "dark"))
TERMINALS = ((80, 24), (60, 24), (200, 50))

# ---- a terminal as a page --------------------------------------------------

COLOURS = ("#000", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd",
           "#56b6c2", "#ddd")


# What ends what.
ENDS = {0: range(128), 22: (1, 2), 27: (7,),
        39: (*range(30, 38), *range(90, 98))}


def after(codes, code):
    ended = ENDS.get(code, ())
    return [c for c in codes if c not in ended] + [code]


def style_of(codes):
    style, fore, back = [], "#d7dae0", "#16181d"
    for code in codes:
        if code == 1:
            style.append("font-weight:bold")
        elif code == 2:
            style.append("opacity:.6")
        elif 30 <= code <= 37:
            fore = COLOURS[code - 30]
        elif 90 <= code <= 97:
            fore = COLOURS[code - 90]
    if 7 in codes:
        fore, back = back, fore
    return ";".join(style + [f"color:{fore}", f"background:{back}"])


def as_html(rows):
    """What tmux captured, with the escapes of its colours."""
    out, codes = [], []
    for row in rows:
        for text, escape in re.findall(r"([^\x1b]*)(?:\x1b\[([\d;]*)m|$)",
                                       row.replace("\x1b[m", "\x1b[0m")):
            if text:
                out.append(f'<span style="{style_of(codes)}">'
                           f"{html.escape(text)}</span>")
            for code in re.findall(r"\d+", escape):
                codes = after(codes, int(code))
        out.append("\n")
    return ('<!DOCTYPE html><meta charset="utf-8"><body style="margin:8px;'
            'background:#16181d"><pre style="margin:0;display:inline-block;'
            'font:14px/1.25 DejaVu Sans Mono,monospace">'
            + "".join(out) + "</pre>")


# ---- the site --------------------------------------------------------------

class Site:
    """Two lanes of one account, 20 ms away."""

    def __init__(self, base):
        self.sim = Simulator(base, Certs(os.path.join(base, "certs")),
                             sync=False).start()
        self.proxy = DelayProxy(base, self.sim.port, 10).start()
        self.postfix = Postfix(base, "mail")
        for name, limit in (("fast", "30/1s:10"), ("slow", "25/1s:5")):
            self.postfix.agent("lane", name, f"class={name}", {
                "lane_connection_limit": "8", "lane_log_name": name,
                "lane_account_connection_limit": "20",
                "lane_message_rate_limit": limit,
                "lane_account_message_rate_limit": "20000/1d!"})
        self.postfix.relay_to(self.sim, transport="fast",
                              port=self.proxy.port)
        self.postfix.set(
            transport_maps=self.postfix.map(
                "transport", {"bulk.example": "slow:"}),
            minimal_backoff_time="600s", queue_run_delay="600s")
        self.url = f"http://127.0.0.1:{self.postfix.lanestat()}/"
        self.postfix.start()
        wait_for(self.url)

    def load(self, name, per_s, domain):
        return Load(self.postfix, batch=5, per_s=per_s, prefix=name,
                    recipients=lambda n: [f"{name}-{n}@{domain}"], size=3000)

    def health(self, name):
        return self.postfix.lane(name)["health"]

    def stop(self):
        self.postfix.destroy()
        self.proxy.destroy()
        self.sim.destroy()


def wait_for(url):
    def answers():
        try:
            with urllib.request.urlopen(url + "healthz", timeout=10):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
    wait_until(answers, 60, "lanestat answers")


class Camera:
    def __init__(self, base):
        self.base = base
        self.browser = Browser(base)
        os.makedirs(SHOTS, exist_ok=True)

    def save(self, page, name):
        path = os.path.join(SHOTS, name + ".png")
        page.screenshot(path)
        print(path, flush=True)

    def page(self, url, scene, looks=PAGES, scripts=True):
        for look, width, scheme in looks:
            page = self.browser.page(url, width=width, height=900,
                                     scheme=scheme, scripts=scripts)
            if scripts:
                page.wait("document.querySelector('#strip > *') !== null",
                          "the page shows something")
                # its second look, as graphs have the right width then
                time.sleep(2.5)
            wide = page.ask("document.documentElement.scrollWidth")
            if wide > width:
                print(f"{scene}-{look}: {wide} px wide", flush=True)
            self.save(page, f"{scene}-{look}")
            for said in page.complaints():
                print(f"{scene}-{look}: {said}", flush=True)
            page.close()

    def top(self, postfix, scene, sizes=TERMINALS, keys=()):
        postfix.postlane("-V")
        for width, height in sizes:
            terminal = Terminal(self.base, width, height)
            terminal.start(os.path.join(postfix.home, "postlane"), "-c",
                           postfix.etc, "top")
            try:
                terminal.shows(r"LANE +STATE", "its head")
                for key in keys:
                    terminal.keys(key)
                time.sleep(2.5)
                rows = terminal.coloured()
            finally:
                terminal.stop()
            name = f"{scene}-top-{width}x{height}"
            path = os.path.join(self.base, name + ".html")
            with open(path, "w", encoding="utf-8") as f:
                f.write(as_html(rows))
            page = self.browser.page("file://" + path,
                                     width=max(600, width * 9),
                                     height=height * 18 + 16)
            self.save(page, name)
            page.close()

    def close(self):
        self.browser.close()


# ---- scenes ----------------------------------------------------------------

def empty(base, camera):
    """No lane yet; then two that have had no mail."""
    postfix = Postfix(base, "empty")
    url = f"http://127.0.0.1:{postfix.lanestat()}/"
    try:
        postfix.start()
        wait_for(url)
        camera.page(url, "nolane", PAGES[1:3])
        for name in ("fast", "slow"):
            postfix.agent("lane", name, f"class={name}", {})
        postfix.set(relayhost="[127.0.0.1]:2525")
        postfix.reload()
        camera.page(url, "nomail", PAGES[:1] + PAGES[3:])
        camera.top(postfix, "nomail", TERMINALS[:2])
    finally:
        postfix.destroy()


def working(site, camera):
    time.sleep(SPAN / 2)
    # The provider asks for less of one domain's mail, for a while.
    site.sim.script(SLOWER)
    time.sleep(4)
    site.sim.script("")
    time.sleep(SPAN / 2)
    camera.page(site.url, "load")
    camera.page(site.url, "load", [("wall-dark", 2560, "dark")])
    camera.page(site.url, "load-tables", [("phone-light", 360, "light"),
                                          ("wide-dark", 1280, "dark")], False)
    camera.top(site.postfix, "load")
    site.postfix.postlane("pause", "slow", "--for", "30m")
    time.sleep(3)
    camera.page(site.url, "paused", PAGES[:1])
    camera.top(site.postfix, "paused", TERMINALS[:1])
    site.postfix.postlane("resume", "slow")


def alarm(site, camera):
    site.sim.script(BLACKLISTED)
    wait_until(lambda: site.health("fast") == site.health("slow") == "alarm",
               120, "both lanes have an alarm")
    camera.page(site.url, "alarm")
    camera.top(site.postfix, "alarm")
    site.sim.script("")
    site.postfix.postlane("retry")
    wait_until(lambda: site.health("fast") != "alarm", 120, "it is over")
    time.sleep(5)


def outage(site, camera):
    site.sim.stop()
    time.sleep(25)
    camera.page(site.url, "outage")
    camera.top(site.postfix, "outage")
    site.sim.start()
    site.postfix.postlane("retry")
    time.sleep(10)
    camera.page(site.url, "after", PAGES[:1])


def main():
    with bench_home("shots", measures=False) as base:
        camera = Camera(base)
        try:
            empty(base, camera)
            site = Site(base)
            try:
                with site.load("person", 12, "people.example"), \
                        site.load("news", 35, "bulk.example"):
                    working(site, camera)
                    alarm(site, camera)
                    outage(site, camera)
                site.postfix.inject(messages.generate(1))
            finally:
                site.stop()
        finally:
            camera.close()


main()
