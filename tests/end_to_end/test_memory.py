"""How much memory a file needs does not depend on its length."""

import random
import subprocess
import sys
from itertools import count
from pathlib import Path
from string import ascii_lowercase

import pytest

PROGRAM = """
import sys
from pathlib import Path
from string import ascii_lowercase
import hiermtl
from hiermtl.annotation import annotate_files

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))

nlp = hiermtl.load("en_small")
nlp("A first sentence.")
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
before = status("VmRSS")
annotate_files(nlp, sys.argv[1], sys.argv[2])
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of memory")
def test_a_million_words_need_no_more_memory_than_a_hundred_thousand(
    data_folder: Path, tmp_path: Path
) -> None:
    found = []
    for words in (100_000, 1_000_000):
        source = tmp_path / f"{words}.txt"
        write(source, data_folder, words)
        target = tmp_path / "out.conllu"
        command = [sys.executable, "-c", PROGRAM, *map(str, (source, target))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(int(done.stdout))
        with target.open(encoding="utf-8") as lines:
            assert sum(line[:1].isdigit() for line in lines) >= words
    assert found[1] < 1.1 * found[0], found


def write(path: Path, data_folder: Path, words: int) -> None:
    """Real sentences, once more from the start, with other words, when they are used up."""
    texts = [
        line.removeprefix("# text = ")
        for treebank in ("ud_english_gum/en_gum-ud-train", "ud_english_ewt/en_ewt-ud-train")
        for line in (data_folder / f"{treebank}.conllu").read_text(encoding="utf-8").splitlines()
        if line.startswith("# text = ")
    ]
    assert texts
    random.Random(0).shuffle(texts)  # long sentences are as frequent in short files
    left = words
    with path.open("w", encoding="utf-8") as file:
        for round in count():
            for text in texts:
                # Words of a further round are new words, as further text would have, no longer and
                # of no other characters than those of the first.
                own = text if not round else " ".join(other(word, round) for word in text.split())
                file.write(f"{own}\n")
                left -= len(text.split())
                if left <= 0:
                    return


def other(word: str, by: int) -> str:
    """The word with another letter at its end."""
    last = word[-1].lower()
    if last not in ascii_lowercase:
        return word
    return word[:-1] + ascii_lowercase[(ascii_lowercase.index(last) + by) % 26]
