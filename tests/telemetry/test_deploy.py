"""What deploy/ has for Prometheus and Grafana: it parses, and it asks for nothing that there is not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from cenote.telemetry.families import FAMILIES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "cenote.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "cenote.rules.yml").read_text())
SAMPLES = {sample: family for family in FAMILIES for sample in family.samples}
TARGET_LABELS = {"job", "instance"}
VARIABLES = {"instance", "cache", "datasource", "__rate_interval", "__range"}


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def queries():
    """Where a query stands, and the query."""
    found = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    found += [(each["name"], each["definition"]) for each in DASHBOARD["templating"]["list"] if "definition" in each]
    return found + [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]


RECORDED = {rule["record"] for rule in rules() if "record" in rule}


@pytest.mark.parametrize(("place", "query"), queries(), ids=lambda text: text.strip()[:40])
def test_a_query_asks_for_metrics_and_labels_that_there_are(place, query):
    names = set(re.findall(r"\bcenote[\w:]*", query)) - RECORDED
    assert names or RECORDED & set(re.findall(r"[\w:]+", query)), place
    assert names <= SAMPLES.keys(), place
    for name, selector in re.findall(r"\b(cenote\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= {*SAMPLES[name].labels, *TARGET_LABELS}, place
    grouped = {label for found in re.findall(r"by \(([^)]*)\)", query) for label in re.split(r",\s*", found)}
    own = {label for name in names for label in SAMPLES[name].labels} | TARGET_LABELS | {"le"}
    assert not names or grouped <= own, place
    for opening, closing in ("()", "[]", "{}"):
        assert query.count(opening) == query.count(closing), place
    assert set(re.findall(r"\$\{?(\w+)", query)) <= VARIABLES, place


@pytest.mark.parametrize(("place", "query"), queries(), ids=lambda text: text.strip()[:40])
def test_counters_are_asked_for_their_rate_and_gauges_are_not(place, query):
    if "label_values" in query:
        return
    for name in re.findall(r"\bcenote_\w+", query):
        counted = SAMPLES[name].kind != "gauge"
        # A histogram's quantile is that of what was counted lately; gauges may be derived.
        rated = re.search(rf"\b(rate|increase)\({name}[\{{\[]", query) is not None
        assert rated is counted, (place, name)


def test_a_quantile_is_taken_of_buckets():
    for place, query in queries():
        if "histogram_quantile" in query:
            assert re.search(r"histogram_quantile\([\d.]+, sum by \([^)]*\ble\) \(rate\(\w+_bucket", query), place


def test_every_metric_is_on_the_dashboard():
    asked = {name for _, query in queries() for name in re.findall(r"\bcenote_\w+", query)}
    assert {family.name for family in FAMILIES if not asked & set(family.samples)} == set()


def test_the_dashboard_has_the_panels_that_an_operator_looks_for():
    titles = " ".join(panel["title"] for panel in panels()).lower()
    for wanted in ("hit rate", "loads per second", "load time", "left", "bytes", "lease", "machines", "clears"):
        assert wanted in titles
    assert Counter(panel["id"] for panel in DASHBOARD["panels"]).most_common(1)[0][1] == 1
    assert all(panel["description"].endswith(".") for panel in panels())


def test_the_panels_of_the_dashboard_do_not_lie_on_each_other():
    taken = Counter(
        (at["x"] + dx, at["y"] + dy)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for dx in range(at["w"])
        for dy in range(at["h"])
    )
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24


def test_every_alert_says_how_bad_it_is_and_what_it_is_about():
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["summary"].endswith(".")
            used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            grouped = re.findall(r"by \(([^)]*)\)", rule["expr"])
            there = set(re.split(r",\s*", grouped[0])) if grouped else {*TARGET_LABELS}
            assert used <= there, rule["alert"]
    assert len({rule.get("alert") for rule in rules()}) == len(rules())


def test_prometheus_scrapes_the_metrics_of_the_default_port_and_reads_the_rules():
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:8338"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in config["rule_files"])
