"""Edit scripts: how a word becomes its lemma, said so that it holds for other words too.

Source: Straka 2018 (UDPipe 2.0 prototype), section 3.2: casing, and the edits before and behind the
longest common part. Departs: casing is one of four words for the whole lemma, not a list of places;
of several equally short scripts the first in this order is taken. A script copies, deletes and
inserts characters; one that inserts many spells a word.
"""

from functools import lru_cache

CASES = {"l": str.lower, "=": str, "c": str.capitalize, "u": str.upper}
"""What happens to the word before it is edited: lower, as it is, capitalised, upper."""

COPY, DELETE, INSERT, BAR = "→", "-", "+", "|"

_CACHED = 8_000


@lru_cache(maxsize=_CACHED)
def edit_script(word: str, lemma: str) -> str:
    """The shortest script that makes the lemma of the word: case, edits in front, edits at the end.

    `apply_edits(word, edit_script(word, lemma)) == lemma` for all texts.
    """
    for case, change in CASES.items():
        if change(word) == lemma:  # no script is shorter
            return f"{case}{BAR}{BAR}"
    found: str | None = None
    for case, change in CASES.items():
        start, length, at = _common(changed := change(word), lemma)
        before = _edits(changed[:start], lemma[:at])
        behind = _edits(changed[start + length :], lemma[at + length :])
        script = f"{case}{BAR}{before}{BAR}{behind}"
        if found is None or len(script) < len(found):
            found = script
    assert found is not None
    return found


@lru_cache(maxsize=_CACHED)
def apply_edits(word: str, script: str) -> str:
    """The word edited; a word too short for the script only has its case changed."""
    changed = CASES[script[0]](word)
    before, behind = _parts(script)
    front, back = _consumed(before), _consumed(behind)
    if front + back > len(changed):
        return changed
    last = len(changed) - back
    return _apply(changed[:front], before) + changed[front:last] + _apply(changed[last:], behind)


def inserted(script: str) -> int:
    """How many characters the script adds to a word."""
    return sum(step == INSERT for edits in _parts(script) for step, _ in _steps(edits))


def _common(word: str, lemma: str) -> tuple[int, int, int]:
    """The first longest common part: its place in the word, its length, its place in the lemma."""
    best = (0, 0, 0)
    row = [0] * (len(lemma) + 1)
    for i, character in enumerate(word, 1):
        diagonal = 0
        for j, other in enumerate(lemma, 1):
            above = row[j]
            row[j] = diagonal + 1 if character == other else 0
            if row[j] > best[1]:
                best = (i - row[j], row[j], j - row[j])
            diagonal = above
    return best


def _edits(source: str, target: str) -> str:
    """A shortest list of copies, deletions and insertions, as text."""
    rows = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for i in range(len(source) + 1):
        for j in range(len(target) + 1):
            if not i or not j:
                rows[i][j] = i + j
            else:
                rows[i][j] = 1 + min(rows[i - 1][j], rows[i][j - 1])
                if source[i - 1] == target[j - 1]:
                    rows[i][j] = min(rows[i][j], rows[i - 1][j - 1])
    steps: list[str] = []
    i, j = len(source), len(target)
    while i or j:
        if i and j and source[i - 1] == target[j - 1] and rows[i][j] == rows[i - 1][j - 1]:
            steps.append(COPY)
            i, j = i - 1, j - 1
        elif j and rows[i][j] == rows[i][j - 1] + 1:
            steps.append(INSERT + target[j - 1])
            j -= 1
        else:
            steps.append(DELETE)
            i -= 1
    return "".join(reversed(steps))


def _parts(script: str) -> tuple[str, str]:
    """The edits in front and at the end; what follows a `+` is a character, a bar too."""
    at = 2
    while script[at] != BAR:
        at += 2 if script[at] == INSERT else 1
    return script[2:at], script[at + 1 :]


def _steps(edits: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    while at < len(edits):
        step = edits[at]
        found.append((step, edits[at + 1] if step == INSERT else ""))
        at += 2 if step == INSERT else 1
    return found


def _consumed(edits: str) -> int:
    return sum(step != INSERT for step, _ in _steps(edits))


def _apply(text: str, edits: str) -> str:
    out: list[str] = []
    characters = iter(text)
    for step, inserted in _steps(edits):
        if step == INSERT:
            out.append(inserted)
        else:
            character = next(characters)
            if step == COPY:
                out.append(character)
    return "".join(out)
