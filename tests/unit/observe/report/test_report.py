"""The page of a report: complete, inert, small, and the same numbers as the analysis."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from treadle.errors import ReportError, SessionError
from treadle.events import Outcome
from treadle.observe.report import analysis, folding
from treadle.observe.report.amounts import format_share, format_size, format_time
from treadle.observe.report.comparison import compare
from treadle.observe.report.folding import fold
from treadle.observe.report.history import node_histories, usual_of
from treadle.observe.report.report import Report
from treadle.observe.report.timeline import CAUSES, timeline_of
from treadle.observe.store.history_access import PastRun
from treadle.secrets import register_secrets
from treadle.session.what_if import what_if


def data_of(page):
    """The data of the charts in a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


def test_the_data_of_the_page_is_that_of_the_analysis(diamond):
    """Names, times, waits and the critical path arrive as they were recorded, within the unit of time."""
    report = Report(diamond)
    run, timeline = data_of(report.html())["run"], report.content.analysis.timeline
    assert run["names"] == ["a", "b", "c", "d"]
    assert run["critical"] == [0, 1, 3]
    unit, columns = run["unit"], run["attempts"]
    for index, attempt in enumerate(timeline.attempts):
        assert columns["started"][index] * unit == pytest.approx(attempt.started, abs=unit)
        waits = sum(columns[f"wait_{cause}"][index] * unit for cause in CAUSES if columns[f"wait_{cause}"] is not None)
        assert waits + attempt.seconds + (timeline.wall - attempt.finished) == pytest.approx(timeline.wall, rel=0.01)


def test_the_summary_has_the_numbers_of_the_run(diamond):
    """Work, speed-up and efficiency follow from the times; three sentences say what limits the run."""
    summary = Report(diamond).content.analysis.summary
    assert (summary.outcome, summary.wall, summary.workers, summary.counts) == ("succeeded", 10.0, 2, {"succeeded": 4})
    assert (summary.work, summary.speedup, summary.efficiency) == pytest.approx((9.5, 0.95, 0.475))
    assert len(summary.limits) == 3
    assert "75 % of the run" in summary.limits[0]
    assert "More workers would not help" in summary.limits[0]


def test_the_estimates_are_those_of_what_if(diamond):
    """The report and `sessions what-if` are one computation."""
    estimates = Report(diamond).content.analysis.estimates
    answer = what_if(diamond, {}, [count for count, *_ in estimates.makespans])
    assert answer.makespans == estimates.makespans
    assert [count for count, *_ in answer.makespans] == list(range(1, 33))


def test_a_page_runs_nothing_but_its_own_script(records):
    """Markup in names and messages is escaped everywhere, and the policy allows no request and no other script."""
    evil = '</script><script>alert("1")</script><img src=x onerror=alert(1)>'
    nodes = [records.attempt(evil, "worker-1", 0.0, 1.0, sent=0.0, outcome=Outcome.FAILED)]
    session = records.session(records.graph({evil: ()}), nodes, wall=1.0, outcome=Outcome.FAILED)
    page = Report(session._replace(command=evil, extra_params={evil: evil})).html()
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert data_of(page)["run"]["names"] == [evil]
    assert not re.search(r"<[^>]* on[a-z]+=", page.partition('<script type="application/json"')[0])
    assert set(re.findall(r"[a-z]+://[^\"]*", page)) == {"http://www.w3.org/2000/svg"}  # the name of a namespace


def test_secrets_are_not_in_a_page(records):
    """A value that was registered as a secret is masked, wherever the record has it."""
    register_secrets(["hunter2-and-more"])
    nodes = [records.attempt("a", "worker-1", 0.0, 1.0, sent=0.0)]
    session = records.session(records.graph({"a": ()}), nodes, wall=1.0)
    page = Report(session._replace(environment={"LANG": "hunter2-and-more"}, extra_params={"x": "hunter2-and-more"})).html()
    assert "hunter2" not in page


def test_a_secret_changes_only_texts(records):
    """A secret that is a number, or a word that the page itself uses, is masked in texts; the page still finds its data."""
    register_secrets([2048, "root", "attempts"])
    nodes = [records.attempt("a", "worker-1", 0.0, 1.0, sent=0.0)]
    session = records.session(records.graph({"a": ()}), nodes, wall=2048.0)
    page = Report(session._replace(project_path="/root", extra_params={"pin": 2048})).html()
    data = data_of(page)
    assert (data["run"]["wall"], data["root"], len(data["run"]["attempts"]["node"])) == (2048.0, "/***", 1)


def test_the_table_has_the_time_of_all_attempts(records):
    """The parts of a line and the time after it sum to the wall time, also of a node that was attempted again."""
    nodes = [
        records.attempt("a", "worker-1", 1.0, 3.0, sent=1.0, outcome=Outcome.FAILED)._replace(retried=True),
        records.attempt("a", "worker-2", 6.0, 9.0, sent=5.5, until=5.0, number=2),
        records.attempt("b", "worker-1", 4.0, 8.0, sent=4.0),
    ]
    page = Report(records.session(records.graph({"a": (), "b": ()}), nodes, wall=10.0, ready=0.5)).html()
    rows = re.findall(r'<tr><th scope="row">(.)</th><td>succeeded</td>(.*?)</tr>', page)
    cells = {
        name: [cell.replace(" s", "").replace("500 ms", "0.5") for cell in re.findall(r">([^<]+)<", row)] for name, row in rows
    }
    assert cells["a"] == ["0", "0.5", "1.5", "0", "2", "0", "5"]
    assert list(cells) == ["a", "b"]


def test_texts_of_nodes_that_are_no_text_can_be_written(records, tmp_path):
    """Half of a surrogate pair in the message of an exception, as of a file name that is not UTF-8, is shown escaped."""
    nodes = [records.attempt("a", "worker-1", 0.0, 1.0, sent=0.0, outcome=Outcome.FAILED)]
    broken = nodes[0]._replace(error=nodes[0].error._replace(message="no file \udc80"))
    session = records.session(records.graph({"a": ()}), [broken], wall=1.0, outcome=Outcome.FAILED)
    page = Report(session).save(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "ValueError: no file \\udc80</summary>" in page
    assert data_of(page)["run"]["errors"][0]["message"] == "no file \udc80"


def test_the_report_of_nothing_is_small(records):
    """A session without a run has a page of at most 300 kB, which says so."""
    session = records.session(records.graph({}), [], wall=1.0)
    page = Report(session._replace(runs=())).html()
    assert len(page.encode()) <= 300_000
    assert "Nothing ran in this session." in page


def test_the_report_of_a_run_that_failed_before_its_first_node_says_so(records):
    """Its pipeline could not be imported, for example: the page claims neither workers nor numbers of what did not run."""
    session = records.session(None, [], wall=0.1, outcome=Outcome.FAILED)
    run = session.runs[0]._replace(worker_count=None, start_method=None)
    page = Report(session._replace(runs=(run,))).html()
    assert "The run ended before its nodes were known, so nothing ran." in page
    for untrue in ("The graph of this run is not recorded", "0 workers", "Speed-up</div>", "no worker processes"):
        assert untrue not in page


def test_a_large_run_is_folded_and_the_page_says_so(records):
    """Nodes with similar names become one; failed nodes and the critical path stay; nothing is lost from the counts."""
    names = [f"shop.make_{number}" for number in range(500)]
    nodes = [
        records.attempt(name, f"worker-{place % 2 + 1}", place * 0.01, place * 0.01 + 0.009, sent=0.0)
        for place, name in enumerate(names)
    ]
    nodes.append(records.attempt("bad", "worker-1", 5.0, 6.0, sent=5.0, outcome=Outcome.FAILED))
    session = records.session(records.graph(dict.fromkeys([*names, "bad"], ())), nodes, wall=6.0)
    timeline = timeline_of(session, session.runs[0])
    folded = fold(timeline, {500}, most=300)
    assert sum(folded.counts) == 501
    assert "501 nodes" in folded.sentence
    shown = [node.name for node in folded.timeline.graph.nodes]
    assert {"shop.make_#", "bad"} <= set(shown)
    assert len(shown) <= 300
    assert sum(each.seconds for each in folded.timeline.attempts) >= sum(each.seconds for each in timeline.attempts) - 1e-6
    assert fold(timeline, ()).sentence is None


def test_bars_that_alternate_are_merged_too(records, monkeypatch):
    """A worker that runs nodes of several groups in turn gets few bars, which do not overlap, and no time is lost."""
    monkeypatch.setattr(folding, "_MOST_BARS", 30)
    names = [f"{'xyz'[place % 3]}_{place}" for place in range(600)]
    nodes = [records.attempt(name, "worker-1", place / 100, place / 100 + 0.009) for place, name in enumerate(names)]
    session = records.session(records.graph(dict.fromkeys(names, ())), nodes, wall=6.0)
    timeline = timeline_of(session, session.runs[0])
    monkeypatch.setattr(folding, "_LONGEST", 0)
    folded = fold(timeline, (), most=10).timeline
    assert len(folded.attempts) <= 30
    assert sum(each.seconds for each in folded.attempts) == pytest.approx(5.4)
    assert all(one.finished <= two.started + 1e-9 for one, two in pairwise(folded.attempts))


def test_a_large_run_is_simulated_less_often(records, monkeypatch):
    """A number of workers that was not simulated has its lower bound, marked as such; one worker needs no simulation."""
    monkeypatch.setattr(analysis, "_SIMULATED_NODES", 2)
    nodes = [records.attempt(name, f"worker-{name}", 0.0, 2.0) for name in "12"]
    report = Report(records.session(records.graph({"1": (), "2": ()}), nodes, wall=2.0))
    assert report.content.analysis.estimates.makespans == ((1, 4.0, 4.0), (2, 2.0, 2.0))
    page = report.html()
    assert [row[:2] for row in data_of(page)["whatIf"]["makespans"][:3]] == [[1, 4.0], [2, 2.0], [3, None]]
    assert "≥ 2 s" in page
    assert "With 4 workers no schedule is shorter than" not in page  # the longest path is as long
    assert "so not every number is simulated" in page


def test_a_run_whose_nodes_were_up_to_date_says_so(records):
    """In the same words everywhere: in the summary, and in the table that needs no JavaScript."""
    reused = [records.attempt(name, None, None, None, number=0, outcome=Outcome.REUSED) for name in "12"]
    page = Report(records.session(records.graph({"1": (), "2": ()}), reused, wall=0.1)).html()
    for text in ("Every node was up to date, so none ran.", "2 up to date</div>", "<td>up to date</td>"):
        assert text in page
    assert "reused" not in page.partition("<main")[2].partition("<script")[0]


def test_a_lower_bound_is_not_called_an_estimate(records, monkeypatch):
    """Many short nodes whose run took longer than they did: what more workers would need is a bound, and the sentence says so."""
    monkeypatch.setattr(analysis, "_SIMULATED_NODES", 2)
    nodes = [records.attempt(name, f"worker-{name}", place, place + 0.1) for place, name in enumerate("12")]
    summary = Report(records.session(records.graph({"1": (), "2": ()}), nodes, wall=2.0)).content.analysis.summary
    assert summary.limits[0].endswith("With 4 workers no schedule is shorter than 100 ms; the nodes took 1.1 s.")


def test_ten_thousand_nodes_fit_in_three_megabytes(records):
    """A page of a run with ten thousand nodes is at most 3 MB."""
    names = [f"region_{number % 40:02}_make_{number}" for number in range(10_000)]
    parents = {name: (names[place - 40],) if place >= 40 else () for place, name in enumerate(names)}
    nodes = [
        records.attempt(name, f"worker-{place % 4 + 1}", place / 400, place / 400 + 0.0099, sent=place / 400)
        for place, name in enumerate(names)
    ]
    graph = records.graph({})
    numbered = {name: place for place, name in enumerate(names)}
    graph = graph._replace(
        nodes=tuple(
            records.GraphNode(
                name, (), (), tuple(numbered[each] for each in parents[name]), None, (), records.Source("f", "f.py", 1),
                main_only=False, resources=(),
            )
            for name in names
        ),
    )  # fmt: skip
    session = records.session(graph, nodes, wall=25.1, workers=4, outcome=Outcome.FAILED)  # not simulated
    assert len(Report(session).html().encode()) <= 3_000_000


def test_a_duration_is_unusual_beyond_the_noise_of_history():
    """It must differ by more than three deviations and a tenth; few earlier runs say nothing."""
    past = [PastRun(f"s{number}", number, 1.0, Outcome.SUCCEEDED, {"a": 1.0 + number / 100}) for number in range(10)]
    slow, fine = node_histories({"a": 1.5}, past)[0], node_histories({"a": 1.1}, past)[0]
    assert (slow.is_outlier, fine.is_outlier) == (True, False)
    assert (slow.usual.runs, slow.usual.shortest, slow.usual.middle) == (10, 1.0, pytest.approx(1.045))
    assert not node_histories({"a": 9.0}, past[:3])[0].is_outlier
    (new,) = node_histories({"b": 1.0}, past)
    assert (new.usual, new.seconds, new.is_outlier) == (None, (None,) * 10, False)


def test_two_runs_are_compared(records):
    """Added, removed, failed, skipped, slower and faster nodes are told apart; a difference within the noise is none."""

    def session(nodes, **more):
        return records.session(records.graph({}), nodes, wall=10.0, **more)

    def run(name, seconds, **more):
        return records.attempt(name, "worker-1", 0.0, seconds, **more)

    before = session([run("slow", 1.0), run("fast", 2.0), run("noisy", 1.0), run("gone", 1.0), run("bad", 1.0), run("skip", 1.0)])
    after = session(
        [
            run("slow", 2.0), run("fast", 1.0), run("noisy", 1.4), run("new", 1.0), run("bad", 1.0, outcome=Outcome.FAILED),
            records.attempt("skip", None, None, None, number=0, outcome=Outcome.SKIPPED),
        ]
    )  # fmt: skip
    comparison = compare(before, after._replace(extra_params={"depth": 3}), {"noisy": usual_of([0.8, 1.0, 1.2])})
    kinds = {each.name: each.kind for each in comparison.nodes}
    assert kinds == {
        "slow": "slower", "fast": "faster", "noisy": "same", "gone": "removed", "new": "added", "bad": "failed",
        "skip": "skipped",
    }  # fmt: skip
    assert [name for name, _before, _after in comparison.changes] == ["param depth"]
    assert comparison.nodes[-1].name == "noisy"


def test_only_nodes_that_succeeded_are_slower_or_faster(records):
    """The time until a failure or an interrupt is no duration; nodes that were up to date are not called skipped."""
    outcomes = [
        ("failed before", Outcome.FAILED, Outcome.SUCCEEDED, "succeeded this time"),
        ("interrupted before", Outcome.INTERRUPTED, Outcome.SUCCEEDED, "succeeded this time"),
        ("running before", None, Outcome.SUCCEEDED, "succeeded this time"),
        ("interrupted now", Outcome.SUCCEEDED, Outcome.INTERRUPTED, "did not finish"),
        ("never finished", None, Outcome.INTERRUPTED, None),
        ("up to date before", Outcome.REUSED, Outcome.SUCCEEDED, "ran this time"),
        ("up to date now", Outcome.SUCCEEDED, Outcome.REUSED, "up to date"),
        ("skipped now", Outcome.SUCCEEDED, Outcome.SKIPPED, "skipped"),
        ("up to date twice", Outcome.REUSED, Outcome.REUSED, None),
    ]

    def session(place, seconds):
        nodes = []
        for name, *of_run in outcomes:
            ran = of_run[place] not in (Outcome.SKIPPED, Outcome.REUSED)
            times = ("worker-1", 0.0, seconds) if ran else (None, None, None)
            nodes.append(records.attempt(name, *times, number=int(ran), outcome=of_run[place]))
        return records.session(records.graph({}), nodes, wall=10.0)

    page = Report(session(1, 5.0), before=session(0, 1.0)).html()
    shown = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td><span class="change \w+">([^<]*)</span>', page))
    assert shown == {name: label for name, _before, _after, label in outcomes if label is not None}


def test_a_report_is_saved_and_displayed(diamond, tmp_path):
    """A file in a new folder has the page, a notebook shows it in a frame; an error names a file that cannot be written."""
    report = Report(diamond)
    file = report.save(tmp_path / "new" / "report.html")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert report._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert "succeeded" in repr(report)
    with pytest.raises(ReportError, match="cannot be written") as caught:
        report.save(file / "below-a-file.html")
    assert caught.value.path == str(file / "below-a-file.html")


def test_without_a_store_there_is_nothing_to_compare_with(diamond):
    """A session that is not recorded has a report, but no comparison."""
    from treadle.session.reporting import make_report

    assert make_report(diamond).content.past == ()
    with pytest.raises(SessionError, match="--no-record"):
        make_report(diamond, None, "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_time(0.0000005), "0 µs"), (format_time(0.0123), "12.3 ms"), (format_time(4.561), "4.56 s"),
        (format_time(200), "3 min 20 s"), (format_time(7500), "2 h 05 min"), (format_size(999), "999 B"),
        (format_size(1_230_000), "1.23 MB"), (format_share(0.004), "less than 1 %"), (format_share(0.995), "100 %"),
        (format_share(0), "0 %"),
    ],
)  # fmt: skip
def test_amounts_are_for_people(text, expected):
    """A fitting unit, and three digits."""
    assert text == expected
