"""The pipelines: one that works, and one for each way to fail."""

from functools import partial, update_wrapper

from kedro.pipeline import node, pipeline

from lane import nodes


def touching(name):
    return update_wrapper(partial(nodes.touch, name=name), nodes.touch)


def failing(func, between="summed", tags=()):
    first = node(nodes.plus, ["source", "source"], between, name="first")
    return pipeline([first, node(func, between, "never", name="bad", tags=tags)])


def register_pipelines():
    working = pipeline(
        [
            node(nodes.times, ["source", "params:factor"], "left", name="make_left", tags="sides"),
            node(nodes.times, ["source", "params:factor"], "right", name="make_right", tags="sides"),
            node(nodes.plus, ["left", "right"], "joined", name="join"),
            node(nodes.model_params, "params:model", "model", name="model_params"),
            node(lambda joined: {"sum": sum(joined)}, "joined", "metrics", name="measure"),
        ]
    )
    versions = pipeline(
        [
            node(list, "source", "history", name="remember"),
            node(nodes.newer_elsewhere, "history", "seen", name="see"),
            node(lambda history, seen: [history, seen], ["history", "seen"], "recalled", name="recall"),
        ]
    )
    stopping = pipeline(
        [
            node(nodes.wait_for_failure, "source", "slow", name="slow"),
            node(nodes.fail_at_once, "source", "never", name="bad"),
            *(node(touching(f"late_{n}"), "slow", f"late_{n}", name=f"late_{n}") for n in range(4)),
        ]
    )
    resuming = pipeline(
        [
            node(nodes.times, ["source", "params:factor"], "left", name="saved"),
            node(list, "left", "in_memory", name="kept"),
            node(nodes.fail, "in_memory", "never", name="bad"),
        ]
    )
    aisle = pipeline(
        [node(nodes.times, ["source", "params:factor"], "left", name="make")],
        namespace="aisle",
        inputs="source",
        outputs="left",
        parameters="factor",
    )
    return {
        "__default__": working,
        "aisles": aisle + pipeline([node(list, "history", "joined", name="recall_old")]),
        "uneven": pipeline(
            [
                node(touching("quick"), "source", "quick_out", name="a_quick"),
                node(nodes.take_longer, "source", "slow_out", name="b_slow"),
            ]
        ),
        "many": pipeline([node(touching(f"n{n}"), "source", f"out_{n}", name=f"n{n}") for n in range(30)]),
        "versions": versions,
        "stopping": stopping,
        "resuming": resuming,
        "fail": failing(nodes.fail),
        "kill": failing(nodes.kill),
        "leave": failing(nodes.leave),
        "stubborn": failing(nodes.be_stubborn),
        "hang": failing(nodes.hang, between="joined", tags="hanging"),
        "absent": pipeline([node(list, "absent", "never", name="wants_absent")]),
        "aloud": pipeline([node(nodes.speak, ["source", "params:login"], "said", name="speak")]),
        "where": pipeline([node(nodes.process, "source", "pid", name="where")]),
    }
