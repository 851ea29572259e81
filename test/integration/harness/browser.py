"""A browser without a window, spoken to by the DevTools protocol over a pipe
(chromedevtools.github.io/devtools-protocol), if there is one."""
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess

from .process import kill_session
from .wait import wait_until

CHROMIUM = next(filter(None, map(shutil.which, (
    "chromium", "chromium-headless-shell", "google-chrome"))), None)
ANSWER_S = 60


class Refused(AssertionError):
    """The browser does not do it."""


class Browser:
    """One process for all pages; its profile lies below base."""

    def __init__(self, base):
        home = os.path.join(base, "browser")
        os.makedirs(home)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # They are to be 3 and 4 there, which bash sees to, whatever is 3 or 4
        # here.
        pair = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
                for fd in (theirs_in, theirs_out)]

        with open(os.path.join(home, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", 'in=$1 out=$2; shift 2; exec 3<&$in 4>&$out '
                 '{in}<&- {out}>&-; exec "$@"', "browser", *map(str, pair),
                 CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-extensions",
                 "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--hide-scrollbars",
                 f"--user-data-dir={home}/profile",
                 "--remote-debugging-pipe", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"HOME": home, "PATH": os.environ["PATH"]},
                pass_fds=pair, start_new_session=True)
        for fd in (*pair, theirs_in, theirs_out):
            os.close(fd)
        self.out, self.into = ours_out, ours_in
        self.rest, self.number = b"", 0
        self.events = []

    def _read(self):
        """What came, as events and answers."""
        ready, _, _ = select.select([self.into], [], [], ANSWER_S)
        assert ready, "the browser does not answer"
        got = os.read(self.into, 1 << 20)
        assert got, "the browser has ended"
        *whole, self.rest = (self.rest + got).split(b"\0")
        return [json.loads(text) for text in whole]

    def call(self, method, session=None, **parameters):
        """The result."""
        self.number += 1
        question = {"id": self.number, "method": method, "params": parameters}
        if session:
            question["sessionId"] = session
        os.write(self.out, json.dumps(question).encode() + b"\0")
        while True:
            found = None
            for message in self._read():
                if message.get("id") == self.number:
                    found = message
                elif "method" in message:
                    self.events.append(message)
            if found is not None:
                if "error" in found:
                    raise Refused(method, found["error"])
                return found["result"]

    def page(self, url, **how):
        return Page(self, url, **how)

    def close(self):
        os.close(self.out)
        os.close(self.into)
        kill_session(self.process.pid)
        self.process.wait(30)


class Page:
    """A tab. width, height: of what is seen; scheme: "light" or "dark";
    scripts: False: it has no JavaScript."""

    def __init__(self, browser, url, width=1280, height=900, scheme="light",
                 scripts=True):
        self.browser = browser
        self.target = browser.call(
            "Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call(
            "Target.attachToTarget", targetId=self.target,
            flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.resize(width, height)
        self.go(url)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 600)

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && "
                  "location.href !== 'about:blank'", "the page is there")

    def ask(self, expression):
        """The value, of a promise what it becomes."""
        found = self.call("Runtime.evaluate", expression=expression,
                          returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression, what, timeout_s=30):
        def look():
            try:
                return self.ask(expression)
            except Refused:     # another page is just coming
                return None
        return wait_until(look, timeout_s, what)

    def click(self, selector):
        """With the pointer, in its middle."""
        x, y = self.ask(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); "
            "var r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })"
            f"(document.querySelector({json.dumps(selector)}))")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y,
                      button="none" if kind == "mouseMoved" else "left",
                      clickCount=0 if kind == "mouseMoved" else 1)

    def point(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self):
        """What its console, and whatever failed to load, says."""
        self.ask("1")
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            told = event["params"]
            if event["method"] in ("Runtime.exceptionThrown",
                                   "Log.entryAdded",
                                   "Runtime.consoleAPICalled",
                                   "Network.loadingFailed"):
                found.append(told)
        return found

    def asked_for(self):
        """Addresses of all that it loaded."""
        return [event["params"]["request"]["url"]
                for event in self.browser.events
                if event.get("sessionId") == self.session
                and event["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path, whole=True):
        shot = self.call("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole)
        with open(path, "wb") as f:
            f.write(base64.b64decode(shot["data"]))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
