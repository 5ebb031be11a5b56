from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.causes import cause, cause_names
from pytest_logits.finding import Location
from pytest_logits.report_sarif import sarif_text
from tests.example_report import HOSTILE, REGISTERED, RESULTS, SOFTMAX, TOLD, example, result

# Of OASIS, as SchemaStore keeps it; see tests/data/README.md.
SCHEMA = Path(__file__).parent / "data" / "sarif-schema-2.1.0.json"
ROOT = Path("/repo/with space")


def sarif(*results: Any, registered: Any = REGISTERED, root: Path = ROOT) -> Any:
    return json.loads(sarif_text(example(*results), root=root, registered=registered))


RUN = sarif()["runs"][0]
RULES = {rule["id"]: rule for rule in RUN["tool"]["driver"]["rules"]}


def one(**changes: Any) -> Any:
    (found,) = sarif(result(replace(SOFTMAX, **changes), fix="return the scores"))["runs"][0]["results"]
    return found


def test_it_validates_against_the_official_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(sarif())] == []
    assert list(validator.iter_errors({**sarif(), "version": "1.0"}))


def test_every_cause_is_a_rule_with_its_page():
    assert set(cause_names()) <= RULES.keys()
    for name in cause_names():
        rule, page = RULES[name], cause(name)
        assert rule["shortDescription"]["text"] == page.summary
        for part in (page.text, page.bad.strip(), page.good.strip(), page.fix):
            assert part in rule["help"]["markdown"]


def test_the_results_are_what_pytest_fails_for_and_advice():
    assert [found["properties"]["outcome"] for found in RUN["results"]] == [
        record["outcome"] for record in example()["results"] if record["outcome"] in TOLD
    ]


@pytest.mark.parametrize(("outcome", "level"), [("failed", "error"), ("advice", "note")])
def test_the_level_follows_from_the_outcome(outcome: str, level: str):
    assert one(outcome=outcome)["level"] == level


def test_a_result_has_its_rule_by_number_too():
    rules = RUN["tool"]["driver"]["rules"]
    assert all(rules[found["ruleIndex"]]["id"] == found["ruleId"] for found in RUN["results"])


def test_without_a_cause_the_rule_is_the_check():
    assert {"targets_fit_loss", "outputs_stay_finite", "outputs_depend_on_inputs"} <= RULES.keys()


def test_the_place_is_relative_to_the_root():
    (place,) = one()["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "models.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 16},
    }
    assert RUN["originalUriBaseIds"] == {"%SRCROOT%": {"uri": "file:///repo/with%20space/"}}


def test_without_a_place_it_is_where_the_model_is_registered():
    (place,) = one(location=None)["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "conftest.py"
    assert place["physicalLocation"]["region"]["startLine"] == 5


def test_a_generated_classifier_has_no_place():
    (found,) = sarif(result(replace(SOFTMAX, location=None)), registered={})["runs"][0]["results"]
    assert found["locations"] == []


@pytest.mark.parametrize(
    ("file", "artifact"),
    [
        ("my nets/größe.py", {"uri": "my%20nets/gr%C3%B6%C3%9Fe.py", "uriBaseId": "%SRCROOT%"}),
        ("a\udcff%.py", {"uri": "a%FF%25.py", "uriBaseId": "%SRCROOT%"}),
        ("/lib/net.py", {"uri": "file:///lib/net.py"}),
    ],
    ids=["letters", "bytes", "outside"],
)
def test_a_path_is_written_as_a_uri(file: str, artifact: dict[str, str]):
    found = one(location=Location(file=file, line=1))
    assert found["locations"][0]["physicalLocation"]["artifactLocation"] == artifact


def test_the_message_says_what_was_found_and_what_to_do():
    assert one()["message"]["text"] == (
        "softmax_before_cross_entropy in net: the lowest loss is 0.3270; expected: below 0.2506; fix: return the scores"
    )


def test_the_fingerprint_stays_when_lines_move():
    moved = one(location=Location(file="models.py", line=99))
    assert moved["partialFingerprints"] == one()["partialFingerprints"]


@pytest.mark.parametrize("change", [{"cause": "bounded_logits"}, {"location": Location(file="other.py", line=16)}])
def test_the_fingerprint_tells_findings_apart(change: dict[str, Any]):
    assert one(**change)["partialFingerprints"] != one()["partialFingerprints"]


def test_a_hostile_name_is_a_name():
    names = [found["properties"]["model"] for found in RUN["results"]]
    assert names.count(HOSTILE) == 1
    assert len(RESULTS) == len(example()["results"])
