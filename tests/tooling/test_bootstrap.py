"""How scripts/venv.sh makes an environment, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL_TOOLS = (
    "awk",
    "cat",
    "cmp",
    "cp",
    "cut",
    "dirname",
    "grep",
    "mktemp",
    "rm",
    "sed",
    "sh",
    "sort",
    "tail",
)


def project(folder: Path) -> Path:
    """Makes a project folder with the bootstrap script and a lock file of one small package."""
    tree = folder / "tree"
    (tree / "requirements").mkdir(parents=True)
    (tree / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv.sh", tree / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tree)
    digest = hashlib.sha256(small_wheel(folder).read_bytes()).hexdigest()
    (tree / "requirements" / "lock.txt").write_text(f"pebble==1.0 \\\n    --hash=sha256:{digest}\n")
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project without an environment."""
    return project(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an environment that lacks the package: the lock file's content is up to each test."""
    tree = project(tmp_path_factory.mktemp("made"))
    lock = tree / "requirements" / "lock.txt"
    right = lock.read_text()
    lock.write_text("")
    done = bootstrap(tree, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    lock.write_text(right)
    return tree


def small_wheel(folder: Path) -> Path:
    """Writes a wheel that pip can install and returns its path."""
    path = folder / "pebble-1.0-py3-none-any.whl"
    info = "pebble-1.0.dist-info"
    files = {
        "pebble.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def only_tools(folder: Path, **programs: str) -> str:
    """Makes a PATH of a shell's tools and the given scripts, and of no Python beside them."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for tool in SHELL_TOOLS:
        (bin_folder / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    for name, text in programs.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_folder / name).chmod(0o755)
    return str(bin_folder)


def bootstrap(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with the wheel's folder as pip's only source, unless the environment says otherwise."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "MAKE"))}
    defaults = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tree.parent)}
    return subprocess.run(
        [tree / "scripts" / "venv.sh", *(arguments or ("lock",))],
        env={**clean, **defaults, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_refused_with_what_to_do(tree: Path, tmp_path: Path) -> None:
    done = bootstrap(tree, PATH=only_tools(tmp_path, python3="printf 3.10.4"))
    assert done.returncode == 1
    assert done.stderr.startswith("cenote: Python 3.11 or newer is needed, but python3 is 3.10.4; install one")
    assert done.stderr.count("\n") == 1


def test_a_machine_without_python_is_told_so(tree: Path, tmp_path: Path) -> None:
    done = bootstrap(tree, PATH=only_tools(tmp_path))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed and no python3 was found" in done.stderr


def test_a_named_python_that_does_not_run_is_told_by_its_name(tree: Path) -> None:
    done = bootstrap(tree, PYTHON="/nowhere/python3.12")
    assert done.returncode == 1
    assert "PYTHON=/nowhere/python3.12 does not run" in done.stderr


def test_a_debian_without_venv_is_told_which_package_to_install(tree: Path, tmp_path: Path) -> None:
    partial = f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"'
    done = bootstrap(tree, PATH=only_tools(tmp_path, python3=partial))
    assert done.returncode == 1
    assert f"apt install python3.{sys.version_info.minor}-venv" in done.stderr


def test_an_index_out_of_reach_is_one_sentence_and_a_failure(made: Path) -> None:
    ask_anew(made, "another==1.0 --hash=sha256:" + "0" * 64)
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        done = bootstrap(made, PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_INDEX_URL=address)
    assert done.returncode == 1
    assert "the package index cannot be reached; check the network" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_package_with_another_hash_is_not_installed(made: Path) -> None:
    ask_anew(made, "pebble==1.0 --hash=sha256:" + "0" * 64)
    done = bootstrap(made)
    assert done.returncode == 1
    assert "is not the one that requirements/lock.txt names; nothing was installed" in done.stderr


def test_a_package_that_is_not_to_be_had_is_named_below_pips_last_lines(made: Path) -> None:
    ask_anew(made, "another==1.0 --hash=sha256:" + "0" * 64)
    done = bootstrap(made)
    assert done.returncode == 1
    assert "No matching distribution found for another==1.0" in done.stderr
    assert "the package index has no prebuilt package for Python 3." in done.stderr


def ask_anew(tree: Path, line: str) -> None:
    """Writes a lock file of one line."""
    (tree / "requirements" / "lock.txt").write_text(f"{line}\n")


def test_an_environment_is_made_once_and_again_when_its_lock_file_changes_or_it_was_moved(
    tree: Path, tmp_path: Path
) -> None:
    """The first Python is too old, so the next one makes it."""
    path = only_tools(tmp_path, **{"python3.13": "printf 3.9.1", "python3": f'exec {sys.executable} "$@"'})
    first = bootstrap(tree, PATH=path)
    assert first.returncode == 0, first.stderr
    version = ".".join(map(str, sys.version_info[:3]))
    assert first.stdout.startswith(f"cenote: making .venv with Python {version}")
    assert first.stdout.count("\n") == 1
    assert list((tree / ".venv").glob("lib/*/site-packages/pebble.py"))

    again = bootstrap(tree)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    with (tree / "requirements" / "lock.txt").open("a") as lock:
        lock.write("# another\n")
    changed = bootstrap(tree)
    assert changed.returncode == 0, changed.stderr
    assert changed.stdout.startswith(f"cenote: bringing .venv (Python {version})")

    moved = bootstrap(tree.rename(tree.with_name("elsewhere")), PYTHON=sys.executable)
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.startswith("cenote: making .venv")


def test_the_pythons_of_the_machine_are_listed_from_old_to_new(tree: Path, tmp_path: Path) -> None:
    programs = {f"python3.{minor}": f'case "$*" in *version*) printf 3.{minor}.2 ;; esac' for minor in (10, 13, 11)}
    done = bootstrap(tree, "--pythons", PATH=only_tools(tmp_path, **programs), PYENV_ROOT=str(tmp_path))
    listed = [tuple(line.split(" ", 1)) for line in done.stdout.splitlines()]
    assert listed == [("3.11.2", f"{tmp_path}/bin/python3.11"), ("3.13.2", f"{tmp_path}/bin/python3.13")]
