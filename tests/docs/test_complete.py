"""Nothing that a user meets is left out of the reference, and the reference invents nothing.

Each reference page has one heading, or one table row, for each thing; these tests compare them with the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import click
import pytest
import typer

import cenote
import cenote.codecs
import cenote.testing
import cenote.testing.contracts
import cenote.testing.pytest_plugin
from cenote import Cache, CacheManager, CacheOptions, CacheStats, ClearResult, EntryInfo
from cenote.cli.app import app as command_line
from cenote.cli.exit_codes import ExitCode
from cenote.codecs.extensions import KEPT
from cenote.control import Settings, create_app
from cenote.observing import LoadEnd
from cenote.telemetry.families import FAMILIES, NETWORK
from cenote.telemetry.logs import FIELDS
from cenote.telemetry.otel import attributes
from cenote.telemetry.otel.metrics import CACHE_INSTRUMENTS, MANAGER_INSTRUMENTS, NETWORK_INSTRUMENTS
from cenote.telemetry.otel.observer import HISTOGRAMS
from cenote.telemetry.prometheus import exposition

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
METHODS = ("get", "post", "put", "delete")


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def headings(name: str) -> list[str]:
    """The headings of a page, without backquotes."""
    return [line.lstrip("# ").replace("`", "") for line in page(name).splitlines() if re.match(r"#{2,4} ", line)]


def rows(text: str) -> list[str]:
    """The first cells of all table rows, without backquotes."""
    return [row.replace("`", "") for row in re.findall(r"^\| (`[^|]+`) +\|", text, re.MULTILINE)]


def section(name: str, heading: str) -> str:
    """The text below one heading, up to the next of its level or a higher one."""
    lines = page(name).splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip("# ").replace("`", "") == heading)
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    end = next((i for i in range(start + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[i])), len(lines))
    return "\n".join(lines[start:end])


def routes() -> dict[str, dict]:
    paths = create_app(CacheManager(), Settings()).openapi()["paths"]
    return {
        f"{method.upper()} {path}": paths[path][method] for path in paths for method in METHODS if method in paths[path]
    }


def commands() -> dict[str, click.Command]:
    group = typer.main.get_command(command_line)
    return dict(group.commands)


def test_every_route_has_a_heading_in_the_http_reference() -> None:
    shown = [heading for heading in headings("http") if heading.split(" ")[0].lower() in METHODS]
    assert sorted(shown) == sorted(routes())


@pytest.mark.parametrize("route", routes())
def test_the_http_reference_names_every_parameter_and_answer_of_a_route(route: str) -> None:
    operation = routes()[route]
    text = section("http", route)
    names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] != "path"]
    assert [name for name in names if f"`{name}`" not in text.lower() and f"`{name}`" not in text] == []
    common = {"400", "401", "403", "408", "413", "415", "422", "500", "503"}
    assert [code for code in operation["responses"] if code not in common and code not in text] == []
    assert operation["operationId"] in text


def test_every_field_of_a_request_is_in_the_http_reference() -> None:
    schemas = create_app(CacheManager(), Settings()).openapi()["components"]["schemas"]
    missing = {
        name: [field for field in schema["properties"] if f"`{field}`" not in page("http")]
        for name, schema in schemas.items()
        if name not in {"HTTPValidationError", "ValidationError"}
    }
    assert {name: fields for name, fields in missing.items() if fields} == {}


def test_every_command_has_a_heading_in_the_reference_of_the_command_line() -> None:
    shown = [heading.removeprefix("cenote ") for heading in headings("cli") if heading.startswith("cenote ")]
    assert sorted(shown) == sorted(commands())


@pytest.mark.parametrize("name", commands())
def test_the_reference_names_exactly_the_options_of_a_command(name: str) -> None:
    options = {
        option
        for parameter in commands()[name].params
        if isinstance(parameter, click.Option) or parameter.param_type_name == "option"
        for option in parameter.opts
    } - {"--help", "-h"}
    text = section("cli", f"cenote {name}")
    shown = set(re.findall(r"`(-{1,2}[a-z-]+)(?: [A-Z:]+)?`", text))
    everywhere = {"--server", "--token", "--timeout", "--json"}
    assert options - everywhere <= shown <= options
    if name not in {"serve", "demo"}:
        assert everywhere <= options


def test_the_reference_has_every_exit_code() -> None:
    assert rows(section("cli", "Exit codes")) == [str(code.value) for code in ExitCode]


def test_every_setting_has_a_row_with_its_default() -> None:
    names = {f"CENOTE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert sorted(rows(page("settings"))) == sorted(names | {"CENOTE_SERVER"})
    for field in dataclasses.fields(Settings):
        if field.default not in (None, ()):
            assert re.search(
                rf"^\| `CENOTE_{field.name.upper()}` +\| `{re.escape(str(field.default))}`",
                page("settings"),
                re.MULTILINE,
            )


def test_every_option_has_a_heading_and_its_default() -> None:
    assert headings("options") == [field.name for field in dataclasses.fields(CacheOptions)]
    for field in dataclasses.fields(CacheOptions):
        default = "(LookupError,)" if field.name == "negative_errors" else repr(field.default)
        if field.name == "max_entries":
            default = "10_000"
        assert f"Default: `{default}`" in section("options", field.name), field.name


def test_every_metric_has_a_row_with_its_kind() -> None:
    made = {(each.name if each.kind == "histogram" else each.samples[0], each.kind) for each in FAMILIES}
    shown = re.findall(r"^\| `(cenote\w+)` \| (\w+) \|", page("metrics"), re.MULTILINE)
    assert sorted(shown) == sorted(made)


def test_every_metric_that_is_documented_exists() -> None:
    caches = CacheManager()
    caches.service("weighed", max_bytes=1, weigher=len)
    samples = {line.split("{")[0].split(" ")[0] for line in exposition(caches).decode().splitlines() if line[0] != "#"}
    # Those of a network are compared where there is one: tests/network/test_metrics.py.
    families = [each for each in FAMILIES if each not in NETWORK.values()]
    assert samples == {sample for each in families for sample in each.samples}


def test_every_metric_of_opentelemetry_has_a_row_with_kind_and_unit() -> None:
    measured = {**CACHE_INSTRUMENTS, **MANAGER_INSTRUMENTS, **NETWORK_INSTRUMENTS}
    made = {(name, each.kind.replace("up_down_", "up-down "), each.unit) for name, each in measured.items()}
    made |= {(name, "histogram", "s") for name in HISTOGRAMS}
    shown = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| `([^`]+)` \|", section("opentelemetry", "Metrics"), re.MULTILINE)
    assert sorted(shown) == sorted(made)


def test_every_field_of_a_log_record_has_a_row() -> None:
    assert sorted(rows(section("logs", "Fields"))) == sorted(FIELDS)


def test_every_span_attribute_and_outcome_of_opentelemetry_has_a_row() -> None:
    made = {getattr(attributes, name) for name in attributes.__all__}
    text = section("opentelemetry", "Spans")
    shown = {name for row in rows(text) for name in row.split(", ")} | {attributes.WAIT_EVENT}
    assert shown == made | {how.value for how in LoadEnd} - {LoadEnd.ADOPTED.value}


def test_every_public_name_is_in_the_library_reference() -> None:
    text = page("library")
    testing = [cenote.testing, cenote.testing.contracts, cenote.testing.pytest_plugin]
    names = [*cenote.__all__, *(name for module in testing for name in module.__all__)]
    assert [name for name in names if not re.search(rf"`[^`\n]*\b{name}\b", text)] == []


def test_every_codec_has_a_heading_and_every_type_without_annotation_is_in_the_reference() -> None:
    assert [name for name in cenote.codecs.__all__ if name not in headings("codecs")] == []
    text = section("codecs", "Without an annotation")
    names = {kind.__name__.replace("NoneType", "None") for kind in KEPT}
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("kind", [Cache, CacheManager], ids=lambda kind: kind.__name__)
def test_every_public_method_is_in_the_library_reference(kind: type) -> None:
    public = [name for name, _ in inspect.getmembers(kind) if not name.startswith("_")]
    internal = {"apply_switches", "count_expired", "take_options", "title"}
    internal |= {"obey_all", "rejoin", "report", "tend"}  # what the log asks of its listener
    internal |= {"before_fork", "after_fork_in_child", "after_fork_in_parent"}
    text = section("library", kind.__name__)
    assert [name for name in public if name not in internal and not re.search(rf"`{name}\b", text)] == []


@pytest.mark.parametrize("kind", [CacheStats, ClearResult, EntryInfo], ids=lambda kind: kind.__name__)
def test_every_figure_is_in_the_library_reference(kind: type) -> None:
    properties = [name for name, value in inspect.getmembers(kind, lambda value: isinstance(value, property))]
    names = [field.name for field in dataclasses.fields(kind)] + properties
    text = section("library", kind.__name__)
    assert [name for name in names if f"`{name}`" not in text] == []


def test_readme_shows_what_it_is_how_to_start_and_an_example_within_40_lines() -> None:
    top = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert all(piece in top for piece in ("make demo", "make test", "```python", "```text"))
    code = re.search(r"```python\n(.*?)```", top, re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) == 8


def test_every_page_is_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text()
    pages = [str(path.relative_to(docs).with_suffix("")) for path in docs.rglob("*.md") if "_build" not in path.parts]
    assert [name for name in pages if name != "index" and name not in index] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_contributing_names_every_target_of_the_makefile_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    assert set(re.findall(r"`make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text())) == targets
