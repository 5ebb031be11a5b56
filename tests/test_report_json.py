from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.report import write_whole
from pytest_logits.report_json import json_text, report_of
from tests.example_report import RESULTS, SOFTMAX, example, result

RESULT = RESULTS[0]
SCHEMA = json.loads((files("pytest_logits") / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
NOTHING: dict[str, Any] = {"torch_version": "", "seed": 0, "profile": "", "seconds": 0}


def read(report: Any) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = json_text(report)
    assert text.endswith("}\n")
    return json.loads(text, parse_constant=refuse)


def errors(report: Any) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(report)]


def test_the_report_is_the_one_of_the_contract():
    report = read(example(RESULT))
    assert list(report) == ["schema", "torch", "seed", "profile", "device", "seconds", "results"]
    assert [report[key] for key in list(report)[:6]] == [1, "2.13.0", 7, "quick", "cpu", 1.235]
    assert report["results"] == [RESULT.to_json()]


def test_results_are_in_the_order_of_their_ids_whoever_finished_first():
    ids = ["b.py::net::x", "a.py::net::y", "a.py::net::x"]
    report = read(example(*(replace(RESULT, nodeid=nodeid) for nodeid in ids)))
    assert [record["nodeid"] for record in report["results"]] == sorted(ids)


def test_numbers_that_json_cannot_hold_become_words():
    evidence = {"losses": [float("nan"), float("inf"), -float("inf")]}
    report = read(example(result(replace(SOFTMAX, evidence=evidence))))
    assert report["results"][0]["evidence"]["losses"] == ["nan", "inf", "-inf"]


def test_a_record_that_was_not_made_plain_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(report_of([{"nodeid": "a", "loss": float("nan")}], **NOTHING))


def test_an_empty_report_is_a_report():
    assert read(report_of([], **NOTHING))["results"] == []


def test_letters_of_any_script_survive(tmp_path: Path):
    path = tmp_path / "out.json"
    write_whole(path, json_text(report_of([{"nodeid": "größe.py::модель"}], **NOTHING)))
    assert json.loads(path.read_text(encoding="utf-8"))["results"] == [{"nodeid": "größe.py::модель"}]


def test_a_path_that_is_no_unicode_survives(tmp_path: Path):
    # Python hands such a path over with lone surrogates, which UTF-8 cannot encode but JSON can escape.
    path = tmp_path / "out.json"
    write_whole(path, json_text(report_of([{"nodeid": "\udcff.py"}], **NOTHING)))
    assert json.loads(path.read_text(encoding="utf-8"))["results"] == [{"nodeid": "\udcff.py"}]


# The published schema


def test_a_report_of_every_outcome_validates():
    assert {one.outcome for one in RESULTS} == set(SCHEMA["$defs"]["outcome"]["enum"])
    assert errors(read(example())) == []


def test_a_proof_that_is_not_finite_validates():
    assert SOFTMAX.proof is not None
    broken = replace(SOFTMAX, proof=replace(SOFTMAX.proof, as_written=float("inf"), steps=None))
    assert errors(read(example(result(broken)))) == []


@pytest.mark.parametrize("path", [(), ("results", 0), ("results", 0, "passes"), ("results", 0, "proof")])
def test_a_key_that_is_not_known_does_not_validate(path: tuple[Any, ...]):
    report = read(example(RESULT))
    place = report
    for key in path:
        place = place[key]
    place["measurd"] = "?"
    assert errors(report)


@pytest.mark.parametrize("key", RESULT.to_json())
def test_a_key_that_is_missing_does_not_validate(key: str):
    report = read(example(RESULT))
    del report["results"][0][key]
    assert errors(report)


@pytest.mark.parametrize("key", ["evidence", "counterexample"])
def test_what_a_check_measures_is_its_own(key: str):
    report = read(example(RESULT))
    report["results"][0][key]["anything"] = [1, {"at": None}]
    assert errors(report) == []
