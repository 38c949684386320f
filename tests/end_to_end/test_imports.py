"""What the model, the loop and prediction need of other packages."""

import subprocess
import sys

from tests.end_to_end.program import environment

HEAVY = ("spacy", "datasets", "pydantic", "peft", "torchjd")
LIGHT = ("hiermtl.model", "hiermtl.training", "hiermtl.annotation.predict")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )


def test_model_loop_and_prediction_import_none_of_the_heavy_packages() -> None:
    found = python(
        f"import sys\nimport {', '.join(LIGHT)}\nprint(sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_they_import_where_the_heavy_packages_cannot_be() -> None:
    found = python(
        f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\n"
        f"import {', '.join(LIGHT)}\nprint('there')"
    )
    assert found.stdout.strip() == "there", found.stderr


def test_a_blocked_package_would_be_noticed() -> None:
    """The control."""
    found = python(
        f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\nimport hiermtl.recipe"
    )
    assert found.returncode == 1
    assert "pydantic" in found.stderr


def test_few_shapes_are_remembered_unless_the_user_says_how_many() -> None:
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    code = f"import os, hiermtl\nprint([os.environ[name] for name in {names}])"
    assert python(code).stdout == "['64', '64']\n"
    for name in names:
        found = python(f"import os\nos.environ[{name!r}] = '7'\n" + code).stdout
        assert found == f"{[('7' if other == name else '64') for other in names]}\n"


def test_the_package_itself_imports_no_torch() -> None:
    found = python(
        "import sys, hiermtl\n"
        f"print(sorted({{'torch', 'transformers', *{HEAVY!r}}} & set(sys.modules)))"
    )
    assert (found.stdout.strip(), found.stderr) == ("[]", "")
