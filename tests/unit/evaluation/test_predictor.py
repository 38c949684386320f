"""What evaluation knows of a head, and what importing it costs."""

import subprocess
import sys

from hiermtl.evaluation import HeadInfo
from hiermtl.heads import BiaffineHead, CrfHead, TaggingHead


def test_what_is_to_be_known_of_a_head_is_read_from_it() -> None:
    assert HeadInfo.of(TaggingHead(4, ["A", "B"])) == HeadInfo("tagging", "tags", ("A", "B"))
    labels = ["O", "B-X", "I-X"]
    assert HeadInfo.of(CrfHead(4, labels)).bio
    assert not HeadInfo.of(CrfHead(4, labels, bio=False)).bio
    tree = HeadInfo.of(BiaffineHead(4, ["det", "root"]), "edep")
    assert (tree.kind, tree.layer, tree.column) == ("biaffine", "tree", "edep")


def test_importing_evaluation_brings_neither_torch_nor_pandas_nor_spacy() -> None:
    code = "import sys, hiermtl.evaluation; print({'torch', 'pandas', 'spacy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")
