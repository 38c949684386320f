"""What the model, the loop and prediction need of other packages."""

import pkgutil
import subprocess
import sys

import pytest

import hiermtl
from tests.end_to_end.program import environment

HEAVY = ("spacy", "datasets", "pydantic", "peft", "torchjd")
SHAPES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""What says for how many shapes products are kept ready."""

LIGHT = ("hiermtl.model", "hiermtl.training", "hiermtl.annotation.predict")


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in an environment that says nothing of shapes, as users' do."""
    said = (*SHAPES, "HIERMTL_SHAPES")
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={name: value for name, value in environment().items() if name not in said},
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
    code = f"import os, hiermtl\nprint([os.environ[name] for name in {SHAPES}])"
    training = "from hiermtl.shapes import TRAINING, keep_shapes\nkeep_shapes(TRAINING)\n"
    for count, begun in (("16", code), ("64", training + code)):
        assert python(begun).stdout == f"{[count, count]}\n"
        for name in SHAPES:
            found = python(f"import os\nos.environ[{name!r}] = '7'\n" + begun).stdout
            assert found == f"{[('7' if other == name else count) for other in SHAPES]}\n"


@pytest.mark.parametrize("users", [None, "7", "16"])
def test_a_process_begun_by_another_takes_none_of_its_numbers_for_a_users(
    users: str | None,
) -> None:
    """The one annotates, the other trains; a number of the user's stays in both, even if alike."""
    child = (
        "import os, hiermtl\nfrom hiermtl.shapes import TRAINING, keep_shapes\n"
        f"keep_shapes(TRAINING)\nprint([os.environ[name] for name in {SHAPES}])"
    )
    told = "" if users is None else f"import os\nos.environ[{SHAPES[0]!r}] = {users!r}\n"
    begun = f"import subprocess, sys, hiermtl\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert python(told + begun).stdout == f"{[users or '64', '64']}\n"


@pytest.mark.parametrize("call", ["train('nothing')", "extend('nothing', 'nothing')"])
def test_training_remembers_more_shapes(call: str) -> None:
    found = python(
        "import os, hiermtl\n"
        f"try:\n    hiermtl.{call}\nexcept hiermtl.HiermtlError:\n"
        "    print(os.environ['LRU_CACHE_CAPACITY'])"
    )
    assert found.stdout == "64\n"


def test_a_model_of_more_tasks_remembers_more_shapes() -> None:
    found = python(
        "import os, hiermtl\nnlp = hiermtl.load('en_small')\n"
        "print(len(nlp.tasks), os.environ['LRU_CACHE_CAPACITY'])"
    )
    tasks, shapes = map(int, found.stdout.split())
    assert shapes == 8 * tasks > 16


def test_the_package_itself_imports_no_torch() -> None:
    found = python(
        "import sys, hiermtl\n"
        f"print(sorted({{'torch', 'transformers', *{HEAVY!r}}} & set(sys.modules)))"
    )
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_no_module_hides_a_public_name() -> None:
    """A module that is imported takes the place of what the package offers under its name."""
    modules = {module.name for module in pkgutil.iter_modules(hiermtl.__path__)}
    assert {"model", "commands"} <= modules
    assert not modules & set(hiermtl.__all__)
