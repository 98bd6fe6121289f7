"""The value that so large a share of many values does not exceed: one of them, by the nearest rank."""

from math import ceil


def of_values(ordered, share):
    """Of values in their order."""
    return ordered[max(ceil(len(ordered) * share), 1) - 1]


def of_counts(counts, share):
    """Of values that there are so often each."""
    rest = max(ceil(sum(counts.values()) * share), 1)
    for value, count in sorted(counts.items()):
        rest -= count
        if rest <= 0:
            return value
    raise ValueError("there are no values")
