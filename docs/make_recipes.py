"""Write ``docs/recipes.md`` and its pictures: ``python docs/make_recipes.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import warmdown as wd
from warmdown import plot
from warmdown.planfile import RecipeOfRecord

DOCS = Path(__file__).parent
INTRODUCTION = """\
# Recipes of record

Plans of published runs, each a plan file that comes with the package, with the source of its
numbers. They are checked against their sources' formulas (`tests/planfile/test_of_record.py`). This
page is written by `python docs/make_recipes.py` from the files.

```console
$ warmdown list --recipes
$ warmdown show olmo3-7b
$ warmdown check nanochat --total-steps 2000
$ warmdown show stretched:llama3-405b --total-steps 2000
```

<!-- test: skip, trains for a while -->
```console
$ warmdown train stretched:smollm3 --against stretched:olmo3-7b
$ warmdown compare nanochat stretched:minicpm
```

```python
import torch

import warmdown as wd

plan = wd.load("recipe:nanochat", run=wd.Run(total_steps=2000))  # the warmdown is 65 % of the run
optimizer = torch.optim.AdamW(torch.nn.Linear(2, 2).parameters(), lr=plan.run.lr or 1.0)
scheduler = wd.Scheduler(optimizer, plan)
assert (scheduler.value(700), scheduler.value(2000)) == (0.3, 0.05 * 0.3)
print(wd.recipes_of_record()["nanochat"].source)
```

Rates are factors of each group's own, where the source's are; the file's `run: {lr: …}` has the
source's peak. Where a source states shares of the run, its recipe takes any `total_steps` (or
`epochs`); where it states numbers, the column *length* has them, another length is refused, and
`stretched:NAME` takes the shape in proportion:

```python
stretched = wd.load("stretched:llama3-405b", run=wd.Run(total_steps=2400))
assert stretched.over().targets[0].rule.of(16) == 1.0  # 8,000 of 1,200,000
```

<!-- test: raises SpecError -->
```python
wd.load("recipe:llama3-405b", run=wd.Run(total_steps=2400))
```

## The list

"""
RULES = """\
## The same numbers for another run

A published rate belongs to a batch, and a weight decay to a batch and to an amount of data. Four
rules carry them over; each is a line of arithmetic, and no more than its source's experience. The
second is a part of its source's, which moves Adam's betas and epsilon too.

| function | formula | source |
| --- | --- | --- |
| `wd.scale_rate_linearly` | η = η₀ · B/B₀, for SGD | [Goyal et al. 2017][goyal], DeiT |
| `wd.scale_rate_with_sqrt` | η = η₀ · √(B/B₀), for Adam | [Malladi 2022][malladi], nanochat |
| `wd.scale_batch_with_data` | B = B₀ · (D/D₀)^0.383 | [Bergsma et al. 2025][bergsma], nanochat |
| `wd.scale_decay_with_batch_and_data` | λ = λ₀ · √(B/B₀) · D₀/D | [Wang 2024][wang], nanochat |

[goyal]: https://arxiv.org/abs/1706.02677
[malladi]: https://arxiv.org/abs/2205.10287
[bergsma]: https://arxiv.org/abs/2505.13738
[wang]: https://arxiv.org/abs/2405.13698

```python
tokens = {"tokens": 8e9, "tuned_tokens": 1e9}
batch = wd.scale_batch_with_data(2**19, **tokens)
sizes = {"batch": batch, "tuned_batch": 2**19}
lr = wd.scale_rate_with_sqrt(0.02, **sizes)
decay = wd.scale_decay_with_batch_and_data(0.28, **sizes, **tokens)
print(f"{batch:,.0f} tokens an update, rate {lr:.3g}, decay {decay:.3g}")
assert wd.scale_rate_linearly(0.1, batch=1024, tuned_batch=256) == 0.4
```
"""


def main() -> None:
    """Write the page and every picture; remove pictures of what is gone."""
    (DOCS / "recipes.md").write_text(page(), encoding="utf-8")
    (DOCS / "recipes").mkdir(exist_ok=True)
    known = wd.recipes_of_record()
    for recipe in known.values():
        (DOCS / "recipes" / f"{recipe.name}.svg").write_text(picture(recipe), encoding="utf-8")
    for path in (DOCS / "recipes").glob("*.svg"):
        if path.stem not in known:
            path.unlink()


def page() -> str:
    """Return the text of the page."""
    recipes = wd.recipes_of_record().values()
    head = "| recipe | for | length | source |\n| --- | --- | --- | --- |\n"
    rows = (
        f"| [`{r.name}`](#{r.name}) | {r.purpose} | {r.fixed or 'any'} | "
        f"[{r.source}]({r.url}), {r.date} |"
        for r in recipes
    )
    table = head + "\n".join(rows) + "\n"
    return INTRODUCTION + "\n".join([table, *_entries(), RULES])


def picture(recipe: RecipeOfRecord) -> str:
    """Return the picture of a recipe, as SVG."""
    scene = plot.view(wd.load(f"recipe:{recipe.name}"), points=500)
    return plot.svg_of(scene, title=recipe.name, width=6.0)


def _entries() -> Iterator[str]:
    for recipe in wd.recipes_of_record().values():
        shown = plot.summary(wd.load(f"recipe:{recipe.name}")).splitlines()[0].replace('"', "'")
        note = f"{recipe.note[:1].upper()}{recipe.note[1:]}.\n\n" if recipe.note else ""
        lines = recipe.text().splitlines()
        plan = "\n".join(line for line in lines if not line.startswith("# "))
        yield (
            f'### {recipe.name}\n\n{note}<img src="recipes/{recipe.name}.svg" alt="{shown}" '
            f'width="620">\n\n```yaml\n{plan}\n```\n'
        )


if __name__ == "__main__":
    main()
