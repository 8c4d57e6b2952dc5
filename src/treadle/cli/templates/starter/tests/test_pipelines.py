"""Run the pipelines in memory: a catalog of plain values replaces the files."""

from treadle import Catalog, SequentialRunner

from __package_name__.pipelines import cleaning, reporting

ORDERS = """\
day,hour,product,quantity,price
2024-03-04,7,croissant,4,2.40
2024-03-04,12,sandwich,5,6.50
2024-03-04,12,sandwich,,6.50
2024-03-04,13,sandwich,900,6.50
"""


def test_orders_become_a_report():
    """The report lists the best product first, and ignores orders whose quantity is missing or too large."""
    pipeline = cleaning.create_pipeline() + reporting.create_pipeline()
    catalog = Catalog({"raw_orders": ORDERS, "params:cleaning": {"largest_quantity": 100}, "params:report.best": 1})

    result = SequentialRunner().run(pipeline, catalog)

    assert "1. sandwich: 32.50" in result["report"]
    assert "croissant" not in result["report"]
    assert "12:00" in result["report"]
