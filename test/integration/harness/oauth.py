"""OAuth2: an authorisation server whose faults are ordered, and what an
administrator sets up for lane to use it."""
import base64
import contextlib
import json
import os
import secrets
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from .daemon import Daemon
from .foreign import is_listening
from .paths import ROOT, free_port

USER = "lane@sender.example"
SECRET = "client~secret-never-to-be-seen"


class Endpoint:
    """A token endpoint at 127.0.0.1. What it granted and did not withdraw
    stands in the file `tokens`, for the simulator's --tokens.

    life_s      expires_in of its tokens, which then are withdrawn
    size        octets of a token
    knows       tokens go into the file
    rotates     a refresh token is replaced with each use
    answer      (code, body, headers): what everybody gets instead of a token
    judge       called with the form: such an answer, or None
    wait_s      so long each answer takes
    on_grant    called with the refresh token that is granted, before the
                answer leaves
    polls       what each question of a device flow is answered with, in turn;
                then the person has logged in. `device` is what the device
                endpoint says
    """

    def __init__(self, base, life_s=3600, size=200, knows=True, rotates=True):
        self.tokens = os.path.join(base, "tokens.txt")
        self.life_s, self.size, self.knows = life_s, size, knows
        self.rotates = rotates
        self.answer = self.judge = self.on_grant = None
        self.wait_s = 0
        self.polls = []
        self.device = 200, json.dumps({
            "device_code": "device~code-never-seen", "user_code": "ABCD1234",
            "verification_uri": "https://login.example/device",
            "expires_in": 900, "interval": 1}).encode(), {}
        self.asked_device = []
        self.asked_at = []
        self.asked = []         # forms
        self.granted = []       # access tokens
        self.refresh_tokens = ["refresh-token-of-" + secrets.token_hex(16)]
        self.clock = time.time
        self._valid = []        # (until, token)
        self._timers = []
        self._lock = threading.RLock()
        self._write()
        self.port = free_port()
        self._server = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/token"

    def start(self):
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                n = int(self.headers["Content-Length"])
                form = {k: v[0] for k, v in parse_qs(
                    self.rfile.read(n).decode("ascii")).items()}
                code, body, headers = endpoint.handle(form, self.path)
                with contextlib.suppress(OSError):
                    self.send_response(code)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", self.port), Handler)
        threading.Thread(
            target=self._server.serve_forever, daemon=True,
            kwargs={"poll_interval": 0.05}).start()
        return self

    def stop(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def destroy(self):
        self.stop()
        for timer in self._timers:
            timer.cancel()

    def handle(self, form, path):
        with self._lock:
            if path == "/device":
                self.asked_device.append(form)
                return self.device
            self.asked_at.append(time.monotonic())
            self.asked.append(form)
            answer, wait_s = self.answer, self.wait_s
        time.sleep(wait_s)
        if answer is None and self.judge:
            answer = self.judge(form)
        if answer is not None:
            return answer
        if form["grant_type"].endswith(":device_code") and self.polls:
            return self.polls.pop(0)
        with self._lock:
            return self._grant(form)

    def _grant(self, form):
        if form["grant_type"] == "refresh_token" and \
                form["refresh_token"] not in self.refresh_tokens:
            return refusal("invalid_grant",
                           "AADSTS70008: The refresh token has expired.")
        token = secrets.token_urlsafe(self.size)[:self.size]
        self.granted.append(token)
        said = {"token_type": "Bearer", "expires_in": self.life_s,
                "access_token": token}
        if form["grant_type"] != "client_credentials" and self.rotates:
            fresh = "refresh-token-of-" + secrets.token_hex(16)
            self.refresh_tokens.append(fresh)
            said["refresh_token"] = fresh
            if self.on_grant:
                self.on_grant(fresh)
        if self.knows:
            self._valid.append((time.monotonic() + self.life_s, token))
            self._write()
            timer = threading.Timer(self.life_s, self._write)
            timer.daemon = True
            timer.start()
            self._timers.append(timer)
        return 200, json.dumps(said).encode(), {
            "Content-Type": "application/json"}

    def _write(self):
        with self._lock:
            now = time.monotonic()
            self._valid = [v for v in self._valid if v[0] > now]
            with open(self.tokens + ".new", "w", encoding="ascii") as f:
                f.writelines(f"{USER} {token}\n" for _, token in self._valid)
            os.rename(self.tokens + ".new", self.tokens)

    def withdraw(self):
        """What was granted is refused by the mail server from now on."""
        with self._lock:
            self._valid = []
            self._write()


class MockServer(Daemon):
    """npm's oauth2-mock-server, as scripts/foreign fetched it: somebody
    else's idea of an authorisation server."""

    PROGRAM = os.path.join(ROOT, "build/foreign/oauth2-mock-server/"
                           "node_modules/.bin/oauth2-mock-server")

    def __init__(self, base):
        super().__init__(base, "oauth2-mock-server")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/token"
        self.refresh_tokens = ["any-will-do"]
        self.granted = []

    @classmethod
    def is_there(cls):
        return os.path.exists(cls.PROGRAM)

    def command(self):
        return ["node", self.PROGRAM, "-a", "127.0.0.1", "-p",
                str(self.port)]

    def is_ready(self):
        return is_listening(self.port)


def refusal(error, text, code=400):
    return code, json.dumps({"error": error,
                             "error_description": text}).encode(), {}


def write(origin, name, text, mode=0o600):
    """A file of lane_token_directory; its path."""
    where = os.path.join(origin.etc, "lane-token.d")
    os.makedirs(where, mode=0o755, exist_ok=True)
    path = os.path.join(where, name)
    with open(path, "w", encoding="ascii",
              opener=lambda p, f: os.open(p, f, mode)) as f:
        f.write(text)
    return path


def use(origin, sim, endpoint, transports=("fast",), options=None,
        flow="client_credentials", **settings):
    """Sends everything through `transports` to `sim`, logged in with the
    token "work" of `endpoint`."""
    conf = {"flow": flow, "token_endpoint": endpoint.url, "scope": "mail",
            "client_id": "lane", **settings}
    if flow != "jwt_bearer" and "certificate_file" not in settings:
        conf.setdefault("client_secret_file", "work.secret")
        write(origin, "work.secret", SECRET + "\n")
    if flow == "refresh_token":
        write(origin, "work.refresh", endpoint.refresh_tokens[0] + "\n")
    write(origin, "work.conf",
          "".join(f"{k} = {v}\n" for k, v in conf.items()))
    for transport in transports:
        origin.agent("lane", transport, "class=fast", options)
    origin.service("lane token", "lane-token", limit=1, unpriv="n")
    origin.relay_to(sim, transport=transports[0])
    hop = f"[127.0.0.1]:{sim.port}"
    origin.set(
        smtp_sasl_auth_enable="yes",
        smtp_sasl_security_options="noplaintext, noanonymous",
        smtp_sasl_password_maps=origin.map(
            "tokens", {hop: f"{USER}:oauth2:work"}, mode=0o600))


def log_in(origin, *words, **options):
    """A started "lane token work --login", without a terminal."""
    return subprocess.Popen(
        [os.path.join(origin.libexec, "lane"), "token", "work", "--login",
         *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **{
            "env": {"MAIL_CONFIG": origin.etc}, **options})


def service_pids(origin):
    """Of the token service."""
    found = []
    for pid in origin.pids("lane"):
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/cmdline", "rb") as f:
            if b"token" in f.read().split(b"\0"):
                found.append(pid)
    return found


def check_secrets(origin, endpoint):
    """No secret is in a log, in a file that others than root may read, in the
    arguments or in the environment of a process; and none would be in a core
    file, nor may other processes of mail_owner look: the kernel gives root
    alone what it shows of such a process."""
    for pid in origin.pids("lane"):
        with contextlib.suppress(FileNotFoundError):
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0, pid
    words = [SECRET, *endpoint.granted, *endpoint.refresh_tokens]
    words = [w.encode()[:24] for w in words]
    # as HTTP Basic has it
    words.append(base64.b64encode(f"lane:{SECRET}".encode())[:24])
    places = [origin.log.path]
    for where in (origin.data_directory, origin.queue_directory):
        for folder, _, names in os.walk(where):
            places += [os.path.join(folder, n) for n in names]
    for process in origin.processes():
        places += [f"/proc/{process.pid}/{n}" for n in ("cmdline", "environ")]
    for place in places:
        with contextlib.suppress(OSError):
            if not place.startswith("/proc/") and not os.path.isfile(place):
                continue
            with open(place, "rb") as f:
                octets = f.read()
            assert not [w for w in words if w in octets], place
