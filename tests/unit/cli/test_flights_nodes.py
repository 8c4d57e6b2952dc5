"""The nodes of the flights project, on tables small enough to check by hand, and the shape of its pipeline."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from treadle import Pipeline
from treadle.cli.scaffold import create_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = "flights_under_test"


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the project once, and import it under a name of its own."""
    pytest.importorskip("sklearn", reason="the demo needs the extra `demo`")
    path = create_project(
        "flights", tmp_path_factory.mktemp("projects") / "flights", project_name="Flights", package_name=PACKAGE
    )
    sys.path.insert(0, str(path / "src"))
    yield path
    sys.path.remove(str(path / "src"))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def nodes(pipeline: str) -> Any:
    return import_module(f"{PACKAGE}.pipelines.{pipeline}.nodes")


def whole_pipeline() -> Pipeline:
    names = ("data_processing", "features", "delays", "modelling", "reporting")
    return Pipeline([import_module(f"{PACKAGE}.pipelines.{name}").create_pipeline() for name in names])


def raw_flights(rows: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "month": 1,
            "day": np.arange(rows) // 2 + 1,
            "sched_dep_time": [517, 1759] * (rows // 2),
            "dep_delay": [20.0, -3.0] * (rows // 2),
            "carrier": "UA",
            "tailnum": "N1",
            "origin": "EWR",
            "dest": "IAH",
            "distance": 1400,
            "time_hour": [
                f"2013-01-{day:02}T{hour}:00:00Z"
                for day, hour in zip(np.arange(rows) // 2 + 1, ["10", "22"] * (rows // 2), strict=True)
            ],
        }
    )


def clean_flights(rows: int = 4) -> pd.DataFrame:
    return nodes("data_processing").clean_flights(raw_flights(rows), {"late_after_minutes": 15})


def test_the_pipeline_is_worth_running_in_parallel() -> None:
    """There are 51 nodes, all data comes from files in data/01_raw, and what is left at the end is for people."""
    pipeline = whole_pipeline()
    free = {name for name in pipeline.inputs() if not name.startswith("params:")}

    assert len(pipeline) == 51
    assert free == {"raw_flights", "raw_weather", "raw_planes", "airports", "airlines"}
    assert pipeline.outputs() == {"delay_map", "model_chart", "late_routes"}
    assert max(len(layer) for layer in pipeline.grouped_nodes) >= 12


def test_flights_that_never_left_are_dropped() -> None:
    """A cancelled flight goes, clock times become minutes, and late begins at the parameter."""
    raw = raw_flights()
    raw.loc[1, "dep_delay"] = np.nan

    flights = nodes("data_processing").clean_flights(raw, {"late_after_minutes": 20})

    assert flights["minute_of_day"].tolist() == [317, 317, 1079]
    assert flights["late"].tolist() == [True, True, False]


def test_weather_is_metric_and_unbroken() -> None:
    """Missing hours within the limit are filled in between, and units are metric."""
    raw = pd.DataFrame(
        {name: [50.0, 68.0] for name in ("temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure")}
    )
    raw = raw.assign(origin="JFK", wind_dir=90, time_hour=["2013-01-01T06:00:00Z", "2013-01-01T08:00:00Z"])

    weather = nodes("data_processing").clean_weather(raw, {"longest_weather_gap_hours": 6})

    assert weather["temperature"].tolist() == pytest.approx([10, 15, 20])
    assert weather["wind_east"].tolist() == pytest.approx(weather["wind_speed"].tolist(), rel=1e-5)
    assert weather["rain_3h"].iloc[2] == pytest.approx(weather["rain"].sum())


def test_ages_that_cannot_be_are_left_empty() -> None:
    """A plane from the year 0 has no age; a plane listed twice counts once."""
    raw = pd.DataFrame({"tailnum": ["N1", "N2", "N2"], "year": [2003, 0, 0], "seats": [100, 50, 50]})

    planes = nodes("data_processing").clean_planes(raw)

    assert planes["plane_age"].fillna(-1).tolist() == [10, -1]


def test_a_late_share_never_knows_its_own_day() -> None:
    """The first day gets the prior, the next the mix of prior and the day before."""
    flights = clean_flights(4)
    settings = {"trailing_days": 28, "prior_late_share": 0.2, "prior_flights": 8}

    share = nodes("features").trailing_late_share(flights, "carrier", settings)

    assert share.tolist() == pytest.approx([0.2, 0.2, 0.26, 0.26])


def test_features_hold_one_row_a_flight_of_the_airport() -> None:
    """Joins with weather and planes neither add nor lose flights, and what happens to a flight itself is not a feature."""
    flights = pd.concat([clean_flights(4), clean_flights(2).assign(origin="JFK")], ignore_index=True)
    weather = pd.DataFrame({"origin": "EWR", "time_hour": flights["time_hour"].unique()[:2], "rain": [1.0, 2.0]})
    planes = pd.DataFrame({"tailnum": ["N1"], "plane_age": [10.0]})
    settings = {"trailing_days": 28, "prior_late_share": 0.2, "prior_flights": 8}

    features = nodes("features").build_features(flights, weather, planes, {"code": "EWR", "name": "Newark"}, settings)

    assert len(features) == 4
    assert "dep_delay" not in features
    assert features["plane_age"].tolist() == [10.0] * 4
    assert features["plane_trip_of_day"].tolist() == [0, 1, 0, 1]
    assert features["previous_delay"].tolist() == [0, 20, -3, 20]
    assert features["rain"].fillna(0).tolist() == [1.0, 2.0, 0, 0]


def test_the_past_is_parted_from_the_future() -> None:
    """Days up to the limit are for learning, days after it for testing."""
    features = pd.DataFrame(
        {"day": pd.to_datetime(["2013-01-01", "2013-01-02", "2013-01-03"]), "x": [1, 2, 3], "late": [True, False, True]}
    )

    train_set, test_set = nodes("features").split_by_day(features, {"train_until": "2013-01-02", "columns": ["x"]})

    assert train_set["x"].tolist() == [1, 2]
    assert test_set.to_dict("list") == {"x": [3.0], "late": [1.0]}


def test_a_month_counts_only_its_flights() -> None:
    """Each airport gets its hours and the delay that one flight in ten exceeds; the same seed gives the same interval."""
    settings = {"quantile": 0.9, "resamples": 20, "confidence": 0.9, "random_state": 1}
    flights = pd.concat([clean_flights(4), clean_flights(4).assign(month=2)], ignore_index=True)

    hourly, monthly = nodes("delays").summarise_month(flights, settings, month=1)
    _, again = nodes("delays").summarise_month(flights, settings, month=1)

    assert hourly[["hour", "flights", "late_share"]].to_dict("list") == {
        "hour": [5, 17],
        "flights": [2, 2],
        "late_share": [1.0, 0.0],
    }
    assert monthly["flights"].tolist() == [4]
    pd.testing.assert_frame_equal(monthly, again)


def test_routes_are_listed_by_name() -> None:
    """Routes carry the names of destination and airline, and rare ones do not count."""
    flights = pd.concat([clean_flights(4), clean_flights(2).assign(dest="MIA")], ignore_index=True)
    airports = pd.DataFrame({"faa": ["IAH"], "name": ["Houston"]})
    airlines = pd.DataFrame({"carrier": ["UA"], "name": ["United"]})

    routes = nodes("delays").rank_routes(flights, airports, airlines, {"fewest_flights": 3, "rows": 5})

    assert routes.to_dict("records") == [
        {
            "origin": "EWR",
            "dest": "IAH",
            "destination": "Houston",
            "airline": "United",
            "flights": 4,
            "late_share": 0.5,
            "mean_delay": 8.5,
        }
    ]


MODEL = {
    "label": "Forest",
    "estimator": "sklearn.ensemble.RandomForestClassifier",
    "options": {"n_estimators": 5, "random_state": 1},
}


def test_a_model_learns_what_there_is_to_learn() -> None:
    """A model is made from its class path and options, stands gaps in the data, and its metrics say how good it is."""
    random = np.random.default_rng(1)
    table = pd.DataFrame({"x": random.random(200), "noise": random.random(200)})
    table["late"] = (table["x"] > 0.5).astype("float32")
    table.loc[0, "noise"] = np.nan
    modelling = nodes("modelling")

    fitted = modelling.train_model(table, MODEL, threads=1)
    metrics = modelling.evaluate_model(fitted, table, MODEL, {"code": "EWR", "name": "Newark"}, threads=1)

    assert metrics["roc_auc"] > 0.95
    assert (metrics["airport"], metrics["model"], metrics["flights"]) == ("EWR", "Forest", 200)
    assert len(metrics["calibration"]["observed"]) == 10


def metrics_of(airport: str, model: str, roc_auc: float) -> dict[str, Any]:
    scores = {"roc_auc": roc_auc, "average_precision": 0.5, "brier": 0.1, "log_loss": 0.4}
    calibration = {"predicted": [0.1, 0.5], "observed": [0.2, 0.4]}
    return {"airport": airport, "model": model, "flights": 10, "late_share": 0.2, **scores, "calibration": calibration}


def test_the_best_model_is_found() -> None:
    """Each airport has its best model, and the best over all has the best mean."""
    comparison = nodes("modelling").compare_models(
        metrics_of("EWR", "A", 0.7), metrics_of("EWR", "B", 0.8), metrics_of("JFK", "A", 0.75), metrics_of("JFK", "B", 0.7)
    )

    assert comparison["best_model"] == {"model": "B", "mean_roc_auc": pytest.approx(0.75)}
    assert [comparison["airports"][code]["best"] for code in ("EWR", "JFK")] == ["B", "A"]


def test_pictures_are_drawn_and_saved(tmp_path: Path) -> None:
    """Both pictures are figures with titles and labelled axes, and become PNG files that load again."""
    reporting = nodes("reporting")
    airports = {"ewr": {"code": "EWR", "name": "Newark"}, "jfk": {"code": "JFK", "name": "Kennedy"}}
    settings = {"late_after_minutes": 15, "quantile": 0.9, "confidence": 0.95}
    hourly = pd.DataFrame({"origin": ["EWR", "JFK"], "month": 1, "hour": 6, "flights": 50, "late_share": [0.2, 0.3]})
    monthly = pd.DataFrame({"origin": ["EWR", "JFK"], "month": 1, "delay": 30.0, "low": 28.0, "high": 33.0})
    comparison = nodes("modelling").compare_models(*(metrics_of(code, model, 0.7) for code in ("EWR", "JFK") for model in "AB"))

    figures = [
        reporting.plot_delay_map(hourly, monthly, airports, settings),
        reporting.plot_model_chart(comparison, airports),
    ]

    for number, figure in enumerate(figures):
        assert any(text.get_text() for text in figure.texts)
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
        dataset = import_module(f"{PACKAGE}.datasets").FigureDataset(str(tmp_path / "pictures" / f"{number}.png"), dpi=40)
        assert not dataset.exists()
        dataset.save(figure)
        assert dataset.exists()
        assert dataset.load().shape[1] == 13 * 40
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["0.png", "1.png"]


def test_values_are_described_by_their_size() -> None:
    """The hook that reports datasets names rows and columns of a table, and the type of anything else."""
    describe = import_module(f"{PACKAGE}.hooks").describe

    assert describe(pd.DataFrame({"a": range(1200)})) == "1,200 rows × 1 columns"
    assert describe({"a": 1}) == "dict"
