"""``warmdown forecast``: what plans will do to the loss, learned from logs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from warmdown.cli.options import PATH, Texts, json_option, plan_name, read_plan
from warmdown.cli.say import say, say_json
from warmdown.errors import ForecastError
from warmdown.files import require_writable_file

if TYPE_CHECKING:
    from warmdown.forecast import Design, Forecast, Law
    from warmdown.run import Run


@click.command("forecast")
@click.argument("logs", nargs=-1, type=PATH)
@option("--plan", "plans", multiple=True, metavar="NAME_OR_FILE", help="A plan to forecast.")
@option("--total-steps", type=float, metavar="N", help="Optimizer updates in the whole run.")
@option("--lr", type=float, metavar="N", help="Base learning rate.")
@option("--warmup", metavar="N", help="Updates of the warmup: before the logs, and of a design.")
@option("--against", type=PATH, multiple=True, help="A log that the law has not seen.")
@option("--design", is_flag=True, help="Find the plan with the least predicted final loss.")
@option(
    "--shape",
    type=click.Choice(("any", "wsd", "power")),
    default="any",
    help="What a design may be.",
)
@option("--decay-now", metavar="LENGTH", help="What a decay now is worth to the last log's run.")
@option("--extend", type=float, metavar="N", help="What so many updates more are worth to it.")
@option("--law", "law_file", type=PATH, help="A law's file, in place of logs or beside a run.")
@option("--save", "save_to", type=PATH, help="Write the law to a file.")
@option("--only", metavar="NAME", help="Fit one law alone: multi-power or annealing.")
@option("--step-column", help="Name of the column of updates.")
@option("--rate-column", help="Name of the column of rates.")
@option("--loss-column", help="Name of the column of losses.")
@option("--out", type=PATH, help="Write a picture, rows (.csv) or .json; the plan (.yaml).")
@json_option
def command(
    logs: tuple[Path, ...],
    plans: Texts,
    against: tuple[Path, ...],
    design: bool,
    shape: Any,
    decay_now: str | None,
    extend: float | None,
    law_file: Path | None,
    save_to: Path | None,
    out: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Fit a law to LOGS, and forecast the loss of plans.

    LOGS are warmdown records, TensorBoard events, CSV or JSONL with steps, rates and losses, W&B
    exports, or transformers' trainer_state.json.
    """
    from warmdown.forecast.choices import choices
    from warmdown.forecast.law import load_law
    from warmdown.forecast.prediction import chart_of
    from warmdown.plot import terminal

    if out is not None:
        require_writable_file(out, f"forecast(--out {out})")
    if law_file is None and not logs:
        raise ForecastError("forecast: no logs and no law. Name logs, or give --law law.json.")
    law = _fit(logs, how) if law_file is None else load_law(law_file)
    facts: dict[str, Any] = {"command": shlex.join(["warmdown", *sys.argv[1:]])}
    facts |= {"law": law.report().splitlines(), "pilots": [one._asdict() for one in law.pilots]}
    texts = [law.report()]
    if save_to is not None:
        law.save(save_to)
        say(f"Written to {save_to}.", err=True)
    if against:
        agreements = [law.compared(_read_log(log, how)) for log in against]
        facts["against"] = [one._asdict() for one in agreements]
        if len(agreements) == 1:
            facts |= agreements[0]._asdict()
        texts.append("\n".join(map(str, agreements)))
    run = _run(how)
    forecasts = {plan_name(text): law.predict(read_plan(text, (), (), run)) for text in plans}
    found: Design | None = None
    if design:
        found = law.design(_run_for_design(run), shape, warmup=_duration(how["warmup"]))
        forecasts["design"] = law.predict(found)
        facts["design"] = found.forecast()
        texts.append(str(found))
    if decay_now is not None or extend is not None:
        if not logs:
            raise ForecastError("forecast(--decay-now): the run's own log is needed too.")
        planned = read_plan(plans[0], (), (), run) if plans else None
        log = _read_log(logs[-1], how)
        forecasts |= choices(law.along, log, decay_now or "10%", int(extend or 0), planned)
    facts["forecasts"] = {name: one.to_dict() for name, one in forecasts.items()}
    if forecasts:
        texts.append(terminal(chart_of(forecasts), height=10))
    if out is not None:
        _write_out(out, found, forecasts, facts)
        say(f"Written to {out}.", err=True)
    if as_json:
        say_json(facts)
    else:
        say("\n\n".join([*texts, facts["command"]]))


def _write_out(
    out: Path, found: Design | None, forecasts: dict[str, Forecast], facts: dict[str, Any]
) -> None:
    from warmdown.forecast.prediction import save_forecasts
    from warmdown.planfile import save

    if found is not None and out.suffix in (".yaml", ".yml"):
        save(found, out)
    elif forecasts:
        save_forecasts(out, forecasts, facts)
    else:
        raise ForecastError(f"forecast(--out {out}): there is no forecast. Name a --plan.")


def _fit(logs: tuple[Path, ...], how: dict[str, Any]) -> Law:
    from warmdown.forecast.law import fit_loss

    return fit_loss([_read_log(log, how) for log in logs], law=how["only"])


def _read_log(log: Path, how: dict[str, Any]) -> Any:
    from warmdown.forecast.logs import read_log

    names = {name: how[f"{name}_column"] for name in ("step", "rate", "loss")}
    warmup = _duration(how["warmup"])
    return read_log(log, warmup=warmup if isinstance(warmup, int) else None, **names)


def _duration(text: str | None) -> int | str | None:
    """Return a length as a number of updates, or with its unit."""
    if text is None:
        return None
    try:
        return int(float(text))
    except ValueError:
        return text


def _run(how: dict[str, Any]) -> Run:
    from warmdown.run import Run

    return Run(total_steps=how["total_steps"], lr=how["lr"])


def _run_for_design(run: Run) -> Run:
    if run.total_steps is None or run.lr is None:
        raise ForecastError("forecast(--design): give --total-steps and --lr, the peak.")
    return run
