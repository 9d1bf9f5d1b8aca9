"""Draw the pictures of ``docs/forecast.md``: ``python docs/make_forecast.py``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import warmdown as wd
from warmdown import plot
from warmdown.forecast.prediction import chart_of

DOCS = Path(__file__).parent
RUN = wd.Run(total_steps=24_000, lr=3e-4)
LONG = wd.Run(total_steps=48_000, lr=3e-4)
PUBLISHED = {"L0": 2.6514477, "A": 0.60115152, "a": 0.45295811, "B": 437.9464276,
             "C": 2.13245612, "b": 0.59785199, "g": 0.65523644}  # fmt: skip
"""The multi-power law's numbers for a model of 100M parameters, by its authors."""
RESTARTED = (
    wd.Linear(start=0.0, end=1.0, steps=2160)
    >> wd.Cosine(end=0.1, steps=21_840)
    >> wd.Linear(start=0.1, end=1.0, steps=480)
    >> wd.Cosine(end=0.1, steps=23_520)
)
QUESTIONS = {
    "cooldown": (RUN, {share: wd.wsd(warmup="9%", decay=share) for share in ("2%", "10%", "40%")}),
    "shape": (RUN, {
        "cosine": wd.warmup_cosine(warmup="9%", end=0.1),
        "wsd": wd.wsd(warmup="9%", decay="10%"),
    }),
    "floor": (RUN, {f"to {end:.0%}": wd.wsd(warmup="9%", decay="20%", end=end)
                    for end in (0.0, 0.1, 0.3)}),
    "extend": (LONG, {
        "one cosine": wd.warmup_cosine(warmup=2160, end=0.1),
        "restarted": RESTARTED,
        "wsd": wd.wsd(warmup=2160, decay="20%"),
    }),
}  # fmt: skip


def main() -> None:
    """Write one picture a question."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "law.json"
        path.write_text(json.dumps(PUBLISHED))
        law = wd.load_law(path)
    for name, (run, plans) in QUESTIONS.items():
        forecasts = {label: law.predict(plan, run=run) for label, plan in plans.items()}
        plot.save(chart_of(forecasts), DOCS / "forecast" / f"{name}.svg")


if __name__ == "__main__":
    main()
