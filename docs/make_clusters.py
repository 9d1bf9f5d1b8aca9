"""Draw the picture of ``docs/clusters.md``: a comparison on three workers, of which one is lost."""

from __future__ import annotations

import os
from pathlib import Path

import warmdown as wd
from warmdown.experiments.runs import Result

FILE = Path(__file__).parent / "clusters" / "compare.svg"
PLANS = {
    "constant": wd.Constant(value=1.0),
    "cosine": wd.warmup_cosine(warmup="5%"),
    "wsd": wd.wsd(warmup="5%", decay="20%"),
}
SEEDS = 6


def main() -> None:
    """Make the runs on a cluster of processes of this machine, and draw what came of them."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as cluster:
        client = Client(cluster)

        def end_one(name: str, result: Result, done: int, total: int) -> None:
            print(f"[{done}/{total}] {name}, seed {result.spec.seed} on {result.worker}")
            if done == SEEDS:
                lost = next(iter(client.scheduler_info()["workers"]))
                client.run(end_process, workers=[lost], on_error="ignore")

        made = wd.compare(PLANS, "digits", seeds=SEEDS, engine="dask", progress=end_one)
        client.close()
    print(made)
    FILE.parent.mkdir(exist_ok=True)
    made.save(FILE)


def end_process() -> None:
    """End the worker, as a machine that is lost does."""
    os._exit(1)


if __name__ == "__main__":
    main()
