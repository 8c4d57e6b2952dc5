"""Seed random numbers: independently in every worker or, if a run has a seed, reproducibly for each node wherever it runs.

A forked worker inherits the state of its parent's generators, so without `reseed_from_entropy` all workers of a forkserver
would draw the same numbers. With a seed, `seeded` gives each attempt streams that depend only on the seed and the node's name,
and then restores the generators. State: the process's own generators. Runs wherever nodes run.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from treadle.execution.protocol.seeds import Seeds
from treadle.io.loaded import loaded_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.planning import Plan


def plan_seeds(plan: Plan, run: int | None) -> Seeds:
    """Collect the seeds of a run.

    Args:
        plan: the plan, with the policies of its nodes.
        run: the runner's seed, which nodes without a seed of their own use.
    """
    policies = enumerate(plan.policies)
    return Seeds(run, {index: policy.seed for index, policy in policies if policy is not None and policy.seed is not None})


def reseed_from_entropy() -> None:
    """Seed the generators that this process may have inherited through a fork with entropy from the operating system."""
    if (random := loaded_module("random")) is not None:
        random.seed()
    if (numpy_random := loaded_module("numpy.random")) is not None:
        numpy_random.seed()
    if (torch := loaded_module("torch")) is not None:
        torch.seed()
    if (polars := loaded_module("polars")) is not None:
        polars.set_random_seed(int.from_bytes(os.urandom(8), "big"))


def prepare_seeding() -> None:
    """Import numpy's generators if numpy is installed: generators that a node imports later would not be seeded."""
    from importlib.util import find_spec

    if find_spec("numpy") is not None:
        import numpy.random  # noqa: F401 - see above


@contextmanager
def seeded(seed: int, node: str) -> Iterator[None]:
    """Seed the process's generators for one attempt at a node, and restore their state afterwards.

    Args:
        seed: the node's seed.
        node: its name.
    """
    import random  # slow to import, as hashlib is, and not needed in every worker
    from hashlib import blake2b

    prepare_seeding()
    digest = blake2b(f"{seed}\0{node}".encode(errors="surrogateescape"), digest_size=32).digest()
    with ExitStack() as restored:
        restored.callback(random.setstate, random.getstate())
        random.seed(int.from_bytes(digest, "big"))
        if (numpy_random := loaded_module("numpy.random")) is not None:
            restored.callback(numpy_random.set_state, numpy_random.get_state())
            numpy_random.seed([int.from_bytes(digest[at : at + 4], "big") for at in range(0, len(digest), 4)])
        if (torch := loaded_module("torch")) is not None:
            restored.callback(torch.set_rng_state, torch.get_rng_state())
            if torch.cuda.is_available() and torch.cuda.is_initialized():
                restored.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
            torch.manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        if (polars := loaded_module("polars")) is not None:
            # The state of polars' generator cannot be read, so a random seed replaces it afterwards.
            restored.callback(polars.set_random_seed, random.SystemRandom().getrandbits(64))
            polars.set_random_seed(int.from_bytes(digest[:8], "big"))
        yield
