"""Chunks from constituents: flat phrases of the kind of CoNLL-2000, read off bracketed trees.

Source: the conventions of Tjong Kim Sang and Buchholz 2000 (Introduction to the CoNLL-2000 shared
task), section 2, as a rule of our own over trees. Departs: a verb and the infinitive after it are
two chunks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hiermtl.errors import DataError
from hiermtl.text.brackets import brackets, unopened
from hiermtl.text.sentence import Origin

PHRASES = {
    "NP": "NP",
    "NX": "NP",
    "NML": "NP",
    "NAC": "NP",
    "QP": "NP",
    "WHNP": "NP",
    "VP": "VP",
    "PP": "PP",
    "WHPP": "PP",
    "ADVP": "ADVP",
    "WHADVP": "ADVP",
    "ADJP": "ADJP",
    "WHADJP": "ADJP",
    "SBAR": "SBAR",
    "PRT": "PRT",
    "INTJ": "INTJ",
    "CONJP": "CONJP",
    "LST": "LST",
    "UCP": "UCP",
}
"""The chunk that a constituent's own words form."""


@dataclass(eq=False, slots=True)
class Node:
    """A constituent: its label, what it is part of, and its parts: nodes, and places of words."""

    label: str
    parent: "Node | None" = None
    children: list["Node | int"] = field(default_factory=list)

    @property
    def chunk(self) -> str | None:
        """The type of chunk its own words form."""
        return PHRASES.get(self.label)


def read_tree(cells: Sequence[str], origin: Origin) -> tuple[Node, list[Node]]:
    """The tree of a column such as `(TOP(S(NP*`, `*)))`, and the node each word hangs from.

    Raises:
        DataError: Brackets do not balance.
    """
    root = node = Node("")
    leaves = []
    for place, cell in enumerate(cells):
        labels, closed = brackets(cell, place, origin)
        for label in labels:
            child = Node(label, node)
            node.children.append(child)
            node = child
        node.children.append(place)
        leaves.append(node)
        for _ in range(closed):
            if node.parent is None:
                raise unopened(cell, place, origin)
            node = node.parent
    if node is not root:
        raise DataError(
            f"the constituent {node.label!r} is never closed", origin.path, line=origin.line
        )
    return root, leaves


FLAT = {"ADJP", "ADVP", "NML", "QP", "NX", "NAC", "CONJP", "UCP", "WHADJP", "WHADVP"}
"""Constituents that belong to the chunk above them as long as they hold no other kind."""

CLAUSES = {"S", "SQ", "SINV", "SBARQ"}
GLUE = {",", ".", ":", "``", "''", "-LRB-", "-RRB-", "HYPH", "NFP", "CC"}
"""Parts of speech that are in a chunk only between two of its other words."""

QUOTES = {"``", "''"}
VERBAL = ("VB", "MD", "TO", "RB", "CC")
PAIRED = {"both", "either", "neither"}
NEGATIONS = {"not", "n't"}


def chunk_tags(
    cells: Sequence[str], parts_of_speech: Sequence[str], words: Sequence[str], origin: Origin
) -> tuple[str, ...]:
    """IOB2 tags of the chunks of a sentence.

    Args:
        cells: Each word's piece of the bracketed tree, such as `(TOP(S(NP*`.
        parts_of_speech: Penn tags.
        words: The forms.
        origin: Where the sentence stands, for errors.

    Raises:
        DataError: Brackets do not balance.
    """
    root, leaves = read_tree(cells, origin)
    return _Chunker(leaves, tuple(parts_of_speech), tuple(words)).tags(root)


class _Chunker:
    """Gives each word the constituent whose chunk it is in, and reads tags off runs of the same."""

    def __init__(
        self, leaves: list[Node], parts_of_speech: tuple[str, ...], words: tuple[str, ...]
    ) -> None:
        self.pos, self.words = parts_of_speech, words
        self.owners: list[Node | None] = [None] * len(words)
        self.kinds: list[str | None] = [None] * len(words)
        self.opens: set[int] = set()
        for place, node in enumerate(leaves):
            self._own(place, node)

    def tags(self, root: Node) -> tuple[str, ...]:
        self._absorb(root)
        for place, owner in enumerate(self.owners):
            if owner is not None and owner.label == "VP":
                self.owners[place] = _outermost(owner)
        out: list[str] = []
        before: Node | None = None
        for place, owner in enumerate(self.owners):
            kind = self.kinds[place]
            if owner is None or kind is None or self._loose(place):
                out.append("O")
                before = None
                continue
            goes_on = owner is before and place not in self.opens
            if kind == "VP" and self.pos[place] == "RB" and not goes_on:
                # An adverb before the verb is a chunk of its own.
                out.append("B-ADVP")
                before = None
                continue
            out.append(f"{'I' if goes_on else 'B'}-{kind}")
            before = owner
        return tuple(out)

    def _own(self, place: int, node: Node) -> None:
        """The constituent the word hangs from, if that has chunks."""
        pos = self.pos[place]
        if node.chunk == "VP" and not pos.startswith(VERBAL):
            return
        if node.chunk is not None:
            self._give(place, node, node.chunk)
        elif node.label in CLAUSES and (
            pos.startswith(("VB", "MD")) or (pos == "RB" and self.words[place] in NEGATIONS)
        ):
            self._give(place, node, "VP")
        parent = node.parent
        if pos == "POS" and node.chunk == "NP" and parent is not None and parent.chunk == "NP":
            self._give(place, parent, "NP")
            self.opens.add(place)

    def _give(self, place: int, node: Node, kind: str | None) -> None:
        self.owners[place], self.kinds[place] = node, kind

    def _absorb(self, node: Node) -> None:
        """Lets chunks take in what stands inside them, innermost first."""
        for child in node.children:
            if isinstance(child, Node):
                self._absorb(child)
        for at, child in enumerate(node.children):
            if isinstance(child, Node) and self._takes(node, child, at):
                for place in _places(child):
                    self._give(place, node, node.chunk)

    def _takes(self, node: Node, child: Node, at: int) -> bool:
        before, after = node.children[:at], node.children[at + 1 :]
        own_after = [place for place in after if isinstance(place, int)]
        match node.chunk:
            case "NP":
                if child.label == "ADVP":
                    heads = (p for p in own_after if self.pos[p] not in GLUE | {"POS"})
                    return _flat(child) and any(True for _ in heads)
                return child.label in FLAT - {"CONJP"} and _flat(child)
            case "ADJP" | "ADVP":
                return child.label in FLAT and _flat(child)
            case "VP":
                verb = any(
                    isinstance(p, int) and self.pos[p][:1] in ("V", "M", "T") for p in before
                )
                more = any(isinstance(other, Node) and other.label == "VP" for other in after)
                return child.label == "ADVP" and verb and more
            case "PP" | "SBAR":
                leads = not any(isinstance(place, int) for place in before)
                return child.label == "ADVP" and leads and bool(own_after)
            case _:
                return False

    def _loose(self, place: int) -> bool:
        """Whether punctuation or a conjunction stands outside the chunk it hangs from."""
        if self.pos[place] not in GLUE or self.kinds[place] == "CONJP":
            return False
        owner, kind = self.owners[place], self.kinds[place]
        left, right = place - 1, place + 1
        while left >= 0 and self._glues(left, owner):
            left -= 1
        while right < len(self.pos) and self._glues(right, owner):
            right += 1
        held_right = right < len(self.pos) and self.owners[right] is owner
        if kind == "NP" and self.words[place].lower() in PAIRED and held_right:
            return right != place + 1
        held_left = left >= 0 and self.owners[left] is owner
        if self.pos[place] in QUOTES and held_left and self.pos[left] == "POS":
            return True
        return kind not in ("NP", "ADJP", "ADVP") or not (held_left and held_right)

    def _glues(self, place: int, owner: Node | None) -> bool:
        return self.pos[place] in GLUE and self.owners[place] is owner


def _places(node: Node) -> Iterator[int]:
    for child in node.children:
        if isinstance(child, Node):
            yield from _places(child)
        else:
            yield child


def _flat(node: Node) -> bool:
    return all(
        not isinstance(child, Node) or (child.label in FLAT and _flat(child))
        for child in node.children
    )


def _outermost(node: Node) -> Node:
    """The highest verb phrase whose first verb phrase this is, or holds."""
    while (parent := node.parent) is not None and parent.label == "VP":
        first = next(c for c in parent.children if isinstance(c, Node) and c.label == "VP")
        if first is not node:
            break
        node = parent
    return node
