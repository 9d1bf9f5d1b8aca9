"""Forecasts: what a schedule will do to the loss, learned from logs; no torch."""

from warmdown.forecast.design import Design
from warmdown.forecast.law import Law, fit_loss, load_law
from warmdown.forecast.logs import LossLog, read_log
from warmdown.forecast.prediction import Agreement, Final, Forecast
from warmdown.forecast.rates import RateCurve

__all__ = [
    "Agreement",
    "Design",
    "Final",
    "Forecast",
    "Law",
    "LossLog",
    "RateCurve",
    "fit_loss",
    "load_law",
    "read_log",
]
