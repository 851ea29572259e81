"""What the bench compares, and that each variant of it works. Nothing is
measured here."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "bench"))

import bench                                            # noqa: E402
import cases                                            # noqa: E402


def variant(name):
    return next(v for v in cases.VARIANTS if v.name == name)


@pytest.mark.parametrize("name, size, rtts", [
    ("smtp", 5000, 7 + 149), ("bdat", 5000, 7 + 1), ("wrapped", 5000, 5 + 1),
    ("bdat10", 5000, 7 + 5), ("data", 5000, 7 + 51),
    ("bdat", 100000, 7 + 5), ("bdat10", 2000000, 7 + 50)])
def test_bound_is_dial_and_window_of_each_session(name, size, rtts):
    group = cases.Group(size, 100, 20, 1000, 0)
    assert variant(name).bound(group) \
        == pytest.approx(20 * 50 / (rtts * 0.1))


@pytest.mark.parametrize("name, cold, warm", [
    ("smtp", 7 + 149, 7 + 149), ("bdat", 7 + 1, 6 + 1),
    ("wrapped", 5 + 1, 4 + 1), ("data", 7 + 51, 6 + 51)])
def test_a_login_leads_in_all_sessions_but_the_first(name, cold, warm):
    group = cases.Group(5000, 100, 20, 3000, 0)
    assert variant(name).bound(group) \
        == pytest.approx(3 * 20 * 50 / ((cold + 2 * warm) * 0.1))
    assert variant(name).bound(group, 1000) \
        == pytest.approx(20 * 50 / (cold * 0.1))
    assert variant(name).bound(group, 1001) \
        == pytest.approx(2 * 20 * 50 / ((cold + warm) * 0.1))
    assert variant(name).warm_bound(group) \
        == pytest.approx(20 * 50 / (warm * 0.1))


@pytest.mark.parametrize("name, rtts", [
    # 14, 29, 58, 116 and 33 kB; ten messages of 5 kB are 50 kB at most
    ("smtp", 7 + 149), ("bdat", 7 + 5), ("wrapped", 5 + 5),
    ("bdat10", 7 + 7)])
def test_bound_of_an_honest_link_begins_with_ten_segments(name, rtts):
    group = cases.Group(5000, 100, 20, 1000, 0, is_honest=True)
    assert variant(name).bound(group) \
        == pytest.approx(20 * 50 / (rtts * 0.1))


def test_without_a_link_there_is_no_bound():
    assert cases.SMTP.bound(cases.Group(5000, 0, 20, 1, 0)) is None


def test_smtp_takes_part_in_whatever_is_chosen():
    for words in ("", "rtt100-s20:bdat", ":data 5k-rtt0"):
        chosen = cases.select(words, False)
        assert chosen
        assert all(vs[0] is cases.SMTP and len(vs) > 1 for _, vs in chosen)
    assert [v.name for _, vs in cases.select("5k-rtt20-s20:bdat10", False)
            for v in vs] == ["smtp", "bdat10"]
    assert cases.select("no such case", False) == []


def test_quick_leaves_groups_out_unless_asked_for():
    assert 0 < len(cases.select("", True)) < len(cases.select("", False))
    assert cases.select("100k-rtt20-s1:", True)


def test_spread_is_median_least_and_most():
    assert cases.spread([3, 1, 2]) == {"median": 2, "min": 1, "max": 3}
    assert cases.median([4, 1, 2, 3]) == 2.5


def test_middle_half_leaves_first_and_last_out():
    # one a second, but a first that came late and a last that was waited for
    times = [0] + [n * 1_000_000 for n in range(100, 106)] + [900_000_000]
    assert cases.middle_rate(times) == pytest.approx(1.0)
    assert cases.middle_rate([5] * 8) is None
    assert cases.middle_rate([5]) is None


@pytest.mark.parametrize("rtt_ms", [0, 1])
def test_each_variant_drains_a_queue(base, certs, rtt_ms):
    group = cases.Group(1000, rtt_ms, 2, 20, 20)
    both = bench.Bench(base, certs, group, cases.VARIANTS)
    try:
        for variant in cases.VARIANTS:
            run = both.drain(variant, group.count)
            assert run["rate"] > 0 and run["sessions_used"] >= 1
            assert (run["bound"] is None) == (rtt_ms == 0)
    finally:
        both.destroy()
