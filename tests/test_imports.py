"""Who may import whom: layers from the bottom up, and packages that only some may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mssr_rl"
CLUSTER = {"ray", "vllm", "deepspeed", "openrlhf"}

# From the bottom up. A module may import from its own layer and from those below it, never upwards.
LAYERS = (
    """errors seeds problem files typed text_table metric_names budget outward untrusted run_streams
    import_hooks stdio nearby version""",
    """options registry prompts grading data advantage loss correction objective views metrics stats
    controllers stability engine_protocol""",
    """envs algos""",
    """config""",
    """models""",
    """engine""",
    """run planning report grade lens check_algo cards check_env check_model scaffold exporters
    doctor disagreements sample_logs""",
    """comparison""",
    """sweep imports publishing""",
    """view""",
    """verbs""",
    """completion helptext cli child api __main__ __init__""",
)
LAYER_OF = {name: level for level, names in enumerate(LAYERS) for name in names.split()}


def modules() -> dict[str, Path]:
    """{dotted name below mssr_rl: file}, links followed."""
    files = sorted({p for p in _walk(PACKAGE) if p.suffix == ".py"})
    names = (p.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".") for p in files)
    return {(n.removesuffix(".__init__")): p for n, p in zip(names, files, strict=True)}


def imported(source: str, *, also_for_types: bool = False) -> Iterator[str]:
    """Full dotted names, those imported inside functions included."""
    tree = ast.parse(source)
    for node in ast.walk(tree) if also_for_types else _outside_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal(source: str, known: Mapping[str, Path], *, also_for_types: bool = False) -> set[str]:
    """The modules of ours that a source imports."""
    found = set()
    for name in imported(source, also_for_types=also_for_types):
        head, _, rest = name.partition(".")
        if head == "mssr_rl":
            parts = rest.split(".")
            endings = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
            found.add(next((ending for ending in endings if ending in known), "__init__"))
    return found


def upward(module: str, targets: set[str]) -> list[str]:
    level = LAYER_OF[module.partition(".")[0]]
    return sorted(t for t in targets if LAYER_OF[t.partition(".")[0]] > level)


def test_every_module_has_its_layer() -> None:
    assert {name for name in modules() if name.partition(".")[0] not in LAYER_OF} == set()


def test_no_module_imports_from_a_layer_above() -> None:
    known = modules()
    found = {name: upward(name, internal(p.read_text(), known)) for name, p in known.items()}
    found["__init__"] = []  # hands out two names of algos and envs, on demand
    assert {name: above for name, above in found.items() if above} == {}


def test_no_two_modules_import_each_other() -> None:
    known = modules()
    graph = {name: internal(p.read_text(), known) - {name} for name, p in known.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def packages(known: Mapping[str, Path]) -> dict[str, set[str]]:
    """{package: the others it imports from}, imports for type checkers included."""
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = internal(path.read_text(), known, also_for_types=True)
        heads = {target.partition(".")[0] for target in targets}
        graph.setdefault(name.partition(".")[0], set()).update(heads)
    graph["__init__"] = set()  # hands out two names of algos and envs, on demand
    return {package: heads - {package, "__init__"} for package, heads in graph.items()}


def test_no_two_packages_import_each_other_not_even_for_types() -> None:
    try:
        order = list(TopologicalSorter(packages(modules())).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of packages: {' <- '.join(error.args[1])}")
    assert order.index("engine_protocol") < order.index("models") < order.index("engine")


def test_a_circle_of_packages_is_found_where_it_stands_for_types_only(tmp_path: Path) -> None:
    sources = {
        "loss": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mssr_rl.grade\n",
        "grade": "def f():\n    from mssr_rl.loss import kl\n",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    known = {name: tmp_path / f"{name}.py" for name in sources}
    with pytest.raises(CycleError):
        list(TopologicalSorter(packages(known)).static_order())


def test_an_import_from_above_is_found_wherever_it_stands() -> None:
    source = "def f():\n    from mssr_rl import cli\n    import mssr_rl.run.trainer\n"
    assert internal(source, modules()) == {"cli", "run.trainer"}
    assert upward("grading.verify", {"cli", "seeds"}) == ["cli"]


def test_only_the_cluster_engine_and_comparisons_over_ray_import_cluster_packages() -> None:
    found = {
        name
        for name, path in modules().items()
        if CLUSTER & {target.partition(".")[0] for target in imported(path.read_text())}
    }
    elsewhere = {name for name in found if not name.startswith("engine.openrlhf")}
    assert elsewhere == {"sweep.nodes"}


def test_the_machinery_names_no_algorithm_and_no_environment() -> None:
    from mssr_rl.algos import algorithms
    from mssr_rl.envs import environments

    registered = {*algorithms.names(), *environments.names()}
    machinery = {n: p for n, p in modules().items() if n.partition(".")[0] not in ("algos", "envs")}
    found = {name: registered & _texts(path.read_text()) for name, path in machinery.items()}
    assert {name: texts for name, texts in found.items() if texts} == {}
    assert _texts('if algo == "mssr": pass') == {"mssr"}


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    script = "import sys, time; import mssr_rl; print(time.process_time(), *sys.modules)"
    runs = [_python(script).stdout.split() for _ in range(3)]
    assert {"torch", "numpy", "gymnasium", "hydra", "transformers"} & set(runs[0]) == set()
    assert min(float(run[0]) for run in runs) < 0.3  # of processor time, Python's start included


@pytest.mark.parametrize("imports", ["import gymnasium, mssr_rl", "import mssr_rl, gymnasium"])
def test_gymnasium_makes_our_environments_once_both_are_imported(imports: str) -> None:
    makes = "print(*(gymnasium.make(f'mssr_rl/{n}-v0', limit=2).spec.id for n in names))"
    done = _python(f"{imports}\nnames = ('vision_r1', 'VisionR1', 'math12k')\n{makes}")
    assert done.stdout.split() == [
        "mssr_rl/vision_r1-v0",
        "mssr_rl/VisionR1-v0",
        "mssr_rl/math12k-v0",
    ], done.stderr


@pytest.mark.parametrize("name", ["envs", "algos"])
def test_the_folders_refuse_to_be_imported_under_a_second_name(name: str) -> None:
    done = _python(f"import {name}")
    assert done.returncode == 1
    assert f"mssr_rl.{name}" in done.stderr


def _python(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, cwd=ROOT, text=True, check=False)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _outside_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _outside_type_checking(child)


def _texts(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
