import pytest
@pytest.mark.parametrize("i", range(3))
def test_a(repository, i):
    r = repository.runpytest_inprocess("--logit-checks", "--logit-profile=quick", "--logit-select=output_shape_is_stable")
    assert r.ret == 1
def test_b(repository):
    r = repository.runpytest_inprocess("--logit-checks")
    assert r.ret == 1
def test_c(repository):
    r = repository.runpytest_inprocess("--co","-q", "--logit-checks")
    assert r.ret == 0
def test_d(repository):
    r = repository.runpytest_inprocess("-n2", "--logit-checks", "--logit-select=outputs")
    assert r.ret == 1
