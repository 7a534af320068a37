"""The soak: what it samples of a real service, and how it tells growth. `python -m chaos.soak` goes on for longer."""

from pathlib import Path

import pytest

from chaos import soak
from chaos.soak import MIB, Sample


def test_a_soak_samples_what_the_service_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "EVERY", 0.5)
    samples = [*soak.soak("sqlite", 2, tmp_path)]
    assert len(samples) > 1
    for sample in samples:
        assert sample.memory > 20 * MIB
        assert sample.files > 10
    assert samples[-1].database > 0
    assert samples[-1].wal > 0


@pytest.mark.parametrize(("each_time", "an_hour"), [(0, 0), (1, 360), (-2, -720)])
def test_growth_is_told_by_the_hour_and_without_the_warm_up(
    each_time: int, an_hour: int
) -> None:
    cold = [Sample(10.0 * at, 50 * at * MIB, 1, 1, 1, 1) for at in range(3)]
    warm = [
        Sample(10.0 * at, (200 + each_time * at) * MIB, 1, 1, 1, 1) for at in range(3, 9)
    ]
    assert soak.growth([*cold, *warm]) == pytest.approx(an_hour)
