"""Trees under construction: nodes in surface order, each with its own syntactic head.

A node's place (before or after another node) and its head are kept apart, so that an extraposed
clause or a stranded preposition gives a non-projective tree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

_NO_COMMA_BEFORE = {",", ".", "?", "!", ";", ":"}


class Chunk:
    """One chunk; adjacent words with the same chunk object belong together."""

    def __init__(self, label: str) -> None:
        """Make a chunk with a label such as NP."""
        self.label = label


class Node:
    """A word of a tree under construction."""

    def __init__(
        self,
        form: str,
        upos: str,
        xpos: str,
        *,
        lemma: str = "",
        feats: str = "",
        role: str = "dep",
        chunk: Chunk | None = None,
    ) -> None:
        """Make a word; `lemma` defaults to the form, and `role` is the relation to its head."""
        self.form = form
        self.upos = upos
        self.xpos = xpos
        self.lemma = lemma or form
        self.feats = feats
        self.role = role
        self.chunk = chunk
        self.head: Node | None = None
        self.before: list[Node] = []
        self.after: list[Node] = []
        self.joined = False
        self.tight_before = False
        self.tight_after = False
        self.index = 0

    def lead(self, child: "Node", role: str = "", *, governor: "Node | None" = None) -> "Node":
        """Place a child before this node, after the children already there."""
        self.before.append(child)
        return self._take(child, role, governor=governor)

    def follow(self, child: "Node", role: str = "", *, governor: "Node | None" = None) -> "Node":
        """Place a child after this node, after the children already there."""
        self.after.append(child)
        return self._take(child, role, governor=governor)

    def _take(self, child: "Node", role: str, *, governor: "Node | None") -> "Node":
        child.head = governor or self
        child.role = role or child.role
        return child

    def walk(self) -> Iterator["Node"]:
        """Yield the nodes in surface order."""
        for child in self.before:
            yield from child.walk()
        yield self
        for child in self.after:
            yield from child.walk()


@dataclass(frozen=True)
class Mark:
    """A marked stretch of words: a mention of a participant, or a name.

    `source` is NAM, NOM or PRO, and NAME or INNER where only the words of a name or of one inside
    it are marked; `nodes` are these words. `kind` is the class of what is named: P, O, L, T, A, E.
    """

    label: str
    source: str
    referent: str
    head: Node
    nodes: tuple[Node, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Predicate:
    """A predicate with its sense and its arguments, as (role, node) pairs."""

    node: Node
    sense: str
    arguments: tuple[tuple[str, Node], ...]


@dataclass
class Sketch:
    """All that is known about a sentence before its words are numbered."""

    marks: list[Mark] = field(default_factory=list)
    predicates: list[Predicate] = field(default_factory=list)
    relations: list[tuple[str, Node, Node]] = field(default_factory=list)
    extraposed: list[tuple[Node, Node]] = field(default_factory=list)
    gaps: list[tuple[Node, Node, Node, Node]] = field(default_factory=list)


def punctuation(form: str) -> Node:
    """Return a punctuation mark with its spacing."""
    xpos = {",": ",", ";": ":", ":": ":", "-": ":", "(": "-LRB-", ")": "-RRB-"}.get(form, ".")
    node = Node(form, "PUNCT", xpos, role="punct")
    node.tight_before = form not in ("-", "(")
    node.tight_after = form == "("
    return node


def quote(*, opening: bool) -> Node:
    """Return a quotation mark."""
    node = Node('"', "PUNCT", "``" if opening else "''", role="punct")
    node.tight_after = opening
    node.tight_before = not opening
    return node


def ordered(root: Node) -> list[Node]:
    """Return the words in order, numbered from 1, without commas that meet other punctuation."""
    nodes = list(root.walk())
    kept: list[Node] = []
    for position, node in enumerate(nodes):
        following = nodes[position + 1].form if position + 1 < len(nodes) else "."
        if node.form == "," and (following in _NO_COMMA_BEFORE or not kept):
            continue
        kept.append(node)
    for index, node in enumerate(kept, start=1):
        node.index = index
    return kept
