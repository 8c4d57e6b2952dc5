"""The current tables of the store, for queries; `migrations.py` creates them.

The tables have a prefix, so that they can share a database: sessions, their runs, the attempts at nodes and the workers of each
run, the last success of each node with what it depended on, the sessions that are resumed, and the applied migrations. A change
here needs a migration; a test compares the two.

Importing this module imports SQLAlchemy, so functions import it lazily; no module that a run imports may import it at the top.
State: none.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

MIGRATIONS = Table(
    "treadle_migrations",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("applied", Double, nullable=False),
)

SESSIONS = Table(
    "treadle_sessions",
    METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("project_path", Text, nullable=False),
    Column("package_name", Text, nullable=False),
    Column("env", Text),
    Column("conf_source", Text, nullable=False),
    Column("extra_params", JSON, nullable=False),
    Column("command", Text),
    Column("started", Double, nullable=False),
    Column("finished", Double),
    Column("outcome", String(16)),
    Column("user_name", Text),
    Column("host", Text),
    Column("pid", BigInteger, nullable=False),
    Column("git_commit", String(64)),
    Column("git_dirty", Boolean),
    Column("environment", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_node", Text),
    Column("sources", String(64)),
    Column("process_started", Double),
    Column("boot_id", String(64)),
    Column("heartbeat", Double),
    Column("resumed_from", String(64)),
)

RUNS = Table(
    "treadle_runs",
    METADATA,
    Column("session_id", String(64), ForeignKey("treadle_sessions.session_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String(64), nullable=False),
    Column("pipelines", JSON, nullable=False),
    Column("runner", Text, nullable=False),
    Column("start_method", String(32)),
    Column("worker_count", Integer),
    Column("started", Double, nullable=False),
    Column("finished", Double),
    Column("outcome", String(16)),
    Column("params", JSON, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_node", Text),
    Column("node_count", Integer),
)

NODES = Table(
    "treadle_nodes",
    METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(16)),
    Column("worker", Text),
    Column("started", Double),
    Column("finished", Double),
    Column("load_seconds", Double),
    Column("run_seconds", Double),
    Column("save_seconds", Double),
    Column("sizes", JSON, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_node", Text),
    Column("outputs", JSON(none_as_null=True)),
    Column("fingerprint", String(64)),
    ForeignKeyConstraint(["session_id", "run"], ["treadle_runs.session_id", "treadle_runs.number"]),
)

WORKERS = Table(
    "treadle_workers",
    METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Double),
    Column("lost", Double),
    Column("exitcode", Integer),
    ForeignKeyConstraint(["session_id", "run"], ["treadle_runs.session_id", "treadle_runs.number"]),
)

FINGERPRINTS = Table(
    "treadle_fingerprints",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("parts", JSON, nullable=False),
)

SUCCESSES = Table(
    "treadle_successes",
    METADATA,
    Column("package_name", String(255), primary_key=True),
    Column("env", String(255), primary_key=True),
    Column("node", String(1000), primary_key=True),
    Column("session_id", String(64), nullable=False),
    Column("finished", Double, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON, nullable=False),
)

RESUMES = Table(
    "treadle_resumes",
    METADATA,
    Column("session_id", String(64), primary_key=True),
    Column("resumed_by", String(64), nullable=False),
    Column("host", Text),
    Column("pid", BigInteger, nullable=False),
    Column("process_started", Double),
    Column("boot_id", String(64)),
    Column("claimed", Double, nullable=False),
    Column("ended", Double),
)
