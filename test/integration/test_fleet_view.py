"""What an operator sees of hosts that share an account through a real Redis,
and says of one that is gone: postlane fleet, postlane doctor."""
import json
import os
import re

import pytest

from harness import messages, paths
from harness.fleet import PASSWORD, RULES, Engine
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.wait import wait_until

LIMITS = {"lane_account_connection_limit": "20",
          "lane_account_message_rate_limit": "100/1s 50000/1d!"}
UNITS = ["connections", "messages/1s", "messages/1d!"]


def secret(base, text=PASSWORD):
    path = os.path.join(base, "fleet-secret")
    with open(path, "w", encoding="ascii") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def host(base, name, sim, engine, **main):
    origin = Postfix(base, name)
    origin.agent("lane", "fast", "class=fast")
    origin.fleet_sim = sim
    origin.relay_to(sim, transport="fast", **{
        "lane_account": "shared", "lane_fleet_name": name,
        "lane_fleet": f"unix:{engine.socket}", "lane_fleet_ttl": "10s",
        "lane_fleet_password_file": secret(base), **LIMITS, **main})
    return origin


def view(origin, status=0):
    found = origin.postlane("fleet", "-j")
    assert found.returncode == status, found
    document = json.loads(found.stdout)
    assert (document["schema"], document["status"]) == (1, status)
    return document


def hosts(document, unit="connections"):
    """{name: host} of one limit of the one account."""
    [account] = document["accounts"]
    [limit] = [one for one in account["limits"] if one["unit"] == unit]
    return {one["name"]: one for one in limit["hosts"]}


def seen_by(origin, unit="connections"):
    return hosts(json.loads(origin.postlane("fleet", "-j").stdout), unit)


def knows_both(origin):
    document = json.loads(origin.postlane("fleet", "-j").stdout)
    return len(document["accounts"]) == 1 and all(
        set(hosts(document, unit)) == {"mx1", "mx2"} for unit in UNITS)


@pytest.fixture
def fleet(base, certs, started):
    """Two hosts whose lanes run, and know of each other."""
    sim = started(Simulator(base, certs))
    engine = started(Engine(base))
    pair = [host(base, name, sim, engine) for name in ("mx1", "mx2")]
    for origin in pair:
        started(origin)
        origin.inject(messages.generate(1, prefix=origin.name))
    sim.wait_taken(2)
    for origin in pair:
        wait_until(lambda o=origin: knows_both(o), 30, "both are known")
        # and its board, a second later, that the engine answers
        wait_until(lambda o=origin: o.postlane("fleet").returncode == 0, 30,
                   "it is not alone")
    return engine, *pair


def test_view_and_forget(fleet):
    engine, mx1, mx2 = fleet
    document = view(mx1)
    [one] = document["engines"]
    assert one["engine"] == f"unix:{engine.socket}"
    assert one["answers"] and one["product"] == engine.product()
    assert one["version"]
    [account] = document["accounts"]
    assert [limit["unit"] for limit in account["limits"]] == UNITS
    assert (account["size"], account["name"]) == (2, "mx1")
    for unit in UNITS:
        seen = hosts(document, unit)
        assert [seen[name]["is_here"] for name in ("mx1", "mx2")] == [
            True, False]
        assert all(h["state"] == "alive" and 0 < h["lease_left_ms"] <= 10000
                   and h["heard_ms_ago"] < 4000 for h in seen.values())
    text = mx1.postlane("fleet").stdout
    assert re.search(rf"(?m)^engine unix:\S+: answers: {engine.product()} "
                     r"\S+, up for ", text)
    assert "account shared: mx1, one of 2 hosts by unix:" in text
    assert re.search(r"(?m)^  connections +\d+ of 20 +10 .* alive +mx2$", text)
    assert re.search(r"(?m)^  messages/1s +\d.* alive +mx1 \(this host\)$",
                     text)
    assert mx1.postlane("fleet", "-q").stdout == ""
    assert re.search(r"this host's share of lane_account_message_rate_limit\b",
                     mx1.postlane("status").stdout)

    # Neither this host, nor one that lives, nor one that is none.
    refused = mx1.postlane("fleet", "forget", "mx1")
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "mx1 is this host" in refused.stderr
    refused = mx1.postlane("fleet", "forget", "mx2")
    assert (refused.returncode, refused.stdout) == (75, "")
    assert "the engine heard of mx2 " in refused.stderr
    refused = mx1.postlane("fleet", "forget", "mx9")
    assert refused.returncode == 68
    assert mx1.postlane("fleet", "forget", "a b").returncode == 64
    assert mx1.postlane("fleet", "forget").returncode == 64
    assert mx1.postlane("fleet", "forget", "mx2",
                        user="nobody").returncode == 77
    assert view(mx1)["status"] == 0

    mx2.stop()
    wait_until(lambda: seen_by(mx1)["mx2"]["lease_left_ms"] == 0, 30,
               "its lease is over")
    silent = hosts(view(mx1, 1))["mx2"]
    assert silent["state"] == "silent" and silent["heard_ms_ago"] >= 4000
    assert "mx2" in mx1.postlane("fleet", "-q").stdout
    assert "mx1" not in mx1.postlane("fleet", "-q").stdout

    # A quota's part is kept until what was used of it counts no more.
    done = mx1.postlane("fleet", "forget", "mx2")
    assert done.returncode == 75
    assert re.search(r"(?m)^mx2: connections of account shared: forgotten: its "
                     r"10 of 20 are for the other hosts from now on", done.stdout)
    assert "messages/1s" in done.stdout and "/1d!" not in done.stdout
    assert re.search(r"messages/1d! of account shared: what it may have used "
                     r"counts for 1d \dh longer", done.stderr)
    assert seen_by(mx1)["mx2"]["state"] == "gone"
    again = mx1.postlane("fleet", "forget", "mx2")
    assert "was forgotten before" in again.stdout

    # Without an engine a host says what it knows of itself.
    engine.kill9()
    wait_until(lambda: seen_by(mx1)["mx1"]["state"] == "alone", 30,
               "it is alone")
    document = view(mx1, 1)
    assert not document["engines"][0]["answers"]
    [alone] = hosts(document).values()
    assert alone["is_here"] and alone["heard_ms_ago"] > 0
    text = mx1.postlane("fleet").stdout
    assert "does not answer: connect: " in text and "as it knows itself" in text
    health = wait_until(
        lambda: next((done for done in [mx1.postlane("-q")]
                      if " does not answer since " in done.stdout), None),
        30, lambda: f"the lane says so: {mx1.postlane('-q')}")
    assert health.returncode == 1
    assert re.search(r"^fleet of \S+: slowed: ", health.stdout, re.M), health
    failed = mx1.postlane("fleet", "forget", "mx2")
    assert failed.returncode == 69
    assert "does not answer" in failed.stderr


def found(origin):
    """Codes of what doctor finds of the fleet, each with its first text."""
    done = origin.postlane("doctor", "-j")
    assert done.returncode in (0, 1, 2), done
    return {one["code"]: one["text"] for one in reversed(
        json.loads(done.stdout)["findings"])
        if one["code"].startswith("FLEET-")}


def finds(origin, *codes):
    texts = found(origin)
    assert set(texts) == set(codes), texts
    return [texts[code] for code in codes]


def test_doctor_of_the_engine(fleet):
    """What is wrong with an engine is found, and no more when it is mended."""
    engine, mx1, _ = fleet
    finds(mx1)
    engine.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    finds(mx1, "FLEET-EVICTION")
    engine.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    engine.ask("CONFIG", "SET", "maxmemory", "1000")
    finds(mx1, "FLEET-MEMORY", "FLEET-REFUSES")
    engine.ask("CONFIG", "SET", "maxmemory", "0")
    engine.ask("ACL", "SETUSER", "default", "-hset")
    [text] = finds(mx1, "FLEET-REFUSES")
    assert "HSET" in text.upper() and RULES in text
    engine.ask("ACL", "SETUSER", "default", "+hset", "+config|get")
    [text] = finds(mx1, "FLEET-ACL")
    assert "lets its user do more than a lane needs" in text
    engine.ask("ACL", "SETUSER", "default", "-config|get", "~*")
    [text] = finds(mx1, "FLEET-ACL")
    assert "read keys of other programs" in text
    engine.ask("ACL", "SETUSER", "default", "resetkeys", "~pl:*")
    engine.ask("CONFIG", "SET", "appendonly", "yes")
    finds(mx1, "FLEET-DISK")
    engine.ask("CONFIG", "SET", "appendonly", "no")
    engine.ask("REPLICAOF", "127.0.0.1", "1")
    finds(mx1, "FLEET-REPLICA")
    engine.ask("REPLICAOF", "NO", "ONE")
    finds(mx1)
    assert not [key for key in engine.ask("KEYS", "pl:*") if "doctor" in key]
    mx1.set(lane_fleet_password_file="")
    assert "NOAUTH" in finds(mx1, "FLEET-REFUSES")[0]
    engine.kill9()
    [text] = finds(mx1, "FLEET-ENGINE")
    assert "does not answer: connect: " in text


def trouble(origin):
    [account] = origin.lanes()["accounts"]
    return account["fleet"]["trouble"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_engine_by_tls(base, certs, started, name):
    """A lane and who looks go on with the engine that proves its name, and
    say of each other what it does not."""
    port = paths.free_port()
    engine = started(Engine(
        base, tls_port=port, tls_cert_file=certs.good.cert,
        tls_key_file=certs.good.key, tls_ca_cert_file=certs.ca.cert,
        tls_auth_clients="no"))
    mx1 = started(host(
        base, "mx1", started(Simulator(base, certs)), engine,
        lane_fleet=f"tls:{name}:{port}", lane_fleet_tls_CAfile=certs.ca.cert))
    mx1.inject(messages.generate(1))
    mx1.log.wait(f"fleet tls:{name}:{port}: account shared: shared as mx1")
    finds(mx1)
    assert f"answers: {engine.product()} " in mx1.postlane("fleet").stdout
    for pair, why in (
            (certs.wrong_name, "mismatch"),
            (certs.expired, "certificate has expired"),
            (certs.untrusted, "unable to get local issuer certificate")):
        assert engine.ask("CONFIG", "SET", "tls-cert-file", pair.cert,
                          "tls-key-file", pair.key) == "OK"
        engine.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda w=why: w in trouble(mx1), 30,
                   lambda: f"{why}, it is {trouble(mx1)}")
        assert "its certificate is not trusted: " in trouble(mx1)
        [text] = finds(mx1, "FLEET-ENGINE")
        assert "does not answer: connect: its certificate" in text
        assert why in text
    engine.ask("CONFIG", "SET", "tls-cert-file", certs.good.cert,
               "tls-key-file", certs.good.key)
    wait_until(lambda: not trouble(mx1), 30, "it is trusted again")
    finds(mx1)
    mx1.set(lane_fleet_tls_CAfile="/nowhere/ca.pem", reload=True)
    mx1.inject(messages.generate(1, prefix="later"))
    mx1.log.wait("lane_fleet_tls_CAfile: /nowhere/ca.pem has no certificates "
                 "that can be read: No such file .*going on with this host's")
    assert "/nowhere/ca.pem" in finds(mx1, "FLEET-ENGINE")[0]


def test_doctor_of_the_hosts(fleet, base, started):
    """... and with what its hosts go by."""
    engine, mx1, mx2 = fleet
    wait_until(lambda: len(engine.ask("KEYS", "pl:*:terms")) == len(UNITS), 30,
               "terms are told")
    finds(mx1)
    mx1.set(lane_fleet_size="3")
    assert "host mx2 goes by lane_fleet_size 2" in finds(mx1, "FLEET-TERMS")[0]
    mx1.set(lane_fleet_size="2", lane_account_connection_limit="1")
    texts = finds(mx1, "FLEET-TERMS", "FLEET-BASE")
    assert "a limit of 20 connections" in texts[0]
    assert "1 connections for 2 hosts" in texts[1]
    mx1.set(lane_account_connection_limit="20", lane_fleet_ttl="20s")
    assert "lane_fleet_ttl 10s" in finds(mx1, "FLEET-TERMS")[0]
    mx1.set(lane_fleet_ttl="10s", lane_recipient_rate_limit="5/1s")
    assert "2 hosts send that 2 times" in finds(mx1, "FLEET-LIMITS")[0]
    mx1.set(lane_recipient_rate_limit="none")
    finds(mx1)
    mx1.agent("lane", "slow", "class=slow", {"lane_fleet": ""})
    [text] = finds(mx1, "FLEET-LANES")
    assert "lane_fleet is unix:" in text and "empty in lane slow" in text
    mx1.agent("lane", "slow", "class=slow")
    finds(mx1)
    sim = mx1.fleet_sim
    sim.script("bdat delay 3000 normal\n")
    mx1.inject(messages.generate(1, prefix="slow"))
    sim.wait_taken(3)
    wait_until(lambda: found(mx1), 30, "the long message is shown")
    assert "a message has taken up to 3" in finds(mx1, "FLEET-TTL")[0]
    finds(mx2)
    sim.script("")
    for directory, name, code in (("clone", "mx1", "FLEET-NAME"),
                                  ("third", "mx3", "FLEET-SIZE")):
        other = started(host(base, directory, sim, engine,
                             lane_fleet_name=name))
        other.inject(messages.generate(1, prefix=directory))
        wait_until(lambda o=other: found(o), 30, code)
        finds(other, code)
        assert other.postlane("fleet").returncode == 1
        seen = [h for h in json.loads(other.postlane(
            "fleet", "-j").stdout)["accounts"][0]["limits"][0]["hosts"]
            if h["is_here"]]
        assert [h["state"] for h in seen] == [
            "cloned" if name == "mx1" else "refused"]
        other.stop()
