"""Glewlwyd, an authorisation server of somebody else, as scripts/foreign
unpacked it: OpenID Connect over TLS, with a database of its own."""
import contextlib
import glob
import http.client
import json
import os
import re
import socket
import sqlite3
import ssl
import threading
from urllib.parse import urlencode

from . import oauth, paths
from .daemon import Daemon
from .foreign import is_listening

ROOT = os.path.join(paths.ROOT, "build/foreign/glewlwyd")
PERSON = "person", "password-of-the-person"
SCOPE = "openid mail"

CONF = """
port = {port}
bind_address = "127.0.0.1"
external_url = "https://127.0.0.1:{port}"
login_url = "login.html"
api_prefix = "api"
static_files_path = "{root}/usr/share/glewlwyd/webapp/"
log_mode = "console"
log_level = "DEBUG"
cookie_domain = "127.0.0.1"
cookie_secure = 1
admin_session_authentication = "cookie"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{root}/usr/lib/glewlwyd/user"
user_middleware_module_path = "{root}/usr/lib/glewlwyd/user_middleware"
client_module_path = "{root}/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "{root}/usr/lib/glewlwyd/scheme"
plugin_module_path = "{root}/usr/lib/glewlwyd/plugin"
use_secure_connection = true
secure_connection_key_file = "{key}"
secure_connection_pem_file = "{cert}"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3"; path = "{database}"; }};
"""


class Glewlwyd(Daemon):
    """url, device_url   endpoints of the plug-in "oidc"
    tokens            a socket for the simulator's --tokens: each login's token
                      is looked at by glewlwyd itself (RFC 7662)
    granted           access tokens that it was shown
    answers           what it said of them, in turn
    refresh_tokens    for oauth.use() and oauth.check_secrets()
    parameters        of the plug-in, instead of those below
    """

    def __init__(self, base, certs, **parameters):
        super().__init__(base, "glewlwyd")
        self.certs = certs
        self.port = paths.free_port()
        self.url = f"https://127.0.0.1:{self.port}/api/oidc/token"
        self.device_url = self.url.replace("/token", "/device_authorization")
        self.parameters = {name.replace("_", "-"): value
                           for name, value in parameters.items()}
        self.granted, self.answers = [], []
        self._good = set()
        self.refresh_tokens = ["none-yet"]
        self._cookies = {}
        self._is_set_up = False
        with open(self.path("conf"), "w", encoding="ascii") as f:
            f.write(CONF.format(
                port=self.port, root=ROOT, key=certs.good.key,
                cert=certs.good.cert, database=self.path("db")))
        self._make_database()
        self.tokens = self.path("tokens")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.tokens)
        self._listener.listen(100)
        threading.Thread(target=self._vouch, daemon=True).start()

    @classmethod
    def is_there(cls):
        return os.path.exists(os.path.join(ROOT, "usr/bin/glewlwyd"))

    def _make_database(self):
        schema = os.path.join(ROOT, "usr/share/dbconfig-common/data/glewlwyd/"
                              "install/sqlite3")
        with open(schema, encoding="utf-8") as f, contextlib.closing(
                sqlite3.connect(self.path("db"))) as db:
            db.executescript("BEGIN;" + f.read() + "COMMIT;")

    def command(self):
        libraries = glob.glob(os.path.join(ROOT, "usr/lib/*-linux-gnu*"))
        return ["env", "LD_LIBRARY_PATH=" + ":".join(libraries),
                os.path.join(ROOT, "usr/bin/glewlwyd"),
                "--config-file=" + self.path("conf")]

    def is_ready(self):
        return is_listening(self.port)

    def start(self, timeout_s=60):
        super().start(timeout_s)
        if not self._is_set_up:
            self._set_up()
        self._is_set_up = True
        return self

    def destroy(self):
        super().destroy()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    # ---- HTTP ------------------------------------------------------------

    def ask(self, method, path, json_body=None, form=None, headers=()):
        """(status, body, headers)"""
        headers = dict(headers)
        body = None
        if json_body is not None:
            body = json.dumps(json_body)
            headers["Content-Type"] = "application/json"
        elif form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with contextlib.closing(http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=300,
                context=ssl.create_default_context(
                    cafile=self.certs.ca.cert))) as link:
            link.request(method, "/api" + path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.read(), answer.headers

    def _as(self, who, password, method, path, body=None):
        """One who has logged in, as a browser does."""
        if who not in self._cookies:
            status, said, headers = self.ask(
                "POST", "/auth/", {"username": who, "password": password})
            assert status == 200, (status, said)
            self._cookies[who] = headers["Set-Cookie"].split(";")[0]
        status, said, headers = self.ask(
            method, path, body, headers={"Cookie": self._cookies[who]})
        assert status in (200, 302), (method, path, status, said)
        return said, headers

    def admin(self, method, path, body=None):
        return self._as("admin", "password", method, path, body)[0]

    def _set_up(self):
        self.admin("POST", "/mod/plugin/", {
            "module": "oidc", "name": "oidc", "display_name": "oidc",
            "enabled": True, "parameters": {
                "iss": f"https://127.0.0.1:{self.port}",
                "jwt-type": "sha", "jwt-key-size": "256", "key": "its-own",
                "code-duration": 600, "refresh-token-duration": 86400,
                "access-token-duration": 3600, "allow-non-oidc": True,
                "auth-type-client-enabled": True,
                "auth-type-code-enabled": True,
                "auth-type-token-enabled": False,
                "auth-type-password-enabled": False,
                "auth-type-refresh-enabled": True,
                "auth-type-device-enabled": True,
                "device-authorization-interval": 1,
                "refresh-token-one-use": "always",
                "introspection-revocation-allowed": True,
                "introspection-revocation-auth-scope": ["judge"],
                "request-parameter-allow": True,
                "client-pubkey-parameter": "pubkey",
                "client-jwks-parameter": "jwks", **self.parameters}})
        for scope in ("mail", "judge"):
            self.admin("POST", "/scope/", {
                "name": scope, "display_name": scope,
                "password_required": False})
        self.admin("POST", "/user/", {
            "username": PERSON[0], "password": PERSON[1], "name": "Person",
            "email": oauth.USER, "enabled": True,
            "scope": ["mail", "openid", "g_profile"]})
        self.client("judge", scope=["judge"])

    # ---- clients ---------------------------------------------------------

    def client(self, name, **properties):
        """A new one, or another instead of it."""
        there = {"client_id": name, "name": name, "confidential": True,
                 "enabled": True, "client_secret": oauth.SECRET,
                 "scope": ["mail"],
                 "token_endpoint_auth_method": ["client_secret_post"],
                 "authorization_type": [
                     "client_credentials", "device_authorization",
                     "refresh_token"], **properties}
        known = [each["client_id"] for each in
                 json.loads(self.admin("GET", "/client/"))]
        if name in known:
            self.admin("PUT", f"/client/{name}", there)
        else:
            self.admin("POST", "/client/", there)

    def agree(self, code, client="lane"):
        """The person logs in and enters the code of a device."""
        self._as(*PERSON, "PUT", f"/auth/grant/{client}", {"scope": SCOPE})
        _, headers = self._as(*PERSON, "GET",
                              f"/oidc/device?code={code}&g_continue")
        assert "prompt=deviceComplete" in headers["Location"], dict(headers)

    def log_in(self, origin):
        """lane token work --login, and the person does what it says."""
        asked = oauth.log_in(origin)
        code = re.search(r"enter (\S+) and", asked.stdout.readline())[1]
        self.agree(code)
        out, err = asked.communicate(timeout=300)
        assert out == "The refresh token is stored in work.refresh.\n", err
        assert err == ""

    def withdraw(self, token):
        """An access or a refresh token; RFC 7009."""
        self._judge("/oidc/revoke", token)

    def _judge(self, path, token):
        """Asked by one who may: with a token of its own."""
        _, said, _ = self.ask("POST", "/oidc/token", form={
            "grant_type": "client_credentials", "scope": "judge",
            "client_id": "judge", "client_secret": oauth.SECRET})
        status, said, _ = self.ask(
            "POST", path, form={"token": token}, headers={
                "Authorization": "Bearer " + json.loads(said)["access_token"]})
        assert status == 200, (path, status, said)
        return said

    # ---- what the simulator asks -----------------------------------------

    def _is_good(self, line):
        user, _, token = line.strip().partition(" ")
        if token not in self.granted:
            self.granted.append(token)
        try:
            answer = json.loads(self._judge("/oidc/introspect", token))
        except (OSError, http.client.HTTPException):
            return token in self._good      # it is down, the token is not
        self.answers.append(answer)
        if (not answer["active"] or user != oauth.USER
                or "mail" not in answer["scope"].split()):
            return False
        self._good.add(token)
        return True

    def _vouch(self):
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                good = self._is_good(link.makefile().readline())
                link.sendall(b"y" if good else b"n")

    def log(self, pattern):
        """Lines of its log."""
        with open(self.path("glewlwyd.log"), encoding="utf-8") as f:
            return [line for line in f if re.search(pattern, line)]
