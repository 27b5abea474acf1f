"""A spread of groups in three settings each, however they are stated: read alike or refused, never differently."""

from __future__ import annotations

from benchmarks.settings import measure


def test_settings_are_read_alike_or_refused() -> None:
    """A crystal of every fourth group; the benchmark measures a thousand."""
    counts, wrong = measure(range(1, 230, 4), seed=1)
    assert wrong == []
    assert all(count["wrong"] == 0 for count in counts.values())
    assert counts["operations"].total() == counts["operations"]["right"] == 3 * 58
    for way in ("full symbol", "short symbol and code", "Hall symbol"):
        assert counts[way].total() == counts[way]["right"] > 80
    assert counts["short symbol"]["right"] > 60 and counts["short symbol"]["refused"] > 5
