"""Aggregate the orders, and write the report."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def sum_by_product(orders: list[dict[str, Any]]) -> dict[str, float]:
    """Sum the sales of each product.

    Args:
        orders: clean orders.

    Returns:
        Sales by product, the largest first.
    """
    return _sum_by(orders, "product")


def sum_by_hour(orders: list[dict[str, Any]]) -> dict[int, float]:
    """Sum the sales of each hour of the day.

    Args:
        orders: clean orders.

    Returns:
        Sales by hour, the largest first.
    """
    return _sum_by(orders, "hour")


def write_report(by_product: dict[str, float], by_hour: dict[int, float], best: int) -> str:
    """Write a report of the best products and the best hour.

    Args:
        by_product: sales by product, the largest first.
        by_hour: sales by hour, the largest first.
        best: how many products to list.

    Returns:
        The report, in Markdown.
    """
    lines = ["# What sells", ""]
    lines += [
        f"{place}. {product}: {worth:.2f}" for place, (product, worth) in enumerate(list(by_product.items())[:best], start=1)
    ]
    busiest = next(iter(by_hour))
    lines += ["", f"The best hour begins at {busiest}:00."]
    return "\n".join(lines) + "\n"


def _sum_by(orders: list[dict[str, Any]], key: str) -> dict[Any, float]:
    sums: dict[Any, float] = defaultdict(float)
    for order in orders:
        sums[order[key]] += order["worth"]
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
