from __future__ import annotations

from pytest_logits.finding import passed
from pytest_logits.junit import properties_of
from tests.example_report import SOFTMAX, result


def test_a_finding_has_all_that_a_reader_needs():
    assert dict(properties_of(result(SOFTMAX, fix="return the scores"))) == {
        "logit_outcome": "failed",
        "logit_model": "net",
        "logit_check": "outputs_are_logits",
        "logit_cause": "softmax_before_cross_entropy",
        "logit_measured": "the lowest loss is 0.3270",
        "logit_expected": "below 0.2506",
        "logit_location": "models.py:16",
        "logit_fix": "return the scores",
        "logit_reproduce": "pytest --logit-checks 'conftest.py::net::outputs_are_logits'",
    }


def test_what_there_is_none_of_has_no_property():
    names = [name for name, _ in properties_of(result(passed("it is 4")))]
    assert names == ["logit_outcome", "logit_model", "logit_check", "logit_measured", "logit_reproduce"]
