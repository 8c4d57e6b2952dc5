"""While a node runs, its span is the current one: for programs in TRACEPARENT, for OpenTelemetry's API in its context.

The span itself is made later, from the record (`treadle.observe.export.otlp`); only its id is needed here. A session whose
environment asks for no traces does not import this module.

State: a `NodeTracing` in each process that runs nodes has what it replaced, until the node has ended.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treadle.hooks import hook_impl, register_hooks
from treadle.trace_ids import VARIABLE, Trace, span_id, traceparent_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pluggy import PluginManager

    from treadle.pipeline import Node


@dataclass
class NodeTracing:
    """The hooks that make the span of a node the current one while its function runs.

    Args:
        session_id: the session.
        number: the number of the run in it.
        trace_id: the trace.
        one_at_a_time: whether a process runs one node at a time. If not, the environment, which all threads share, is left alone.
    """

    session_id: str
    number: int
    trace_id: str
    one_at_a_time: bool
    _before: dict[int, tuple[str | None, Any]] = field(default_factory=dict)
    """By thread: the variable's value before the node, and the token with which OpenTelemetry's context is restored."""

    @hook_impl(trylast=True)
    def before_node_run(self, node: Node) -> None:
        """Make the node's span the current one."""
        self._enter(node.name)

    @contextmanager
    def current(self, name: str) -> Iterator[None]:
        """Make the span of a node the current one in the `with` block, where another framework calls its function.

        Args:
            name: the node.
        """
        self._enter(name)
        try:
            yield
        finally:
            self._restore()

    def _enter(self, name: str) -> None:
        span = span_id(self.session_id, self.number, name)
        before = os.environ.get(VARIABLE)
        if self.one_at_a_time:
            os.environ[VARIABLE] = traceparent_of(self.trace_id, span)
        self._before[threading.get_ident()] = (before, _Attached(self.trace_id, span))

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: Node) -> None:  # noqa: ARG002 - a hook that is called for each node
        """Restore what was current before the node."""
        self._restore()

    @hook_impl(tryfirst=True)
    def on_node_error(self, node: Node) -> None:  # noqa: ARG002 - the same
        """Restore what was current before the node, if its function was reached in this process."""
        self._restore()

    def _restore(self) -> None:
        before, token = self._before.pop(threading.get_ident(), (None, None))
        if token is None:
            return
        if self.one_at_a_time and before is None:
            os.environ.pop(VARIABLE, None)
        elif self.one_at_a_time and before is not None:
            os.environ[VARIABLE] = before
        token.detach()


class _Attached:
    """OpenTelemetry's context of a thread, while it has the span of a node. Nothing if OpenTelemetry is not installed."""

    def __init__(self, trace_id: str, span: str) -> None:
        self._token: Any = None
        try:
            from opentelemetry import context, trace
        except ImportError:
            return
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        parent = trace.NonRecordingSpan(trace.SpanContext(int(trace_id, 16), int(span, 16), is_remote=True, trace_flags=flags))
        self._token = context.attach(trace.set_span_in_context(parent))

    def detach(self) -> None:
        """Restore the context."""
        if self._token is not None:
            from opentelemetry import context

            context.detach(self._token)


@contextmanager
def traced_nodes(hooks: PluginManager, runner: Any, trace: Trace, session_id: str, number: int) -> Iterator[None]:
    """Trace the nodes of the run in the `with` block.

    Args:
        hooks: the hooks of the run.
        runner: its runner.
        trace: the trace of its session.
        session_id: its session.
        number: its number in the session.
    """
    in_threads = not getattr(runner, "has_processes", False) and getattr(runner, "max_workers", 1) > 1
    plugin = NodeTracing(session_id, number, trace.trace_id, one_at_a_time=not in_threads)
    register_hooks(hooks, (plugin,))
    try:
        yield
    finally:
        hooks.unregister(plugin)
