"""Rates, judged by what a machine that stands still for a while cannot bring
about: being late is no breach, being early is."""


def ahead(events, per_s, began):
    """How many units at most had come before their time, where the first may
    come at `began` and per_s of them each second from then on. events:
    (seconds, units) in order of time. A rate with a burst gives the burst."""
    most = total = 0.0
    for at, units in events:
        total += units
        most = max(most, total - per_s * (at - began))
    return most


def excess(times_us, per_s):
    """The most messages in any window, beyond what the rate gives in it."""
    most = least = 0.0
    for n, at in enumerate(sorted(times_us)):
        x = n - per_s * (at - times_us[0]) / 1e6
        least = min(least, x) if n else x
        most = max(most, x + 1 - least)
    return most
