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
