"""Where to start: a draft for each situation that people are in, and why it is so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from warmdown.studio.draft.model import FOREIGN, Draft, Group, RunTexts, ScheduleDraft, TargetDraft


@final
@dataclass(frozen=True)
class Preset:
    """A start for a situation.

    Args:
        title: The situation, in few words.
        why: What is chosen, and for what reason.
        draft: What the page shows then.
        like: A schedule whose picture stands for it, where its own takes another library or a
            longer run.
    """

    title: str
    why: str
    draft: Draft
    like: ScheduleDraft | None = None


def _named_groups(**bases: str) -> tuple[Group, ...]:
    return tuple(
        Group(name.replace("_", " ").strip(), (("lr", base),)) for name, base in bases.items()
    )


def _one(lr: str) -> tuple[Group, ...]:
    return (Group("", (("lr", lr),)),)


PRESETS = (
    Preset(
        "Fine-tune a pretrained model",
        "A short warmup, so that an optimizer with no memory yet does no harm to good weights; "
        "then a straight line to "
        "zero. Three epochs and 2e-5 are where most people start with AdamW.",
        Draft(
            run=RunTexts(epochs="3", batches="500", batch_size="32"),
            groups=_one("2e-5"),
            targets=(TargetDraft(phases=(ScheduleDraft("warmup_linear", (("warmup", "6%"),)),)),),
        ),
    ),
    Preset(
        "Train a language model from scratch",
        "Warmup, then half a cosine to a tenth of the peak: the usual choice when the length is "
        "known before.",
        Draft(
            run=RunTexts(total_steps="100000", batch_size="512", tokens="1024"),
            groups=_one("6e-4"),
            targets=(
                TargetDraft(
                    phases=(ScheduleDraft("warmup_cosine", (("warmup", "2000"), ("end", "0.1"))),)
                ),
            ),
        ),
        like=ScheduleDraft("warmup_cosine", (("warmup", "5%"), ("end", "0.1"))),
    ),
    Preset(
        "Train an image classifier in little time",
        "One cycle: up to a high rate and down again in the epochs there are, while the momentum "
        "goes the other way. "
        "The groups' rate is the peak; find it with a range test.",
        Draft(
            run=RunTexts(epochs="18", batches="98", batch_size="512"),
            groups=_one("0.4"),
            targets=(
                TargetDraft(
                    phases=(
                        ScheduleDraft(
                            "cosine", (("start", "0.04"), ("end", "1"), ("steps", "30%")), "warmup"
                        ),
                        ScheduleDraft("cosine", (("end", "0"),), "decay"),
                    )
                ),
                TargetDraft(
                    "momentum",
                    meaning="set",
                    phases=(
                        ScheduleDraft(
                            "cosine",
                            (("start", "0.95"), ("end", "0.85"), ("steps", "30%")),
                            "lower",
                        ),
                        ScheduleDraft("cosine", (("start", "0.85"), ("end", "0.95")), "back"),
                    ),
                ),
            ),
        ),
    ),
    Preset(
        "Train as long as there is time",
        "The clock counts seconds: the straight line reaches zero as the two hours end, however "
        "fast the machine is.",
        Draft(
            run=RunTexts(budget="2h", seconds_per_step="0.35", clock="seconds"),
            groups=_one("1e-3"),
            targets=(TargetDraft(warmup="2m", phases=(ScheduleDraft("linear", (), "decay"),)),),
        ),
    ),
    Preset(
        "Go on training, end unknown",
        "Warmup, stable, decay: the stable part can be as long as one likes, and a model can be "
        "taken at any time by a "
        "short decay from it.",
        Draft(
            run=RunTexts(total_steps="50000"),
            groups=_one("3e-4"),
            targets=(
                TargetDraft(phases=(ScheduleDraft("wsd", (("warmup", "1000"), ("decay", "10%"))),)),
            ),
        ),
        like=ScheduleDraft("wsd", (("warmup", "5%"), ("decay", "10%"))),
    ),
    Preset(
        "Diffusion LoRA with its own embedding rate",
        "Pivotal tuning: the embedding learns ten times faster than the LoRA, and both are halved "
        "at the same steps. "
        "torch's own class does it here; its “epoch” is one update.",
        Draft(
            run=RunTexts(total_steps="200"),
            groups=_named_groups(LoRA_Unet="1e-4", Embedding="1e-3"),
            targets=(
                TargetDraft(
                    phases=(
                        ScheduleDraft(
                            FOREIGN,
                            (("milestones", "50, 100, 150"), ("gamma", "0.5")),
                            path="torch.optim.lr_scheduler.MultiStepLR",
                        ),
                    )
                ),
            ),
        ),
        like=ScheduleDraft("milestones", (("gamma", "0.5"), ("at", "25%, 50%, 75%"))),
    ),
    Preset(
        "Self-supervised vision transformer",
        "The rate falls along a cosine while the weight decay rises from 0.04 to 0.4: late in "
        "training the weights are "
        "held ever tighter.",
        Draft(
            run=RunTexts(epochs="100", batches="1251", batch_size="1024"),
            groups=_one("1e-3"),
            targets=(
                TargetDraft(
                    warmup="10ep", phases=(ScheduleDraft("cosine", (("end", "0.001"),), "decay"),)
                ),
                TargetDraft(
                    "weight_decay",
                    meaning="set",
                    phases=(
                        ScheduleDraft("cosine", (("start", "0.04"), ("end", "0.4")), "tighten"),
                    ),
                ),
            ),
        ),
    ),
    Preset(
        "Find a good rate",
        "A range test: the rate grows by the same factor each update while the loss is watched. "
        "Take one well below "
        "the one at which the loss turns up.",
        Draft(
            run=RunTexts(total_steps="200"),
            groups=_one(""),
            targets=(
                TargetDraft(
                    meaning="set",
                    phases=(
                        ScheduleDraft("exponential", (("start", "1e-7"), ("end", "10")), "sweep"),
                    ),
                ),
            ),
        ),
    ),
)
