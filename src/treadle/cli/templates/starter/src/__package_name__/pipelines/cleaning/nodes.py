"""Parse and clean the orders."""

from __future__ import annotations

import csv
import logging
from typing import Any

logger = logging.getLogger(__name__)


def clean_orders(raw_orders: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Parse the orders, and drop those with a missing or implausible quantity.

    Args:
        raw_orders: CSV with day, hour, product, quantity and price.
        settings: `largest_quantity`, the largest plausible quantity.

    Returns:
        One record per order, with its value in `worth`.
    """
    rows = list(csv.DictReader(raw_orders.splitlines()))
    orders = []
    for row in rows:
        quantity = int(row["quantity"] or 0)
        if 0 < quantity <= settings["largest_quantity"]:
            worth = round(quantity * float(row["price"]), 2)
            orders.append(
                {"day": row["day"], "hour": int(row["hour"]), "product": row["product"], "quantity": quantity, "worth": worth}
            )
    logger.info("Kept %d of %d orders", len(orders), len(rows))
    return orders
