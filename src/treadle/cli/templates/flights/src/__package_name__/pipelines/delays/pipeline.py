"""The pipeline that computes delays by month, hour and route."""

from functools import partial

from treadle import Pipeline, node

from __package_name__.pipelines.delays.nodes import rank_routes, stack_months, summarise_month

MONTHS = range(1, 13)


def create_pipeline() -> Pipeline:
    """Create one node per month, and the nodes that combine their tables.

    Returns:
        The pipeline, whose free outputs are `hourly_delays`, `monthly_delays` and `late_routes`.
    """
    months = [
        node(
            partial(summarise_month, month=month),
            ["flights", "params:delays"],
            [f"hourly_{month:02}", f"monthly_{month:02}"],
            name=f"summarise_month_{month:02}",
        )
        for month in MONTHS
    ]
    together = [
        node(stack_months, [f"hourly_{month:02}" for month in MONTHS], "hourly_delays", name="stack_hourly"),
        node(stack_months, [f"monthly_{month:02}" for month in MONTHS], "monthly_delays", name="stack_monthly"),
        node(rank_routes, ["flights", "airports", "airlines", "params:routes"], "late_routes", name="rank_routes"),
    ]
    return Pipeline([*months, *together], tags="delays")
