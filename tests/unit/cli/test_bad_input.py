"""Whatever a user writes wrong: one paragraph that names the file and the key, what was meant, and exit code 2; no traceback."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

import pytest

from treadle.cli.main import main

PYPROJECT = '[tool.treadle]\npackage_name = "PACKAGE"\n'
REGISTRY = """
from treadle import Pipeline, node


def upper(text):
    return text.upper()


def count(text, least):
    return len(text) + least["least"]


def register_pipelines():
    made = Pipeline(
        [
            node(upper, "words", "loud", name="raise_voice", tags="voice"),
            node(count, ["loud", "params:counting"], "number", name="count_letters", namespace=None),
        ]
    )
    return {"__default__": made, "letters": made}
"""
CATALOG = """
words: {type: text.TextDataset, filepath: data/words.txt}
loud: {type: text.TextDataset, filepath: data/loud.txt}
number: {type: json.JSONDataset, filepath: data/number.json}
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "src/PACKAGE/__init__.py": "",
    "src/PACKAGE/pipeline_registry.py": REGISTRY,
    "conf/base/catalog.yml": CATALOG,
    "conf/base/parameters.yml": "counting: {least: 1}\n",
    "conf/local/credentials.yml": "",
    "data/words.txt": "hello",
}


@dataclass(frozen=True)
class Case:
    """What is typed, the files that are not as they should be, and what the error must say."""

    name: str
    words: str
    said: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    lines: int = 1


def settings(text):
    return {"src/PACKAGE/settings.py": text}


def catalog(text):
    return {"conf/base/catalog.yml": CATALOG + text}


def execution(text):
    return {"conf/base/execution.yml": text}


def registry(text):
    return {"src/PACKAGE/pipeline_registry.py": text}


CASES = [
    # --- the words of the command line
    Case("command", "rnu", ("'rnu'", "Did you mean 'run'?")),
    Case("sub-command of registry", "registry lits", ("'lits'", "Did you mean 'list'?")),
    Case("sub-command of catalog", "catalog descirbe", ("'descirbe'", "Did you mean 'describe'?")),
    Case("sub-command of pipeline", "pipeline crate x", ("'crate'", "Did you mean 'create'?")),
    Case("sub-command of sessions", "sessions dif a b", ("'dif'", "Did you mean 'diff'?")),
    Case("flag of run", "run --runer parallel", ("--runer", "--runner")),
    Case("flag of check", "check --strat-method fork", ("--start-method",)),
    Case("flag of catalog", "catalog list --evn x", ("--env",)),
    Case("missing value", "run --runner", ("--runner",)),
    Case("missing argument", "sessions show", ("ID",)),
    Case("superfluous argument", "run letters", ("letters",)),
    Case("limit", "sessions list --limit 0", ("--limit",)),
    Case("pipeline", "run --pipelines lettrs", ("'lettrs'", "Did you mean 'letters'?")),
    Case("pipeline to describe", "registry describe lettrs", ("'lettrs'", "Did you mean 'letters'?")),
    Case("pipeline of the catalog", "catalog describe --pipelines lettrs", ("Did you mean 'letters'?",)),
    Case("pipeline to resolve", "catalog resolve -p lettrs", ("Did you mean 'letters'?",)),
    Case("pipeline to check", "check -p lettrs", ("'lettrs'", "Did you mean 'letters'?")),
    Case("pipeline to delete", "pipeline delete lettrs", ("'lettrs'", "src/PACKAGE/pipelines")),
    Case("pipeline to create", "pipeline create 2nd-try", ("'2nd-try'", "Try 'project_2nd_try'")),
    Case("pipeline that leads out", "pipeline delete ../x --yes", ("'../x'",)),
    Case("node", "run --nodes raise_vioce", ("raise_vioce", "Did you mean", "raise_voice")),
    Case("no node", "run --nodes=", ("'--nodes'", "has no name", "omit the flag")),
    Case("no pipeline", "check --pipelines=,", ("'--pipelines'", "has no name")),
    Case("JSON of a run", "run --json", ("--json needs --dry-run", "treadle sessions show ID --json")),
    Case("from-node", "run --from-nodes count_leters", ("count_leters", "count_letters")),
    Case("to-node", "run --to-nodes count_leters", ("count_leters", "count_letters")),
    Case("tag", "run --tags vioce", ("vioce", "voice")),
    Case("namespace", "run --namespaces nowhere", ("nowhere",)),
    Case("input", "run --from-inputs wrods", ("wrods", "words")),
    Case("output", "run --to-outputs nubmer", ("nubmer", "number")),
    Case("nothing left", "run --tags voice --nodes count_letters", ("match none", "tags")),
    Case("runner", "run --runner paralel", ("'paralel'", "Did you mean 'parallel'")),
    Case("path of a runner", "run --runner treadle.ParalelRunner", ("treadle.ParalelRunner",)),
    Case("module of a runner", "run --runner nowhere.Runner", ("nowhere.Runner",)),
    Case("what is no runner", "run --runner json.JSONDecoder", ("json.JSONDecoder", "Runner")),
    Case("params of the runner", "run --runner thread --runner-params max_worker=2", ("max_worker", "'max_workers'")),
    Case("kind of a runner's param", "run --runner thread --runner-params max_workers=two", ("max_workers", "'two'")),
    Case("start method of the runner", "run --runner parallel --runner-params start_method=frok", ("'frok'", "'fork'")),
    Case("start method of check", "check --start-method frok", ("'frok'", "'fork'")),
    Case("params without =", "run --params counting", ("'counting'", "key=value")),
    Case("params twice", "run --params a=1,a=2", ("'a'", "twice")),
    Case("params with an open bracket", "run --params a=[1", ("]",)),
    Case("params of check", "check --params counting", ("'counting'",)),
    Case("params of catalog", "catalog list --params counting", ("'counting'",)),
    Case("params of rerun", "sessions rerun x --params counting", ("'counting'",)),
    Case("environment", "run --env loacl", ("loacl", "local", "conf")),
    Case("environment of the catalog", "catalog list --env bsae", ("bsae", "base")),
    Case("conf source", "run --conf-source nowhere", ("nowhere",)),
    Case("conf source that is no archive", "run --conf-source pyproject.toml", ("pyproject.toml", "archive")),
    Case("version without a colon", "run --load-versions words", ("'words'", "dataset:version")),
    Case("version of an unknown dataset", "run --load-versions wrods:1", ("'wrods'", "'words'")),
    Case("version of what has none", "run --load-versions words:1", ("'words'", "versioned")),
    Case("regular expression", "catalog list [", ("'['", "regular expression")),
    Case("dataset to resolve", "catalog resolve wrods", ("'wrods'", "'words'")),
    Case("session to show", "sessions show 1999", ("'1999'", "treadle sessions list")),
    Case("session to compare", "sessions diff 1999 2000", ("'1999'",)),
    Case("session to rerun", "sessions rerun 1999", ("'1999'",)),
    Case("file of flags that is not there", "run --config nightly.yml", ("nightly.yml",)),
    # --- the file of flags
    Case("unknown flag in a file", "run --config f.yml", ("f.yml", "'runer'", "runner"), {"f.yml": "runer: thread\n"}),
    Case("broken file of flags", "run --config f.yml", ("f.yml", "line 1"), {"f.yml": "runner: ]\n"}),
    Case("file of flags that is a list", "run --config f.yml", ("f.yml", "list"), {"f.yml": "- runner\n"}),
    Case(
        "wrong value in a file of flags", "run --config f.yml", ("words", "dataset:version"), {"f.yml": "load_versions: words\n"}
    ),
    # --- pyproject.toml
    Case("no project", "run", ("pyproject.toml", "treadle new"), folder="/"),
    Case("no table", "run", ("pyproject.toml", "[tool.treadle]"), {"pyproject.toml": "[project]\n"}),
    Case("broken TOML", "run", ("pyproject.toml", "TOML"), {"pyproject.toml": "[tool.treadle\n"}),
    Case(
        "unknown key",
        "run",
        ("pyproject.toml", "'source_dri'", "'source_dir'"),
        {"pyproject.toml": PYPROJECT + 'source_dri = "src"\n'},
    ),
    Case(
        "no package name", "run", ("pyproject.toml", "package_name"), {"pyproject.toml": '[tool.treadle]\nproject_name = "x"\n'}
    ),
    Case(
        "number as package name",
        "run",
        ("pyproject.toml", "package_name"),
        {"pyproject.toml": "[tool.treadle]\npackage_name = 3\n"},
    ),
    Case(
        "package that is not there",
        "run",
        ("pyproject.toml", "'nowhere'"),
        {"pyproject.toml": '[tool.treadle]\npackage_name = "nowhere"\n'},
    ),
    Case(
        "source folder that is not there",
        "run",
        ("pyproject.toml", "source_dir", "'scr'"),
        {"pyproject.toml": PYPROJECT + 'source_dir = "scr"\n'},
    ),
    Case("nothing to build with", "package", ("pyproject.toml", "[project]")),
    # --- settings.py
    Case("syntax of settings", "run", ("settings.py", "line 1"), settings("HOOKS = (\n")),
    Case("import in settings", "run", ("settings", "nowhere"), settings("import nowhere\n")),
    Case("name in settings", "run", ("settings.py", "line 3", "NameError"), settings("\n\nHOOKS = (Hooks(),)\n")),
    Case("hooks that are no tuple", "run", ("settings.py", "HOOKS"), settings("HOOKS = 3\n")),
    Case("a class as hook", "run", ("settings.py", "Hooks()"), settings("class Hooks: pass\nHOOKS = (Hooks,)\n")),
    Case("hooks that hook nothing", "run", ("settings.py", "hook_impl"), settings("class Hooks: pass\nHOOKS = (Hooks(),)\n")),
    Case(
        "unknown hook",
        "run",
        ("settings.py", "before_nod_run", "before_node_run"),
        settings(
            "from treadle import hook_impl\nclass Hooks:\n    @hook_impl\n"
            "    def before_nod_run(self): pass\nHOOKS = (Hooks(),)\n"
        ),
    ),
    Case("a text as class", "run", ("settings.py", "CONTEXT_CLASS"), settings("CONTEXT_CLASS = 'Context'\n")),
    Case("arguments of the store", "run", ("settings.py", "SESSION_STORE_ARGS"), settings("SESSION_STORE_ARGS = {'ulr': 'x'}\n")),
    Case(
        "arguments of the store, to list",
        "sessions list",
        ("settings.py", "SESSION_STORE_ARGS"),
        settings("SESSION_STORE_ARGS = {'ulr': 'x'}\n"),
    ),
    Case("address of the store", "sessions list", ("nowhere",), settings("SESSION_STORE_ARGS = {'url': 'nowhere://x'}\n")),
    Case(
        "arguments of the loader",
        "run",
        ("settings.py", "CONFIG_LOADER_ARGS", "'base_env'"),
        settings("CONFIG_LOADER_ARGS = {'bas_env': 'x'}\n"),
    ),
    Case(
        "merge strategy",
        "run",
        ("merge_strategy", "'sotf'"),
        settings("CONFIG_LOADER_ARGS = {'merge_strategy': {'parameters': 'sotf'}}\n"),
    ),
    *(
        Case(f"a wrong class as {name}", "run", ("settings.py", name, method), settings(f"{name} = int\n"))
        for name, method in {
            "CONTEXT_CLASS": "catalog_with",
            "SESSION_CLASS": "create",
            "SESSION_STORE_CLASS": "save",
            "CONFIG_LOADER_CLASS": "__getitem__",
            "DATA_CATALOG_CLASS": "from_config",
        }.items()
    ),
    Case("conf source in settings", "run", ("settings.py", "CONF_SOURCE"), settings("CONF_SOURCE = 3\n")),
    # --- pipeline_registry.py
    Case("syntax of the registry", "run", ("pipeline_registry.py", "line 1"), registry("def register_pipelines(:\n")),
    Case("import in the registry", "registry list", ("pipeline_registry", "nowhere"), registry("import nowhere\n")),
    Case("no function", "registry list", ("pipeline_registry.py", "register_pipelines"), registry("")),
    Case(
        "registry that fails",
        "run",
        ("pipeline_registry.py", "line 2", "ZeroDivisionError"),
        registry("def register_pipelines():\n    return 1 / 0\n"),
    ),
    Case(
        "registry that returns a list",
        "run",
        ("pipeline_registry.py", "list"),
        registry("def register_pipelines():\n    return []\n"),
    ),
    Case(
        "what is no pipeline",
        "run",
        ("pipeline_registry", "__default__", "str"),
        registry("def register_pipelines():\n    return {'__default__': 'x'}\n"),
    ),
    Case("no default", "run", ("__default__", "Registered: a"), registry("def register_pipelines():\n    return {'a': 'x'}\n")),
    Case(
        "module of a pipeline",
        "run",
        ("PACKAGE.pipelines.broken", "ZeroDivisionError", "nodes.py, line 2"),
        {
            **registry("from treadle.project import find_pipelines\ndef register_pipelines():\n    return find_pipelines()\n"),
            "src/PACKAGE/pipelines/__init__.py": "",
            "src/PACKAGE/pipelines/broken/__init__.py": "from PACKAGE.pipelines.broken.nodes import create_pipeline\n",
            "src/PACKAGE/pipelines/broken/nodes.py": "\ncreate_pipeline = 1 / 0\n",
        },
    ),
    Case(
        "two nodes of one name",
        "run",
        ("'twice'",),
        registry(
            "from treadle import Pipeline, node\ndef register_pipelines():\n"
            "    return {'__default__': Pipeline([node(len, 'a', 'b', name='twice'), node(len, 'a', 'c', name='twice')])}\n"
        ),
    ),
    Case(
        "arguments of a node",
        "run",
        ("node", "len"),
        registry(
            "from treadle import Pipeline, node\ndef register_pipelines():\n"
            "    return {'__default__': Pipeline([node(len, ['a', 'b'], 'c', name='n')])}\n"
        ),
    ),
    # --- cli.py
    Case("syntax of the commands", "run", ("cli.py", "line 1"), {"src/PACKAGE/cli.py": "def cli(:\n"}),
    Case("a function as group", "run", ("cli.py", "'cli'", "click.group"), {"src/PACKAGE/cli.py": "def cli(): pass\n"}),
    Case(
        "commands without a group",
        "run",
        ("cli.py", "'hello'", "'cli'"),
        {"src/PACKAGE/cli.py": "import click\n@click.command()\ndef hello(): pass\n"},
    ),
    # --- conf
    Case("broken YAML", "run", ("catalog.yml", "line 5"), catalog("x: {type: ]\n")),
    Case("key twice in a file", "run", ("catalog.yml", "words", "line 5"), catalog("words: {type: MemoryDataset}\n")),
    Case(
        "key twice in an environment",
        "run",
        ("catalog_more.yml", "catalog.yml", "words"),
        {"conf/base/catalog_more.yml": "words: {type: MemoryDataset}\n"},
    ),
    Case("catalog that is a list", "run", ("catalog.yml",), {"conf/base/catalog.yml": "- words\n"}),
    Case("entry that is a text", "run", ("catalog.yml, line 1", "'words'"), {"conf/base/catalog.yml": "words: data/words.txt\n"}),
    Case("entry without type", "run", ("catalog.yml, line 5", "'extra'", "Did you mean"), catalog("extra: {tpye: x}\n")),
    Case(
        "unknown type",
        "run",
        ("catalog.yml, line 3", "'loud'", "'text.TextDataset'"),
        {"conf/base/catalog.yml": CATALOG.replace("loud: {type: text.Text", "loud: {type: text.Txt")},
    ),
    Case(
        "unknown argument of a type",
        "run",
        ("catalog.yml, line 3", "'loud'", "'filepth'", "'filepath'"),
        {"conf/base/catalog.yml": CATALOG.replace("filepath: data/loud", "filepth: data/loud")},
    ),
    Case(
        "credentials that are not there",
        "run",
        ("catalog.yml, line 3", "'loud'", "'acess'", "credentials"),
        {"conf/base/catalog.yml": CATALOG.replace("data/loud.txt", "data/loud.txt, credentials: acess")},
    ),
    Case(
        "malformed pattern",
        "catalog list",
        ("catalog.yml, line 5", "'{name}_{'", "brace"),
        catalog('"{name}_{": {type: MemoryDataset}\n'),
    ),
    Case(
        "placeholder that the name lacks",
        "catalog list",
        ("catalog.yml, line 5", "'{nmae}'", "{name}"),
        catalog('"{name}_txt": {type: text.TextDataset, filepath: "{nmae}"}\n'),
    ),
    Case(
        "two that catch all",
        "run",
        ("catalog.yml, line 6", "'{a}'", "'{b}'"),
        catalog('"{a}": {type: MemoryDataset}\n"{b}": {type: MemoryDataset}\n'),
    ),
    Case(
        "missing input",
        "run",
        ("'words'", "raise_voice", "'word'"),
        {"conf/base/catalog.yml": CATALOG.replace("words:", "word:")},
    ),
    Case(
        "missing param", "run", ("'params:counting'", "'params:couning'"), {"conf/base/parameters.yml": "couning: {least: 1}\n"}
    ),
    Case("broken JSON", "run", ("parameters.json", "line 1"), {"conf/base/parameters.json": "{"}),
    Case("parameters that are a list", "run", ("parameters.yml",), {"conf/base/parameters.yml": "- 1\n"}),
    Case(
        "unknown global",
        "run",
        ("parameters.yml", "line 1", "globals"),
        {"conf/base/parameters.yml": "counting: ${globals:least}\n"},
    ),
    Case(
        "unknown runtime param",
        "run",
        ("parameters.yml", "line 1", "--params"),
        {"conf/base/parameters.yml": "counting: ${runtime_params:least}\n"},
    ),
    Case(
        "environment variable in params",
        "run",
        ("parameters.yml", "credentials"),
        {"conf/base/parameters.yml": "counting: ${oc.env:HOME}\n"},
    ),
    Case("unknown interpolation", "run", ("parameters.yml", "lest"), {"conf/base/parameters.yml": "counting: ${lest}\n"}),
    Case(
        "unset variable in credentials",
        "run",
        ("credentials.yml", "NO_SUCH_VARIABLE"),
        {"conf/local/credentials.yml": "a: ${oc.env:NO_SUCH_VARIABLE}\n"},
    ),
    Case(
        "broken globals",
        "run",
        ("globals.yml", "line 1"),
        {"conf/base/globals.yml": "a: ]\n", "conf/base/parameters.yml": "counting: ${globals:a}\n"},
    ),
    Case("encoding", "run", ("parameters.yml", "UTF-8"), {"conf/base/parameters.yml": "counting: \udcff\n"}),
    Case("broken logging", "run", ("logging.yml", "line 1"), {"conf/logging.yml": "root: ]\n"}),
    Case("wrong logging", "run", ("logging.yml", "nowhere"), {"conf/logging.yml": "root: {handlers: [nowhere]}\n"}),
    Case("broken credentials", "run", ("credentials.yml", "line 1"), {"conf/local/credentials.yml": "a: ]\n"}),
    Case("broken policies", "run", ("execution.yml", "line 1"), execution("nodes: ]\n")),
    Case("section of policies", "run", ("execution.yml, line 1", "'node'", "'nodes'"), execution("node: {}\n")),
    Case(
        "node of a policy",
        "run",
        ("execution.yml, line 2", "'nodes.raise_vioce'", "'raise_voice'"),
        execution("nodes:\n  raise_vioce: {retries: 1}\n"),
    ),
    Case(
        "tag of a policy", "run", ("execution.yml, line 1", "'tags.voise'", "'voice'"), execution("tags: {voise: {retries: 1}}\n")
    ),
    Case(
        "key of a policy",
        "run",
        ("execution.yml, line 3", "'nodes.raise_voice.retrys'", "'retries'"),
        execution("nodes:\n  raise_voice:\n    retrys: 1\n"),
    ),
    Case("retries", "run", ("execution.yml, line 1", "'defaults.retries'", "'two'"), execution("defaults: {retries: two}\n")),
    Case("timeout", "run", ("execution.yml, line 1", "'defaults.timeout'", "'soon'"), execution("defaults: {timeout: soon}\n")),
    Case("place", "run", ("execution.yml", "'defaults.run_in'", "'main' or 'worker'"), execution("defaults: {run_in: mian}\n")),
    Case("policies that are a list", "run", ("execution.yml",), execution("- retries\n")),
    Case("policy that is a number", "run", ("execution.yml, line 1", "'tags.voice'", "3"), execution("tags: {voice: 3}\n")),
    Case("need", "run", ("execution.yml", "gpu is 'one'"), execution("defaults: {resources: {gpu: one}}\n")),
    Case("limit", "run", ("execution.yml, line 1", "'resources'", "'4G'", "4GB"), execution("resources: {memory: 4G}\n")),
    Case(
        "need that nobody limits",
        "run",
        ("'raise_voice'", "'count_letters'", "gpu: 1", "resources"),
        execution("defaults: {resources: {gpu: 1}}\n"),
        lines=2,
    ),
    Case(
        "need above the limit",
        "run",
        ("'raise_voice'", "gpu: 2", "the limit is 1"),
        execution("tags: {voice: {resources: {gpu: 2}}}\nresources: {gpu: 1}\n"),
    ),
    Case("limit of the runner", "run --runner-params resources.gpu=one", ("resources", "'one'")),
    Case(
        "several policies",
        "run",
        ("has 3 problems", "line 2", "'nodes.raise_vioce'", "line 3", "'nodes.raise_voice.retrys'", "line 4", "'4G'"),
        execution("nodes:\n  raise_vioce: {}\n  raise_voice: {retrys: 2}\nresources: {memory: 4G}\n"),
        lines=4,
    ),
    Case("what a failure means", "run --on-failure ignore", ("--on-failure", "'ignore'", "continue")),
    # --- the environment
    Case("environment by variable", "run", ("prdo", "conf"), environment={"TREADLE_ENV": "prdo"}),
    Case("logging by variable", "run", ("nowhere.yml",), environment={"TREADLE_LOGGING_CONFIG": "nowhere.yml"}),
    Case(
        "start method by variable",
        "run --runner parallel",
        ("TREADLE_START_METHOD", "'spwan'", "'spawn'"),
        environment={"TREADLE_START_METHOD": "spwan"},
    ),
    # --- the store
    Case("a store that is none", "sessions list", ("sessions.db",), {".treadle/sessions.db": "hello " * 1000}),
    # --- other commands
    Case("taken folder", "new .", (".", "not empty")),
    Case("name of a project", "new other --name {x}", ("{x}", "Try")),
    Case(
        "package without a name",
        "package",
        ("pyproject.toml", "[project]", "'name'"),
        {"pyproject.toml": PYPROJECT + "[project]\n"},
    ),
    Case(
        "package without a backend",
        "package",
        ("pyproject.toml", "[build-system]"),
        {"pyproject.toml": PYPROJECT + "[project]\nname = 'x'\n"},
    ),
    Case("output that is a file", "package -o pyproject.toml", ("pyproject.toml",)),
    Case("tab in YAML", "run", ("parameters.yml", "line 2"), {"conf/base/parameters.yml": "counting:\n\tleast: 1\n"}),
    # --- the same flags of other commands
    Case("environment of check", "check --env loacl", ("'loacl'", "local")),
    Case("environment of ipython", "ipython --env loacl", ("'loacl'", "local")),
    Case("environment of jupyter", "jupyter setup --env loacl", ("'loacl'", "local")),
    Case("conf source of check", "check --conf-source nowhere", ("nowhere",)),
    Case("conf source of catalog describe", "catalog describe --conf-source nowhere", ("nowhere",)),
    Case("conf source of catalog resolve", "catalog resolve --conf-source pyproject.toml", ("pyproject.toml", "archive")),
    Case("pipelines of a namespace", "run --namespaces voice", ("'voice'", "no namespace")),
    Case("sub-command of jupyter", "jupyter setpu", ("'setpu'", "Did you mean 'setup'?")),
    Case("session to ask", "sessions what-if 1999", ("'1999'", "treadle sessions list")),
    Case("numbers of workers", "sessions what-if x --workers two", ("--workers", "'two'")),
    Case("limit that is no number", "sessions list --limit few", ("--limit", "few")),
    Case("info with an argument", "info more", ("more",)),
    Case("demo in a taken folder", "demo .", ("not empty" if find_spec("sklearn") else "treadle[demo]",)),
    Case("new where a file is", "new pyproject.toml", ("pyproject.toml",)),
    # --- values
    Case("param without a name", "run --params =1", ("'='", "key=value")),
    Case("param that is a value and a group", "run --params a=1,a.b=2", ("'a",)),
    Case("version without a number", "run --load-versions words:", ("'words:'", "dataset:version")),
    Case(
        "version that leads out",
        "run --load-versions words:..",
        ("catalog.yml, line 2", "'..'", "version"),
        {"conf/base/catalog.yml": CATALOG.replace("data/words.txt}", "data/words.txt, versioned: true}")},
    ),
    Case(
        "version that is not there",
        "run --load-versions words:v9",
        ("'words'", "v9"),
        {"conf/base/catalog.yml": CATALOG.replace("data/words.txt}", "data/words.txt, versioned: true}")},
    ),
    Case(
        "version of what no node loads",
        "run --load-versions number:v1",
        ("'number'", "none of the nodes", "They load: loud, words"),
    ),
    Case(
        "version of what these nodes do not load",
        "run --nodes count_letters --load-versions words:v1",
        ("'words'", "none of the nodes", "They load: loud"),
        {"conf/base/catalog.yml": CATALOG.replace("data/words.txt}", "data/words.txt, versioned: true}")},
    ),
    Case(
        "version of a near name that a pattern takes",
        "run --load-versions wrods:v1",
        ("'wrods'", "none of the nodes", "Did you mean 'words'?"),
        catalog('"{name}": {type: text.TextDataset, filepath: "data/{name}.txt", versioned: true}\n'),
    ),
    Case("params of the runner in a file", "run --config f.yml", ("f.yml", "runner_params"), {"f.yml": "runner_params: [a]\n"}),
    Case("number as pipeline in a file", "run --config f.yml", ("f.yml", "pipelines"), {"f.yml": "pipelines: 3\n"}),
    Case("archive that is broken", "run --conf-source c.zip", ("c.zip", "archive"), {"c.zip": "PK no zip"}),
    # --- more of the files
    Case("arguments of the store as text", "run", ("settings.py", "SESSION_STORE_ARGS"), settings("SESSION_STORE_ARGS = 'x'\n")),
    Case("plugins as text", "run", ("settings.py", "DISABLE_HOOKS_FOR_PLUGINS"), settings("DISABLE_HOOKS_FOR_PLUGINS = 3\n")),
    Case(
        "patterns that are no lists",
        "run",
        ("config_patterns",),
        settings("CONFIG_LOADER_ARGS = {'config_patterns': {'reports': 3}}\n"),
    ),
    Case(
        "resolver that cannot be called",
        "run",
        ("custom_resolvers", "shout"),
        settings("CONFIG_LOADER_ARGS = {'custom_resolvers': {'shout': 3}}\n"),
    ),
    Case(
        "two makers of one dataset",
        "run",
        ("'b'", "'one'", "'two'"),
        registry(
            "from treadle import Pipeline, node\ndef register_pipelines():\n"
            "    return {'__default__': Pipeline([node(len, 'a', 'b', name='one'), node(len, 'c', 'b', name='two')])}\n"
        ),
    ),
    Case(
        "nodes in a circle",
        "registry describe",
        ("'one'", "'two'", "depend on each other"),
        registry(
            "from treadle import Pipeline, node\ndef register_pipelines():\n"
            "    return {'__default__': Pipeline([node(len, 'a', 'b', name='one'), node(len, 'b', 'a', name='two')])}\n"
        ),
    ),
    Case(
        "mapping of a modular pipeline",
        "run",
        ("'wrods'", "'words'"),
        registry(
            "from treadle import Pipeline, node, pipeline\ndef register_pipelines():\n"
            "    one = Pipeline([node(len, 'words', 'b', name='one')])\n"
            "    return {'__default__': pipeline(one, inputs={'wrods': 'a'}, namespace='x')}\n"
        ),
    ),
    Case("credentials that are a list", "run", ("credentials.yml",), {"conf/local/credentials.yml": "- a\n"}),
    Case("globals that are a list", "check --env base", ("globals.yml",), {"conf/base/globals.yml": "- a\n"}),
    Case(
        "versions of a type that has none",
        "run",
        ("catalog.yml, line 3", "'loud'", "versions"),
        {
            "conf/base/catalog.yml": CATALOG.replace(
                "loud: {type: text.TextDataset, filepath: data/loud.txt", "loud: {type: MemoryDataset, versioned: true"
            )
        },
    ),
    Case(
        "copy mode",
        "run",
        ("catalog.yml, line 3", "'loud'", "'dpecopy'", "deepcopy"),
        {
            "conf/base/catalog.yml": CATALOG.replace(
                "loud: {type: text.TextDataset, filepath: data/loud.txt", "loud: {type: MemoryDataset, copy_mode: dpecopy"
            )
        },
    ),
    Case(
        "cached dataset without one",
        "run",
        ("catalog.yml, line 3", "'loud'", "'dataset'"),
        {
            "conf/base/catalog.yml": CATALOG.replace(
                "loud: {type: text.TextDataset, filepath: data/loud.txt", "loud: {type: CachedDataset"
            )
        },
    ),
    Case(
        "type within a folder of files",
        "run",
        ("catalog.yml, line 3", "'loud'", "'text.TextDataset'"),
        {
            "conf/base/catalog.yml": CATALOG.replace(
                "loud: {type: text.TextDataset, filepath: data/loud.txt",
                "loud: {type: partitions.PartitionedDataset, path: x, dataset: text.TxtDataset",
            )
        },
    ),
    Case(
        "class that is no dataset",
        "run",
        ("catalog.yml, line 3", "'loud'", "json.JSONDecoder"),
        {
            "conf/base/catalog.yml": CATALOG.replace(
                "loud: {type: text.TextDataset, filepath: data/loud.txt", "loud: {type: json.JSONDecoder"
            )
        },
    ),
    Case("entry in JSON", "catalog list", ("catalog.json, line 1", "'x'"), {"conf/base/catalog.json": '{"x": {"tpye": "a"}}'}),
    Case("module of the package", "run", ("PACKAGE", "nowhere"), {"src/PACKAGE/__init__.py": "import nowhere\n"}),
]


@pytest.fixture
def project(make_project, monkeypatch):
    """Write a project's files, some of them wrong, and go there; return its package's name."""

    def write(files, folder):
        root = make_project()
        package = next(entry.name for entry in (root / "src").iterdir())
        for name, content in {**FILES, **files}.items():
            path = root / name.replace("PACKAGE", package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("PACKAGE", package), encoding="utf-8", errors="surrogateescape")
        monkeypatch.chdir(folder or root)
        return package

    return write


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_input_is_one_paragraph_and_code_2(project, monkeypatch, capsys, case):
    """The command ends with code 2; its error is one paragraph that says where, what, and what was meant."""
    package = project(case.files, case.folder)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)

    code = main(case.words.split())

    captured = capsys.readouterr()
    error = captured.err.partition("Error: ")[2]
    assert code == 2, captured.err
    assert error, captured.err
    for text in case.said:
        assert text.replace("PACKAGE", package) in error
    assert "Traceback" not in captured.err + captured.out
    assert len(error.strip().splitlines()) == case.lines, "more than one paragraph"
