"""timm's factory over whole runs: its schedulers drive an optimizer, our schedule has the rates."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compat.loops import rates, sgd
from tests.compat.timm_parts import timm_scheduler

from warmdown.compat.names import TIMM_NAMES, timm_schedule


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_a_whole_run_with_timms_defaults_has_timms_rates(name: str) -> None:
    optimizer = sgd(0.5, 0.05)
    given = {"num_epochs": 20, "warmup_epochs": 3}
    theirs, epochs = timm_scheduler().create_scheduler_v2(optimizer, name, **given)
    ours = timm_schedule(name, num_epochs=20, warmup_epochs=3)
    used = []
    for epoch in range(epochs):
        used.append(rates(optimizer))
        theirs.step(epoch + 1)
    expected = [ours.value(np.arange(epochs), base) for base in (0.5, 0.05)]
    np.testing.assert_allclose(np.transpose(expected), used, rtol=1e-12)
