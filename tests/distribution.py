"""Run by ``tox -e package``: the sdist and the wheel in a folder hold every file of the package in the checkout."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def modules() -> dict[str, Path]:
    """Every file that must be installed, by its path in the wheel."""
    package = (p for p in (ROOT / "pytest_logits").rglob("*") if p.is_file() and p.suffix != ".pyc")
    found = {p.relative_to(ROOT).as_posix(): p for p in package}
    found |= {f"pytest_logits/{p.relative_to(ROOT).as_posix()}": p for p in (ROOT / "strategies").rglob("*.py")}
    return found


def missing(folder: Path) -> list[str]:
    """What the distributions in ``folder`` lack, and what the wheel has too much."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    wanted = modules()
    return [
        *(f"wheel lacks {name}" for name in sorted(wanted.keys() - inside)),
        *(f"wheel has {name}" for name in sorted(inside - wanted.keys())),
        *(
            f"sdist lacks {p.relative_to(ROOT)}"
            for p in wanted.values()
            if p.relative_to(ROOT).as_posix() not in source
        ),
    ]


if __name__ == "__main__":
    problems = missing(Path(sys.argv[1]))
    print("\n".join(problems) or "wheel and sdist hold every file")
    sys.exit(bool(problems))
