"""The pytest entry point: options, and nothing else until ``--logit-checks`` is given.

This module is imported by every pytest run where the plugin is installed, so it imports neither torch, numpy nor
hypothesis, nor any module of ours that does.
"""

from __future__ import annotations

import pytest

pytest_plugins = ["pytest_logits.fixtures"]

# name, what --help says
SWITCHES = (
    ("checks", "check the registered PyTorch classifiers"),
    ("strict", "let advice fail"),
    ("controls", "check them, and report which of the known faults, planted in each, the checks catch"),
)
# name, what --help says, the ini twin's type, metavar
TEXT_OPTIONS = (
    ("seed", "the seed that all randomness of the checks is derived from (default: 0)", "N"),
    ("profile", "the budget: quick, standard or thorough (default: standard)", "NAME"),
    ("device", "where models and losses run, such as cuda or cuda:1 (default: cpu)", "DEV"),
    ("input_shape", "shape of one example for --logit-model, such as 3,32,32", "SHAPE"),
    ("classes", "number of classes for --logit-model", "K"),
)
LIST_OPTIONS = (
    ("select", "run only these checks or tags; comma-separated, repeatable", "NAMES"),
    ("ignore", "leave out these checks or tags; comma-separated, repeatable", "NAMES"),
    ("model", "check this model without a registration; repeatable", "pkg.mod:factory"),
    ("report", "write a JSON report to this file, by its ending .json; repeatable", "FILE"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the command line options and their twins in the ini file."""
    group = parser.getgroup("logits", "loss and logit checks of PyTorch classifiers")
    for name, what in SWITCHES:
        group.addoption(f"--logit-{name}", action="store_true", default=None, help=what)
        parser.addini(f"logit_{name}", what, type="bool", default=False)
    for name, what, metavar in TEXT_OPTIONS:
        group.addoption(f"--logit-{name.replace('_', '-')}", dest=f"logit_{name}", metavar=metavar, help=what)
        parser.addini(f"logit_{name}", what, default="")
    for name, what, metavar in LIST_OPTIONS:
        group.addoption(f"--logit-{name}", action="append", metavar=metavar, help=what)
        parser.addini(f"logit_{name}", what, type="args", default=[])
    group.addoption("--logit-list", action="store_true", help="list the checks and the causes they name, and exit")
    group.addoption("--logit-explain", metavar="NAME", help="explain one check or cause, and exit")
    parser.addini("logit_models", "modules that register models, imported before collection", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker always, the session with its torch only where the checks are wanted."""
    config.addinivalue_line("markers", "logit_checks: a check of a registered classifier (pytest-logits)")
    config.addinivalue_line(
        "markers", "logit_parametrize: what parametrize_with_checks leaves on a test (pytest-logits)"
    )
    wanted = config.getoption("logit_checks") or config.getoption("logit_controls")
    if config.getini("logit_checks") if wanted is None else wanted:
        from pytest_logits.session import LogitSession

        config.pluginmanager.register(LogitSession(config), "logits-session")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--logit-list`` and ``--logit-explain`` without a test session."""
    name: str | None = config.getoption("logit_explain")
    if not config.getoption("logit_list") and name is None:
        return None
    from pytest_logits.explain import explain, listing
    from pytest_logits.options import load_modules

    # They may declare checks.
    load_modules(config)
    print(listing() if name is None else explain(name))
    return 0
