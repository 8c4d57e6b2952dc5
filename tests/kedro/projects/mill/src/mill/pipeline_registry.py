"""The pipelines."""

from kedro.pipeline import node, pipeline

from mill import nodes


def spaced(space):
    inner = pipeline(
        [
            node(nodes.total, "table", "sum", name="total", tags="sums"),
            node(lambda value: value + 1, "sum", "sum_plus", name="plus_one"),
        ]
    )
    return pipeline(inner, namespace=space)


def register_pipelines():
    preparing = pipeline([node(nodes.split, ["raw", "params:scale"], {"low": "low.table", "high": "high.table"}, name="split")])
    modelling = pipeline(
        [
            node(
                nodes.fit,
                {
                    "low": "low.sum_plus",
                    "high": "high.sum_plus",
                    "depth": "params:model.depth",
                    "names": "params:model.names",
                    "nothing": "params:nothing",
                },
                "model",
                name="fit",
            ),
            node(nodes.predict, ["model", "parameters"], "score", name="predict"),
            node(nodes.closing_over(10), "score", "tenfold_pkl", name="tenfold"),
        ]
    )
    reporting = pipeline(
        [
            node(nodes.write_report, "score", "report@text", name="write_report"),
            node(nodes.read_report, "report@json", "declared", name="read_report"),
            node(lambda declared: f"{declared}", "declared", "hooked_text", name="hooked"),
            node(nodes.exclaim, "hooked_text", "locked", name="exclaim"),
            node(str.upper, "locked", "loud", name="loud"),
            node(nodes.part_out, "score", "parts", name="part_out"),
            node(nodes.join_parts, "parts", "joined", name="join_parts"),
            node(nodes.stream, "joined", "chunks", name="stream"),
            node(nodes.two_streams, "joined", ["piece", "size_pkl"], name="two_streams"),
            node(nodes.count_arrivals, "arrivals", "seen_pkl", name="count_arrivals", confirms="arrivals"),
        ]
    )
    odds = pipeline(
        [
            node(lambda score: {"score": score}, "score", "cached", name="cache"),
            node(lambda cached: sorted(cached.items()), "cached", "uncached", name="uncache"),
            node(nodes.Thing, "score", "by_reference", name="make_thing"),
            node(lambda thing: thing.value, "by_reference", "thing_value", name="use_thing"),
            node(lambda score: [score], "score", "at_home", name="stay"),
            node(lambda at_home: at_home * 2, "at_home", "from_home", name="leave"),
            node(nodes.add_both, ["score", "score"], "doubled", name="double"),
            node(nodes.frame, "score", "frame", name="frame"),
            node(nodes.spoil, "frame", "spoilt", name="spoil"),
            node(nodes.keep, "frame", "kept", name="keep"),
        ]
    )
    everything = preparing + spaced("low") + spaced("high") + modelling + reporting + odds
    return {"__default__": everything, "preparing": preparing, "modelling": modelling, "reporting": reporting, "odds": odds}
