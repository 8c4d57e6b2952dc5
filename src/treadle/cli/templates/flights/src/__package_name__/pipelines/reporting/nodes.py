"""Draw figures: when flights leave late, and how well the models predict it."""

from __future__ import annotations

import calendar
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# A palette for colour-blind readers (Okabe and Ito); the markers differ too.
STYLES = {"EWR": ("#0072B2", "o"), "JFK": ("#D55E00", "s"), "LGA": ("#009E73", "^")}
HOURS = range(5, 24)
FEWEST_FLIGHTS = 30
MONTHS = [calendar.month_abbr[month] for month in range(1, 13)]


def plot_delay_map(
    hourly_delays: pd.DataFrame, monthly_delays: pd.DataFrame, airports: dict[str, Any], settings: dict[str, Any]
) -> Figure:
    """Draw a heat map of late flights by hour and month for each airport, and the worst delays over the year.

    Args:
        hourly_delays: share of late flights by airport, month and hour.
        monthly_delays: the quantile of the delay, with its interval, by airport and month.
        airports: the airports by their key, each with `code` and `name`.
        settings: `late_after_minutes` and `quantile`.

    Returns:
        The figure.
    """
    names = {airport["code"]: airport["name"] for airport in airports.values()}
    figure = Figure(figsize=(13, 9.6))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.08)
    figure.suptitle(
        "Leave New York in the morning: delays build up all day, most of all in summer", fontsize=17, fontweight="bold"
    )
    grid = figure.add_gridspec(2, len(names), height_ratios=[1.25, 1])
    maps = [figure.add_subplot(grid[0, column]) for column in range(len(names))]
    known = hourly_delays[hourly_delays["flights"] >= FEWEST_FLIGHTS]
    top = 5 * np.ceil(20 * known["late_share"].max())
    for axes, (code, name) in zip(maps, names.items(), strict=True):
        table = known[known["origin"] == code].pivot(index="month", columns="hour", values="late_share")
        shares = 100 * table.reindex(index=range(1, 13), columns=HOURS).to_numpy(float)
        image = axes.pcolormesh([*HOURS, 24], np.arange(0.5, 13), shares, cmap="magma_r", vmin=0, vmax=top)
        flights = hourly_delays.loc[hourly_delays["origin"] == code, "flights"].sum()
        axes.set_title(f"{name} ({code}), {flights:,} departures", fontsize=12)
        axes.set_xlabel("Scheduled hour of departure")
        axes.set_xticks(range(6, 25, 3), [f"{hour}:00" for hour in range(6, 25, 3)])
        axes.set_yticks(range(1, 13), MONTHS if axes is maps[0] else [""] * 12)
        axes.set_ylim(12.5, 0.5)
        axes.set_facecolor("#e6e6e6")
    bar = figure.colorbar(image, ax=maps, pad=0.015, aspect=28)
    bar.set_label(f"Departures {settings['late_after_minutes']} or more minutes late in 2013 (%)")
    bar.ax.text(
        0.5, -0.06, "grey:\ntoo few\nflights", transform=bar.ax.transAxes, ha="center", va="top", fontsize=9, color="#555555"
    )
    _draw_monthly(figure.add_subplot(grid[1, :]), monthly_delays, names, settings)
    return figure


def plot_model_chart(comparison: dict[str, Any], airports: dict[str, Any]) -> Figure:
    """Draw the ROC AUC of each model, and the calibration of its probabilities.

    Args:
        comparison: the comparison of all models.
        airports: the airports by their key, each with `code` and `name`.

    Returns:
        The figure.
    """
    names = {airport["code"]: airport["name"] for airport in airports.values()}
    best = comparison["best_model"]
    figure = Figure(figsize=(13, 6))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.15)
    title = f"{best['model']} sees late departures coming best: mean ROC AUC {best['mean_roc_auc']:.2f} on months it never saw"
    figure.suptitle(title, fontsize=15, fontweight="bold")
    scores, trust = figure.subplots(1, 2, width_ratios=[1.15, 1])
    models = sorted(comparison["mean_roc_auc"], key=comparison["mean_roc_auc"].get)
    for code, name in names.items():
        colour, marker = STYLES[code]
        of_airport = comparison["airports"][code]["models"]
        aucs = [of_airport[model]["roc_auc"] for model in models]
        scores.plot(aucs, range(len(models)), marker, color=colour, markersize=10, label=f"{name} ({code})")
        fit = of_airport[best["model"]]["calibration"]
        trust.plot(100 * np.array(fit["predicted"]), 100 * np.array(fit["observed"]), color=colour, marker=marker)
    scores.set_title("How well are late departures told from the others?", loc="left")
    scores.set_xlabel("ROC AUC (0.5 is a guess, 1 is perfect)")
    scores.set_yticks(range(len(models)), models)
    scores.set_ylim(-0.5, len(models) - 0.5)
    scores.grid(color="#dddddd")
    scores.set_axisbelow(True)
    scores.legend(loc="lower right")
    trust.set_title(f"Can the probabilities be believed? ({best['model']})", loc="left")
    trust.set_xlabel("Predicted probability to leave late (%)")
    trust.set_ylabel("Departures that were late (%)")
    limit = 5 + max(trust.get_xlim()[1], trust.get_ylim()[1])
    trust.plot([0, limit], [0, limit], color="#888888", linestyle="--", linewidth=1)
    trust.annotate(
        "what happened\nis what was\npredicted",
        (0.76 * limit, 0.76 * limit),
        (0.8 * limit, 0.45 * limit),
        color="#555555",
        ha="center",
        arrowprops={"arrowstyle": "-", "color": "#888888"},
    )
    trust.set_xlim(0, limit)
    trust.set_ylim(0, limit)
    _tidy(scores, trust)
    return figure


def _draw_monthly(axes: Axes, monthly_delays: pd.DataFrame, names: dict[str, str], settings: dict[str, Any]) -> None:
    for code, name in names.items():
        colour, marker = STYLES[code]
        table = monthly_delays[monthly_delays["origin"] == code].sort_values("month")
        axes.fill_between(table["month"], table["low"], table["high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(table["month"], table["delay"], color=colour, marker=marker, linewidth=2, label=f"{name} ({code})")
    one_in = round(1 / (1 - settings["quantile"]))
    axes.set_title(f"One departure in {one_in} is later than this (band: {settings['confidence']:.0%} interval)", loc="left")
    axes.set_ylabel("Delay at departure (minutes)")
    axes.set_xticks(range(1, 13), MONTHS)
    axes.set_xlim(0.7, 12.3)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dddddd")
    axes.legend(loc="upper right", frameon=False, ncols=len(names))
    _tidy(axes)


def _tidy(*panels: Axes) -> None:
    for axes in panels:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
