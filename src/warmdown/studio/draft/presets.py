"""Where to start: a plan for each situation that people are in, and why it is so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

from warmdown.studio.draft.document import Draft
from warmdown.studio.draft.files import opened


@final
@dataclass(frozen=True)
class Preset:
    """A start for a situation.

    Args:
        title: The situation, in few words.
        why: What is chosen, and for what reason.
        plan: What the page shows then, as a plan file.
    """

    title: str
    why: str
    plan: str

    @cached_property
    def draft(self) -> Draft:
        """What the page shows then."""
        return Draft(opened(self.plan).document)


PRESETS = (
    Preset(
        "Fine-tune a pretrained model",
        "A short warmup, so that an optimizer with no memory yet does no harm to good weights; "
        "then a straight line to "
        "zero. Three epochs and 2e-5 are where most people start with AdamW.",
        """
run: {epochs: 3, steps_per_epoch: 500, samples_per_step: 32, lr: 2e-5}
lr: {kind: warmup_linear, warmup: 6%}
""",
    ),
    Preset(
        "Train a language model from scratch",
        "Warmup, then half a cosine to a tenth of the peak: the usual choice when the length is "
        "known before.",
        """
run: {total_steps: 100000, samples_per_step: 512, tokens_per_step: 524288, lr: 6e-4}
lr: {kind: warmup_cosine, warmup: 2000, end: 0.1}
""",
    ),
    Preset(
        "Train an image classifier in little time",
        "One cycle: up to a high rate and down again in the epochs there are, while the momentum "
        "goes the other way. "
        "The groups' rate is the peak; find it with a range test.",
        """
run: {epochs: 18, steps_per_epoch: 98, samples_per_step: 512, lr: 0.4}
lr:
- {kind: cosine, start: 0.04, end: 1, steps: 30%, name: warmup}
- {kind: cosine, end: 0, name: decay}
momentum:
  set:
  - {kind: cosine, start: 0.95, end: 0.85, steps: 30%, name: lower}
  - {kind: cosine, start: 0.85, end: 0.95, name: back}
""",
    ),
    Preset(
        "Train as long as there is time",
        "The clock counts seconds: the straight line reaches zero as the two hours end, however "
        "fast the machine is.",
        """
run: {seconds_per_step: 0.35, budget: 2h, clock: seconds, lr: 1e-3}
lr:
- {kind: linear, start: 0, end: 1, steps: 2m, name: warmup}
- {kind: linear, name: decay}
""",
    ),
    Preset(
        "Go on training, end unknown",
        "Warmup, stable, decay: the stable part can be as long as one likes, and a model can be "
        "taken at any time by a "
        "short decay from it.",
        """
run: {total_steps: 50000, lr: 3e-4}
lr: {kind: wsd, warmup: 1000, decay: 10%}
""",
    ),
    Preset(
        "Diffusion LoRA with its own embedding rate",
        "Pivotal tuning: the embedding learns ten times faster than the LoRA, and both are halved "
        "at the same updates.",
        """# groups: {LoRA Unet: {lr: 1e-4}, Embedding: {lr: 1e-3}}
run: {total_steps: 200}
lr: {kind: milestones, gamma: 0.5, at: [50, 100, 150]}
""",
    ),
    Preset(
        "Self-supervised vision transformer",
        "The rate falls along a cosine while the weight decay rises from 0.04 to 0.4: late in "
        "training the weights are "
        "held ever tighter.",
        """
run: {epochs: 100, steps_per_epoch: 1251, samples_per_step: 1024, lr: 1e-3}
lr:
- {kind: linear, start: 0, end: 1, steps: 10ep, name: warmup}
- {kind: cosine, end: 1e-3, name: decay}
weight_decay:
  set: {kind: cosine, start: 0.04, end: 0.4, name: tighten}
""",
    ),
    Preset(
        "Find a good rate",
        "A range test: the rate grows by the same factor each update while the loss is watched. "
        "Take one well below "
        "the one at which the loss turns up.",
        """
run: {total_steps: 200}
lr:
  set: {kind: exponential, start: 1e-7, end: 10, name: sweep}
""",
    ),
)
