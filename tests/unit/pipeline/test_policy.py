"""Policies of nodes: what their values mean, what is refused, and that they are no part of what a node is."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest

from treadle import NodePolicy, PipelineError, node, pipeline
from treadle.pipeline.policy import FailurePolicy, Place


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1.5}, "retries=1.5"),
        ({"retries": True}, "retries=True"),
        ({"timeout": 0}, "timeout=0: give more than 0 seconds"),
        ({"timeout": "soon"}, "timeout='soon'"),
        ({"retry_delay": "-1s"}, "retry_delay='-1s'"),
        ({"run_in": "thread"}, "give 'main' or 'worker'"),
        ({"on_failure": "ignore"}, "give 'stop' or 'continue'"),
        ({"resources": {"gpu": "one"}}, "gpu is 'one'"),
        ({"resources": ["gpu"]}, "give amounts by name"),
        ({"resources": {1: 1}}, "1 is no name"),
    ],
)
def test_a_wrong_policy_is_refused(wrong, said):
    """The error names the field, the value, and what would be right."""
    with pytest.raises(PipelineError) as caught:
        NodePolicy(**wrong)
    assert said in str(caught.value)


def test_values_are_read_once():
    """What a policy holds is in seconds, whole numbers and members, whatever it was given in."""
    policy = NodePolicy(
        retries=2, retry_delay="10s", timeout="1h", run_in="main", resources={"b": "1kB", "a": 1}, on_failure="stop"
    )
    assert (policy.retry_delay, policy.timeout, policy.run_in, policy.on_failure) == (
        10.0,
        3600.0,
        Place.MAIN,
        FailurePolicy.STOP,
    )
    assert policy.resources == (("a", 1), ("b", 1000))
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(pickle.loads(pickle.dumps(policy)))


def test_one_policy_over_another():
    """What is not set is taken from below; resources are joined by name, and 0 takes one away."""
    below = NodePolicy(retries=1, timeout=5, resources={"gpu": 1, "memory": "1GB"})
    over = NodePolicy(retries=0, resources={"gpu": 0}).over(below)
    assert over == NodePolicy(retries=0, timeout=5, resources={"gpu": 0, "memory": "1GB"})


def test_a_policy_is_no_part_of_what_a_node_is():
    """Nodes that differ in it alone are equal, and it goes along with copies, namespaces and pickles."""
    policy = NodePolicy(retries=3)
    with_it, without = node(len, "a", "b", name="n", policy=policy), node(len, "a", "b", name="n")
    assert with_it == without
    assert hash(with_it) == hash(without)
    assert without.policy is None
    assert with_it.tag("t").policy is policy
    assert pipeline([with_it], namespace="space").nodes[0].policy is policy
    assert cloudpickle.loads(cloudpickle.dumps(with_it)).policy == policy


def test_what_is_no_policy():
    """Anything but a NodePolicy is refused, and the error says how to give one."""
    with pytest.raises(PipelineError, match=r"Node 'n' has policy=.*policy=NodePolicy\(retries=3\)"):
        node(len, "a", "b", name="n", policy={"retries": 3})
