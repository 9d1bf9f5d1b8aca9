"""One example of every shape and recipe: what the gallery draws and prints.

A function's name is the public name that it shows; its body is printed as it stands,
and its picture is what it
returns, over 1,000 updates.
"""
# ruff: noqa: D103 - each function is named for what it shows, and is its own caption

from __future__ import annotations

import numpy as np

import warmdown as wd

# -- recipes --------------------------------------------------------------------------------------


def warmup_cosine() -> wd.Schedule:
    return wd.warmup_cosine(warmup="5%", end=0.1)


def warmup_linear() -> wd.Schedule:
    return wd.warmup_linear(warmup="5%")


def warmup_polynomial() -> wd.Schedule:
    return wd.warmup_polynomial(warmup="5%", power=2.0)


def warmup_constant() -> wd.Schedule:
    return wd.warmup_constant(warmup="10%")


def with_warmup() -> wd.Schedule:
    return wd.with_warmup(wd.Rex(d=0.9), warmup="10%")


def flat_cosine() -> wd.Schedule:
    return wd.flat_cosine(flat="60%")


def half_cosine() -> wd.Schedule:
    return wd.half_cosine(warmup="10%")


def warmup_inverse_sqrt() -> wd.Schedule:
    return wd.warmup_inverse_sqrt(warmup=100)


def noam() -> wd.Schedule:
    return wd.noam(d_model=512, warmup=100)


def warmup_rex() -> wd.Schedule:
    return wd.warmup_rex(warmup="5%", d=0.9)


def slanted_triangular() -> wd.Schedule:
    return wd.slanted_triangular(cut="10%", ratio=32.0)


def wsd() -> wd.Schedule:
    return wd.wsd(warmup="5%", decay="20%", shape="1-sqrt")


def wsd_s() -> wd.Schedule:
    return wd.wsd_s(warmup="2%", checkpoints=3, decay=0.2)


def infinite() -> wd.Schedule:
    return wd.infinite(warmup="5%", cooldown="30%", anneal="15%", constant=0.5)


def knee() -> wd.Schedule:
    return wd.knee(warmup="5%", explore="50%")


def tri_stage() -> wd.Schedule:
    return wd.tri_stage(warmup="10%", hold="40%", end=0.01)


def power_law() -> wd.Schedule:
    return wd.power_law(warmup="2%", timescale=100, decay="15%")


def swa() -> wd.Schedule:
    return wd.swa(after="60%", anneal="15%", value=0.2)


def one_cycle() -> dict[str, wd.Scale | wd.Set]:
    return wd.one_cycle(warm="30%", div=25.0, momentum=(0.85, 0.95))


def cosine_restarts() -> wd.Schedule:
    return wd.cosine_restarts(first=143, grow=2.0, decay=0.8)


def cosine_waves() -> wd.Schedule:
    return wd.cosine_waves(cycles=3, end=0.1, warmup="5%")


def triangular() -> wd.Schedule:
    return wd.triangular(low=0.1, up=125)


def triangular2() -> wd.Schedule:
    return wd.triangular2(low=0.1, up=125)


def exp_range() -> wd.Schedule:
    return wd.exp_range(low=0.1, up=125, gamma=0.998)


def sawtooth() -> wd.Schedule:
    return wd.sawtooth(high=1.0, low=0.1, period=250)


def piecewise() -> wd.Schedule:
    return wd.piecewise(
        values=[0.0, 1.0, 0.4, 0.4, 0.0], lengths=[100, 300, 300, "rest"], shape="cosine"
    )


def range_test() -> wd.Set:
    return wd.Set(wd.range_test(start=1e-6, end=1.0))


# -- curves ---------------------------------------------------------------------------------------


def Constant() -> wd.Schedule:
    return wd.Constant(value=0.5)


def Linear() -> wd.Schedule:
    return wd.Linear(start=1.0, end=0.1)


def Cosine() -> wd.Schedule:
    return wd.Cosine(start=1.0, end=0.0, k=1.5)


def Polynomial() -> wd.Schedule:
    return wd.Polynomial(power=3.0)


def Sqrt() -> wd.Schedule:
    return wd.Sqrt()


def Exponential() -> wd.Schedule:
    return wd.Exponential(start=1.0, end=0.01)


def InverseProportional() -> wd.Schedule:
    return wd.InverseProportional(start=1.0, end=0.1)


def Rex() -> wd.Schedule:
    return wd.Rex(d=0.9)


def Tanh() -> wd.Schedule:
    return wd.Tanh(lower=-6.0, upper=3.0)


def Log() -> wd.Schedule:
    return wd.Log(start=0.0, end=1.0)


def Hyperbolic() -> wd.Schedule:
    return wd.Hyperbolic(upper=1.25)


def ExpHyperbolic() -> wd.Schedule:
    return wd.ExpHyperbolic(infimum=0.01, upper=1.25)


def InverseSqrt() -> wd.Schedule:
    return wd.InverseSqrt(timescale=50)


def InverseTime() -> wd.Schedule:
    return wd.InverseTime(rate=1.0, every=100)


def Power() -> wd.Schedule:
    return wd.Power(timescale=50, exponent=0.8)


def ExponentialDecay() -> wd.Schedule:
    return wd.ExponentialDecay(gamma=0.7, every=100)


# -- steps ----------------------------------------------------------------------------------------


def Staircase() -> wd.Schedule:
    return wd.Staircase(gamma=0.5, every=200)


def Milestones() -> wd.Schedule:
    return wd.Milestones(gamma=0.3, at=("30%", "60%", "90%"))


def PiecewiseConstant() -> wd.Schedule:
    return wd.PiecewiseConstant(values=(0.2, 1.0, 0.5, 0.1), at=(100, 500, 800))


def Function() -> wd.Schedule:
    return wd.Function(call=lambda step: 0.5 + 0.5 * np.cos(step / 80) * 0.997**step)


# -- cycles ---------------------------------------------------------------------------------------


def Triangle() -> wd.Schedule:
    return wd.Triangle(low=0.1, high=1.0, up=300, down=700)


def Repeat() -> wd.Schedule:
    return wd.Cosine().repeat(4, decay=0.7, grow=1.5)


def Chebyshev() -> wd.Schedule:
    return wd.Chebyshev(low=0.1, high=1.0, order=5)


# -- compositions ---------------------------------------------------------------------------------


def Chain() -> wd.Schedule:
    return (
        wd.Linear(start=0.0, end=1.0, steps="10%") >> wd.Constant(steps="50%") >> wd.Cosine(end=0.1)
    )


def Product() -> wd.Schedule:
    return wd.Cosine() * wd.Staircase(gamma=0.5, every=250)


def Sum() -> wd.Schedule:
    return wd.Cosine(end=0.0) * 0.8 + 0.2


def Named() -> wd.Schedule:
    return wd.Linear(start=0.0, end=1.0, steps=200).named("thaw") >> wd.Cosine().named("cool")


def Clipped() -> wd.Schedule:
    return wd.Cosine().clip(low=0.2, high=0.8)


def Delayed() -> wd.Schedule:
    return wd.Cosine(steps=700).delay(300)


def Truncated() -> wd.Schedule:
    return wd.InverseSqrt(timescale=100).take(400) >> wd.Linear(start=0.45, end=0.0)


def Skipped() -> wd.Schedule:
    return wd.Cosine(steps=1400).skip(400)


def Stretched() -> wd.Schedule:
    return (wd.Linear(start=0.0, end=1.0, steps=1) >> wd.Cosine(steps=3)).stretch("80%")


def Grafted() -> wd.Schedule:
    return wd.InverseSqrt(timescale=100).graft(wd.Sqrt(steps="20%"), at="80%")


def Noisy() -> wd.Schedule:
    return wd.warmup_cosine().noisy(0.15, seed=1, every=10)


# -- feedback -------------------------------------------------------------------------------------


def Plateau() -> wd.Schedule:
    plateau = wd.Plateau(metric="val_loss", factor=0.5, patience=2)
    for step in range(50, 1000, 50):  # the Scheduler does this: scheduler.observe(val_loss=…)
        plateau = plateau.observe(step, {"val_loss": max(0.4, 1.0 - step / 500)})
    return plateau


def newbob() -> wd.Schedule:
    rate = wd.newbob(metric="val_loss", threshold=0.1)
    for step in range(50, 1000, 50):
        rate = rate.observe(step, {"val_loss": 0.85 ** (step / 50) + 0.3})
    return rate


def Greedy() -> wd.Schedule:
    greedy = wd.Greedy(metric="loss", factor=0.8, patience=1, high=2.0)
    for step in range(50, 1000, 50):
        greedy = greedy.observe(step, {"loss": abs(step - 400) / 400})
    return greedy


# -- other libraries ------------------------------------------------------------------------------


def External() -> wd.Schedule:
    return wd.External(
        class_path="torch.optim.lr_scheduler.StepLR", init_args={"step_size": 250, "gamma": 0.3}
    )
