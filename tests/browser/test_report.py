"""The report page in a real browser: opened from a file, with mouse and keyboard, without requests and without errors."""

from __future__ import annotations

from functools import partial

import pytest

from treadle.events import Outcome
from treadle.observe.report import analysis
from treadle.observe.report.folding import fold
from treadle.observe.report.report import Report
from treadle.observe.store.history_access import PastRun
from treadle.observe.store.log_lines import LogBatch, LogLine
from treadle.observe.store.memory_samples import MemoryRecord
from treadle.observe.store.records import SessionState

HOSTILE = ("</script><img src=x onerror=alert(1)>", "\"quotes' & <b>bold</b>", "x" * 300, "line\nbreak \u2028 \U0001f9f6", "<!--")


@pytest.fixture(scope="module")
def session(records):
    """A run with namespaces, a retry, a failed node, skipped nodes, hostile names and memory."""
    names = [f"load_{number}" for number in range(70)]
    parents = dict.fromkeys(names, ()) | {"sales.clean": tuple(names[:3]), "sales.sum": ("sales.clean",)}
    parents |= {"fetch": (), "broken": ("sales.sum",), "after": ("broken",)} | dict.fromkeys(HOSTILE, ("fetch",))
    make = records.attempt
    nodes = [
        make(name, f"worker-{place % 2 + 1}", 1 + place * 0.05, 1.04 + place * 0.05, sent=0.9) for place, name in enumerate(names)
    ]
    nodes += [
        make("sales.clean", "worker-1", 5.0, 7.0, sent=4.9),
        make("sales.sum", "worker-1", 7.0, 8.0, sent=7.0),
        make("fetch", "worker-2", 5.0, 5.5, sent=5.0, outcome=Outcome.FAILED),
        make("fetch", "worker-2", 6.1, 6.5, sent=6.0, number=2, until=6.0),
        make("broken", "worker-1", 8.0, 8.4, sent=8.0, outcome=Outcome.FAILED),
        make("after", None, None, None, number=0, outcome=Outcome.SKIPPED),
        *(make(name, "worker-2", 6.6 + place * 0.3, 6.8 + place * 0.3, sent=6.5) for place, name in enumerate(HOSTILE)),
    ]
    graph = records.graph(parents)
    place = list(parents).index("sales.clean")
    clean = graph.nodes[place]
    used = (*clean.inputs, len(graph.datasets))
    graph = graph._replace(
        nodes=(*graph.nodes[:place], clean._replace(inputs=used), *graph.nodes[place + 1 :]),
        datasets=(*graph.datasets, records.GraphDataset("params:limit", "parameters")),
    )
    made = records.session(graph, nodes, wall=9.0, ready=0.8, outcome=Outcome.FAILED)
    memory = MemoryRecord(10**9, (1001.0, 1005.0), (("main", (10**8, 2 * 10**8)), ("worker-1", (10**8, 10**8))))
    log = LogBatch.of(
        LogLine(1000.0 + at, "WARNING", "shop", f"said {HOSTILE[0]}", name, 1, "worker-1")
        for at, name in ((5.5, "sales.clean"), (7.5, "sales.sum"), (8.1, "broken"))
    )
    run = made.runs[0]._replace(memory=memory, parameters={"params:limit": 41}, log=(log,))
    return made._replace(runs=(run,), extra_params={HOSTILE[0]: HOSTILE[1]})


@pytest.fixture(scope="module")
def good_session(records):
    """A small run that succeeded, so that it can be simulated."""
    nodes = [records.attempt("a", "worker-1", 0.5, 2.0, sent=0.5), records.attempt("b", "worker-2", 2.0, 3.0, sent=2.0)]
    return records.session(records.graph({"a": (), "b": ("a",)}), nodes, wall=3.2)


@pytest.fixture(scope="module")
def past():
    """Earlier runs."""
    return [PastRun(f"s{number}", number, 3.0, Outcome.SUCCEEDED, {"a": 1.0 + number / 100, "b": 1.0}) for number in range(8)]


def test_a_report_is_read_with_the_mouse(show, session):
    """Hover, zoom, find, click, sort, search and unfold do what they say, with names that are markup elsewhere."""
    shown = show(Report(session))
    page = shown.page
    page.locator("#gantt canvas").scroll_into_view_if_needed()
    box = page.locator("#gantt canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 38)
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert "sales." in tip.inner_text()
    page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + 38)
    details = page.locator("#details")
    assert "sales." in details.inner_text()
    assert "nodes.py:1" in details.inner_text()
    assert "params:limit\n41" in details.inner_text()
    assert "Inputs\nof load_0" in details.inner_text()
    assert "Memory of its process\nat most 100 MB" in details.inner_text()
    assert details.locator("pre.log").inner_text() == f"+5.500 s WARNING shop: said {HOSTILE[0]}"
    page.keyboard.press("Escape")
    assert not details.is_visible()
    page.get_by_label("Zoom in").click()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 38)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 38)
    page.mouse.up()
    page.locator("#find").fill("load_1")
    assert page.locator("#found").inner_text() == "11 found"
    shown.scroll_through()
    groups = page.locator("#graph-view .box.group").count()
    assert groups > 0
    assert "folded" in page.locator("#graph-note").inner_text()
    page.locator("#graph-view g[role=button]", has=page.locator(".box.group")).first.click()
    assert page.locator("#graph-view .box.group").count() == groups - 1
    page.locator("#search").fill("failed")
    assert page.locator("#search-count").inner_text() == "1 of 80 nodes"
    assert page.locator("#table tbody th").inner_text() == "broken"
    page.locator("#search").fill("")
    page.get_by_role("button", name="Node", exact=True).click()
    assert page.locator("#table thead th").first.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="after").first.click()
    assert "skipped" in details.inner_text()
    shown.picture("failed")


def test_a_report_is_read_with_the_keyboard(show, session):
    """The timeline steps through nodes and says which; a folded group of the graph opens; Escape closes the details."""
    shown = show(Report(session))
    page = shown.page
    page.locator("#gantt canvas").focus()
    for key in ("n", "n", "+", "ArrowRight"):
        page.keyboard.press(key)
    assert "load_1" in page.locator("#live").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#details h3").inner_text() == "load_1"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    shown.scroll_through()
    group = page.locator("#graph-view g[role=button]", has=page.locator(".box.group")).first
    count = shown.selected_count("#graph-view .box.group")
    group.focus()
    page.keyboard.press("Enter")
    assert shown.selected_count("#graph-view .box.group") == count - 1


def test_hostile_names_are_text(show, session):
    """Names that are markup or very long are shown as they are, and nothing in them is run."""
    shown = show(Report(session))
    shown.scroll_through()
    assert shown.selected_count("img") == 0
    shown.page.locator("#search").fill("onerror")
    assert shown.page.locator("#table tbody th").inner_text() == HOSTILE[0]
    assert HOSTILE[0] in shown.page.locator("#environment").inner_text()
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_a_report_can_be_read_by_everybody(show, good_session, past, scheme, width):
    """No serious violation of axe-core's rules, in light, in dark, and on a phone, where nothing is wider than the page."""
    from axe_playwright_python.sync_playwright import Axe

    earlier = good_session._replace(session_id="2026-01-01T00.00.00.000Z-a", extra_params={"depth": 3})
    report = Report(good_session, earlier, past)
    shown = show(report, color_scheme=scheme, viewport={"width": width, "height": 800})
    shown.scroll_through()
    assert shown.page.evaluate("document.documentElement.dataset.theme") == scheme
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.selected_count("#comparison tbody tr") > 0
    assert shown.selected_count(".spark canvas") == 2
    # Evaluated by the debugger, which the policy of the page does not apply to.
    found = Axe().run(shown.page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")] == []
    shown.picture(f"compared-{scheme}-{width}")
    if scheme == "dark":
        shown.page.locator("#theme").click()
        assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_report_is_printed_as_a_whole(show, session):
    """Parts that nobody has scrolled to are drawn, in light colours; after that, the page looks as before."""
    page = show(Report(session), color_scheme="dark", viewport={"width": 1000, "height": 300}).page
    assert page.locator("#memory canvas").count() == 0
    page.evaluate("""window.addEventListener("afterprint", () => {
        const made = document.querySelector("#memory canvas"), pen = made.getContext("2d");
        const isDrawn = pen.getImageData(0, 0, made.width, made.height).data.some((each) => each !== 0);
        window.printed = [isDrawn, document.querySelectorAll("#graph-view svg").length];
    })""")
    page.pdf()
    assert page.evaluate("window.printed") == [True, 1]
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_report_says_the_essential_without_javascript(show, session):
    """Summary, failures, critical path and a table of nodes are there; what needs JavaScript is not."""
    page = show(Report(session), java_script_enabled=False).page
    text = page.locator("body").inner_text()
    assert "What limits this run" in text
    assert "broken is broken" in text
    assert page.get_by_role("region", name="Nodes of the critical path").is_visible()
    assert page.locator(".static tbody tr").count() == 80
    assert not page.locator("#timeline").is_visible()


@pytest.mark.parametrize("state", [SessionState.RUNNING, SessionState.LOST, SessionState.FINISHED])
def test_a_session_without_an_end_or_without_nodes_has_a_report(show, records, state):
    """A session that is running or was killed says so; one in which nothing ran is a short page."""
    running = records.attempt("a", "worker-1", 1.0, None, sent=1.0, outcome=None)
    session = records.session(records.graph({"a": ()}), [running], wall=None, outcome=None, state=state, heartbeat=1006.0)
    if state is SessionState.FINISHED:
        session = session._replace(runs=())
    shown = show(Report(session))
    shown.scroll_through()
    note = shown.page.locator("#summary .note").first.inner_text()
    assert {"running": "still running", "lost": "was killed", "finished": "Nothing ran"}[state.value] in note


def test_a_run_in_which_every_node_was_up_to_date_has_no_timeline(show, records):
    """The graph and the table show the nodes; there are no links to a timeline and to memory that do not exist."""
    reused = [records.attempt(name, None, None, None, number=0, outcome=Outcome.REUSED) for name in ("a", "b")]
    shown = show(Report(records.session(records.graph({"a": (), "b": ("a",)}), reused, wall=0.1)))
    visible = {
        name: shown.page.locator(f"nav a[href='#{name}']").is_visible() for name in ("timeline", "usage", "graph", "nodes")
    }
    assert visible == {"timeline": False, "usage": False, "graph": True, "nodes": True}


def test_a_run_without_nodes_has_no_sections_of_nodes(show, records):
    """Its pipeline could not be imported: no empty graph and table, no links to them, and no error of the page."""
    shown = show(Report(records.session(None, [], wall=0.1, outcome=Outcome.FAILED)))
    shown.scroll_through()
    for section in ("timeline", "graph", "nodes", "usage"):
        assert not shown.page.locator(f"#{section}").is_visible()
        assert not shown.page.locator(f"nav a[href='#{section}']").is_visible()


def test_nodes_that_did_not_run_are_counted_in_a_folded_run(show, records, monkeypatch):
    """A group of a large run stands for many nodes: the titles have the number of nodes, and the summary has the same."""
    monkeypatch.setattr(analysis, "fold", partial(fold, most=10))
    names = [f"make_{number}" for number in range(500)]
    nodes = [records.attempt("bad", "worker-1", 0.0, 1.0, outcome=Outcome.FAILED)]
    nodes += [records.attempt(name, None, None, None, number=0, outcome=Outcome.SKIPPED) for name in names]
    graph = records.graph({"bad": ()} | dict.fromkeys(names, ("bad",)))
    page = show(Report(records.session(graph, nodes, wall=1.0, outcome=Outcome.FAILED))).page
    assert page.locator("#not-run h3").inner_text().endswith("(500)")
    assert "500 skipped" in page.locator("#summary").inner_text()
