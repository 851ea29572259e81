"""lanestat's page in a browser: what it shows is what /api/status says, at
every width, light and dark, with and without JavaScript, and whoever clicks
through it meets no error. POSTLANE_SHOTS=DIR keeps pictures."""
import json
import os
import urllib.request

import pytest
from harness import messages, paths
from harness.browser import CHROMIUM, Browser
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.wait import wait_until

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser: POSTLANE_BROWSER=1 scripts/setup")
SHOTS = os.environ.get("POSTLANE_SHOTS")
SCRIPT = '''
rcpt if rcpt "refuse" reply "550 5.1.1 no <b>such</b> user"
rcpt if rcpt "later" reply "450 4.2.0 try later"
'''
# What a person reads of the lanes, accounts and events, and what is told.
READ = '''Promise.all([fetch("api/status", {cache: "no-store"})
    .then(r => r.json())]).then(([told]) => {
  let text = (e, q) => { let f = e.querySelector(q);
      return f ? f.textContent : null; };
  let figure = (e, name) => { for (let d of e.querySelectorAll("dl > div"))
      if (text(d, "dt") === name) return text(d, "dd"); return null; };
  return {told: told,
    lanes: [...document.querySelectorAll("#strip .lane")].map(e => ({
      name: text(e, "h2"), health: text(e, ".pill"),
      sentence: text(e, ".sentence"), queue: figure(e, "in the queue"),
      deferred: figure(e, "deferred"), sessions: figure(e, "sessions")})),
    accounts: [...document.querySelectorAll("#accounts .account")].map(e => ({
      label: text(e, "h2"), count: text(e, ".count"),
      cells: e.querySelectorAll(".cells .cell").length,
      free: e.querySelectorAll(".cells .is-free, .cells .is-kept").length})),
    graphs: document.querySelectorAll("#lanes .graphs svg path").length,
    events: [...document.querySelectorAll("#events li")]
      .map(e => e.textContent)}; })'''


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(str(tmp_path_factory.mktemp("chromium")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(certs):
    """Two lanes that have sent, and Postfix's queue with mail in it."""
    base = paths.make_base()
    sim = Simulator(base, certs, script=SCRIPT).start()
    origin = Postfix(base, "origin")
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}", {
            "lane_connection_limit": "2",
            "lane_account_message_rate_limit": "100000/1d!"})
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time="600s", queue_run_delay="600s")
    port = origin.lanestat()
    origin.start()
    origin.url = f"http://127.0.0.1:{port}/"
    # What is sent before it looks is no rate.
    wait_until(lambda: answers(origin.url), 30, "lanestat answers")
    origin.inject(messages.generate(9, recipients=lambda n: [
        f"{['fine', 'refuse', 'later'][n % 3]}-{n}@d.example"]))
    origin.log.wait(r"postfix/smtp\[.* status=", timeout_s=60, count=9)
    yield origin
    origin.destroy()
    sim.destroy()
    paths.drop_base(base)


def answers(url):
    try:
        with urllib.request.urlopen(url + "api/status", timeout=300) as answer:
            return json.load(answer)
    except OSError:
        return None


def shot(page, name):
    if SHOTS:
        os.makedirs(SHOTS, exist_ok=True)
        page.screenshot(os.path.join(SHOTS, name + ".png"))


def is_same(seen):
    """What is read is what is told."""
    told = seen["told"]
    for card, lane in zip(seen["lanes"], told["lanes"], strict=True):
        queue = lane["queue"]["active"] + lane["queue"]["incoming"]
        if (card["name"], card["health"], card["sentence"]) != (
                lane["name"], lane["health"], lane["sentence"]) or (
                card["queue"], card["deferred"], card["sessions"]) != (
                str(queue), str(lane["queue"]["deferred"]),
                str(len(lane["sessions"]))):
            return False
    used = [a for a in told["accounts"] if a["is_in_use"]]
    for card, account in zip(seen["accounts"], used, strict=True):
        slots = account["slots"]
        if card["label"] != account["label"] or card["count"] != (
                f"{slots['held']} of {account['limit_now']} connections"):
            return False
        taken = slots["held"] + slots["resting"]
        if (card["cells"], card["free"]) != (
                account["limit"], account["limit_now"] - taken):
            return False
    return True


def read(page):
    """As soon as page and API agree, which they do within two looks."""
    def look():
        seen = page.ask(READ)
        return seen["lanes"] and is_same(seen) and seen
    return wait_until(look, 60, "the page shows what /api/status says")


def is_quiet(page, site):
    said = page.complaints()
    assert not said, json.dumps(said)[:2000]
    assert all(url.startswith(site.url) for url in page.asked_for()
               if url != "about:blank")


def test_who_clicks_through_it_sees_what_is_told(browser, site):
    page = browser.page(site.url)
    seen = read(page)
    assert [c["name"] for c in seen["lanes"]] == ["fast", "slow"]
    assert seen["graphs"] > 0
    # A server's words are text, never markup.
    page.wait("document.querySelector('#events li') !== null", "events")
    assert page.ask("document.querySelectorAll('#events b, #strip p b b')"
                    ".length") == 0
    page.click("#spans button:nth-child(3)")
    page.wait("document.querySelector('#spans button:nth-child(3)')"
              ".getAttribute('aria-pressed') === 'true'", "the day is chosen")
    read(page)
    shot(page, "day")
    page.click("#spans button:nth-child(1)")
    page.wait("document.querySelector('#spans button:nth-child(1)')"
              ".getAttribute('aria-pressed') === 'true' && "
              "document.querySelector('#spans button:nth-child(3)')"
              ".getAttribute('aria-pressed') === 'false'", "ten minutes are")
    # The pointer on the newest part of a graph is told what it is.
    page.ask("document.querySelector('#lanes svg')"
             ".scrollIntoView({block: 'center'})")
    x, y = page.ask("(r => [r.right - 6, r.y + r.height / 2])(document"
                    ".querySelector('#lanes svg').getBoundingClientRect())")

    def is_told():
        page.point(x, y)
        page.point(x, y + 1)
        return page.ask("(t => !t.hidden && t.textContent)"
                        "(document.getElementById('tip'))")
    assert "messages/s" in wait_until(is_told, 30, "a tip")
    page.point(1, 1)
    page.wait("document.getElementById('tip').hidden", "the tip goes")
    # Words that somebody selects to copy them stay selected.
    page.ask("window.words = document.querySelector('#strip .sentence'); "
             "getSelection().selectAllChildren(words); "
             "window.drawn = document.querySelector('#lanes svg'); 0")
    page.wait("!drawn.isConnected", "the page is renewed")
    assert page.ask("words.isConnected && getSelection().toString() === "
                    "words.textContent && words.textContent !== ''")
    # It lives: what comes now is seen without a click.
    site.inject(messages.generate(3, prefix="now"))
    site.log.wait(r"postfix/smtp\[.* status=sent", timeout_s=60, count=6)
    page.wait("[...document.querySelectorAll('#lanes .replies div')]"
              ".some(d => d.firstChild.textContent === 'delivered' && "
              "d.querySelector('dd').textContent === '6')",
              "six are delivered")
    is_quiet(page, site)
    for link, word in (("healthz", "fast: well"), ("metrics", "# TYPE"),
                       ("api/status", '"schema"')):
        page.go(site.url)
        # Nothing moves the footer any more.
        page.wait("document.querySelector('#events li') !== null", "events")
        page.click(f"footer a[href='{link}']")
        page.wait(f"document.body && document.body.textContent"
                  f".includes({json.dumps(word)})", link)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone_and_a_wall(browser, site, scheme):
    page = browser.page(site.url, scheme=scheme)
    for width in (360, 768, 1280, 2560):
        page.resize(width, 800)
        read(page)
        # A graph is drawn anew for the width.
        page.wait(
            "[...document.querySelectorAll('#lanes .graphs > svg')].every("
            "s => Math.abs(s.viewBox.baseVal.width - "
            "s.getBoundingClientRect().width) < 2) && "
            "document.documentElement.scrollWidth <= innerWidth && "
            "[...document.querySelectorAll('main *')].every(e => "
            "e.closest('svg') || e.getBoundingClientRect().right <= "
            "innerWidth + 1)", f"all of it fits into {width} px")
        shot(page, f"{scheme}-{width}")
    light = page.ask("getComputedStyle(document.documentElement)"
                     ".backgroundColor.match(/\\d+/g).map(Number)"
                     ".reduce((a, b) => a + b)")
    assert light > 600 if scheme == "light" else light < 150
    is_quiet(page, site)
    page.close()


def test_without_javascript_it_is_tables(browser, site):
    def look():
        page = browser.page(site.url, width=360, scripts=False)
        rows = page.ask(
            "[...document.querySelectorAll('#tables tr')].map(r => "
            "[...r.children].map(c => c.textContent))")
        told = site.lanes()["lanes"]
        if all([lane["name"], lane["health"], lane["sentence"]]
               in [r[:3] for r in rows]
               and [lane["name"]] + [str(lane["queue"][q]) for q in (
                   "incoming", "active", "deferred")] in [r[:4] for r in rows]
               for lane in told):
            return page
        page.close()
        return None
    page = wait_until(look, 60, "its tables say what postlane says")
    assert page.ask("document.querySelector('#tables')"
                    ".getBoundingClientRect().height") > 100
    assert page.ask("document.documentElement.scrollWidth") <= 360
    shot(page, "plain-360")
    is_quiet(page, site)
    page.close()
