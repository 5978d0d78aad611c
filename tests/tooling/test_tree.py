"""What may stand in the files of the project, and what must."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
BUILT = re.compile(r"\.venv.*|\.git|\..*_cache|\.hypothesis|\.coverage.*|__pycache__|build|dist|_build|.*\.egg-info")
# Spelled in two halves, so that this file does not name them.
REGISTRY = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "npm" + r"js\.",
            "index" + r"-url",
            "find" + r"-links[ =]",
            "://[^ ]*/" + "simple/?[\"' \n]",
        )
    )
)
HOME = re.compile(r"(?<![\w.$}])/(root|work|home/\w+|Users/\w+|builds|workspace)/")
OUTSIDE_THE_CORE = {"cli", "codecs", "control", "dashboard", "demo", "integrations", "telemetry", "testing"}


def files() -> list[Path]:
    """All files that a clone would have."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not BUILT.fullmatch(name)]
        found += [Path(folder, name) for name in names if not BUILT.fullmatch(name)]
    return found


def text_files() -> list[tuple[str, str]]:
    """Name and text of each file that is text."""
    read = []
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data:
            read.append((str(path.relative_to(ROOT)), data.decode()))
    return read


def core_modules() -> list[Path]:
    """The files of the rooms that everybody gets without an extra."""
    library = ROOT / "src" / "cenote"
    return sorted(p for p in library.rglob("*.py") if p.relative_to(library).parts[0] not in OUTSIDE_THE_CORE)


def requirements(lock: Path) -> list[str]:
    """One string a package, its continuation lines joined."""
    text = lock.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_no_file_names_a_package_registry() -> None:
    assert [(name, found.group()) for name, text in text_files() if (found := REGISTRY.search(text))] == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert [(name, found.group()) for name, text in text_files() if (found := HOME.search(text))] == []


def test_no_lock_file_with_addresses_is_kept() -> None:
    kept = {path.name for path in files()}
    assert not kept & {"uv.lock", "poetry.lock", "pdm.lock", "package-lock.json", "Pipfile.lock"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_package_of_a_lock_file_has_a_version_and_hashes_and_no_address(lock: Path) -> None:
    packages = requirements(lock)
    assert packages
    shape = re.compile(r"[\w.-]+==[\w.]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    assert [package for package in packages if not shape.fullmatch(package)] == []


def test_the_lock_files_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, own in by_name(lock).items():
            assert versions.setdefault(name, own) == own, f"{name} differs in {lock.name}"


def by_name(lock: Path) -> dict[str, set[str]]:
    """Each package's versions."""
    found: dict[str, set[str]] = {}
    for package in requirements(lock):
        name, version = package.split()[0].split("==")
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("group", ["dev", "demo", "bench", "lock"])
def test_each_lock_file_has_what_pyproject_asks_for(group: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["dependency-groups"][group])
    if group != "lock":
        extras = project["project"]["optional-dependencies"]
        wanted += [*extras["server"], *extras["cli"], *project["build-system"]["requires"]]
    names = {re.split(r"[\[><=~!; ]", name)[0].lower().replace(".", "-") for name in wanted}
    assert names - by_name(ROOT / "requirements" / f"{group}.txt").keys() == set()


def test_make_alone_lists_every_target_in_one_line_each() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    printed = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert [line.split()[:2] for line in printed.splitlines()] == [["make", target] for target in targets]
    assert all(len(line.split()) > 3 for line in printed.splitlines())


def test_the_core_imports_the_standard_library_and_itself_alone() -> None:
    foreign = []
    for path in core_modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            roots = {name.split(".")[0] for name in names}
            allowed = {"cenote", "lmdb"} if path.name.startswith("lmdb_") else {"cenote"}
            allowed |= {"hiredis", "redis"} if path.parent.name == "network" else set()
            foreign += [(path.name, name) for name in roots - sys.stdlib_module_names - allowed]
    assert foreign == []


def layers_of(tree: Path, **added: str) -> subprocess.CompletedProcess[str]:
    """Checks the map of rooms against a copy of the library with modules added to it."""
    shutil.copytree(ROOT / "src" / "cenote", tree / "cenote", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tree)
    for name, text in added.items():
        (tree / "cenote" / f"{name}.py").write_text(text)
    linter = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run([linter], cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_a_module_that_is_not_on_the_map_of_rooms_is_refused(tmp_path: Path) -> None:
    done = layers_of(tmp_path, attic="")
    assert done.returncode == 1
    assert "attic" in done.stdout


def test_a_core_module_that_imports_what_it_must_not_is_refused(tmp_path: Path) -> None:
    done = layers_of(tmp_path, keys="import fastapi\nfrom cenote import decide\n")
    assert done.returncode == 1
    assert "cenote.keys is not allowed to import fastapi" in done.stdout
    assert "cenote.keys is not allowed to import cenote.decide" in done.stdout


def test_every_file_of_the_library_is_one_noun_of_at_most_400_lines() -> None:
    lines = {p.name: p.read_text().count("\n") for p in (ROOT / "src").rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_the_library_has_no_leftovers() -> None:
    left = re.compile(
        r"TODO|FIXME|XXX|NotImplementedError|pragma: no cover|type: ignore($|[^\[])|# noqa($|[^:])",
        re.MULTILINE,
    )
    found = [(p.name, m.group()) for p in (ROOT / "src").rglob("*.py") if (m := left.search(p.read_text()))]
    assert found == []
