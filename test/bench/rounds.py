"""What a bench's rounds say together."""
import random
import statistics

RESAMPLES = 2000


def median_of(ratios):
    """The median, and between which bounds 95 of 100 medians lie of rounds
    that are drawn from the same again: "1.0012 (0.9990 to 1.0035)"."""
    drawn = sorted(statistics.median(random.choices(ratios, k=len(ratios)))
                   for _ in range(RESAMPLES))
    return (f"{statistics.median(ratios):.4f} ({drawn[RESAMPLES // 40]:.4f} "
            f"to {drawn[-RESAMPLES // 40]:.4f})")
