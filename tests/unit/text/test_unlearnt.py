"""What cannot be learnt is counted while sentences are read."""

from itertools import combinations

import numpy as np
import pytest

from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
)
from hiermtl.text.unlearnt import Unlearnt, crossing, sharing

WORDS = tuple("abcdefgh")


def told(*layers: dict[str, Layer]) -> tuple[str, ...]:
    unlearnt = Unlearnt()
    given = [Sentence(WORDS, own) for own in layers]
    assert list(unlearnt.watched(given)) == list(unlearnt.watched(given)) == given
    return unlearnt.lines()


def spans(*places: tuple[int, int]) -> tuple[Span, ...]:
    return tuple(Span(start, end, "x") for start, end in places)


def test_mentions_that_are_no_spans_are_counted() -> None:
    entity = Spans(spans((0, 2), (3, 4)))
    coref = Mentions((Span(0, 2, "1"), Span(3, 5, "1"), Span(6, 7, "2")))
    assert told({"entity": entity, "coref": coref}, {"entity": Spans(()), "coref": coref}) == (
        "coref: 5 of words that are no span of entity, neither learnt nor found from gold spans",
    )
    assert told({"entity": entity, "coref": Mentions(coref.mentions[:1])}) == ()
    assert told({"coref": coref}) == ()  # nothing says which spans there are


def test_mentions_in_two_clusters_are_counted() -> None:
    one = Span(0, 2, "1")
    assert told({"coref": Mentions((one, Span(0, 2, "2"), Span(4, 5, "1")))}) == (
        "coref: 1 mentions have the words of another one: of a place one cluster is learnt or "
        "found",
    )
    # The same places in another sentence are other words.
    assert told({"coref": Mentions((one,))}, {"coref": Mentions((Span(0, 2, "2"),))}) == ()


def test_spans_without_a_label_are_counted() -> None:
    entity = Spans((Span(0, 2, ""), Span(3, 4, "x"), Span(5, 6, "")))
    assert told({"entity": entity}) == (
        "entity: 2 spans have an empty label, which is learnt as one",
    )
    # A group needs none, nor do arguments and relations, which are refused without.
    assert told({"coref": Mentions((Span(0, 2, ""),))}) == ()


def test_spans_that_cross_are_counted() -> None:
    assert told({"entity": Spans(spans((0, 4), (3, 7), (4, 6), (0, 2)))}) == (
        "entity: 2 spans cross another one: of two that cross only one can be found",
    )
    assert told({"entity": Spans(spans((0, 4), (0, 4), (1, 3), (4, 7), (0, 8)))}) == ()


def test_arguments_that_share_words_are_counted() -> None:
    both = Frame(7, None, spans((0, 3), (2, 7)))
    nested = Frame(7, None, spans((0, 3), (1, 2), (4, 5)))
    apart = Frame(7, None, spans((0, 3), (3, 7)))
    text = "share words with another one of their predicate: one is learnt or found"
    assert told({"srl": Frames((both, apart))}) == (f"srl: 2 arguments {text}",)
    assert told({"srl": Frames((nested,))}) == (f"srl: 2 arguments {text}",)
    # Those of two predicates may.
    assert told({"srl": Frames((apart, Frame(6, None, spans((2, 5)))))}) == ()


def test_notes_are_of_the_tasks_of_their_layers() -> None:
    line = "1\ta\t_\t_\t_\t_\t_\t_\t_\tEntity=(e1[1/1]-person)"
    related = Relations((Relation((0, 1), (0, 1), "is"),))
    unlearnt = Unlearnt()
    list(unlearnt.watched([Sentence(("a",), {"relation": related}, lines=(line,))]))
    assert unlearnt.lines()[0].startswith("Entity= of 1 sentences is not read")
    assert unlearnt.lines()[1] == (
        "relation: 1 from words to themselves, not learnt, and missed in scores"
    )
    notes = unlearnt.notes({"pos": "upos", "things": "mention", "same": "coref", "re": "relation"})
    assert [note.partition(": ")[0] for note in notes] == ["things, same", "re"]
    assert notes[0].endswith(unlearnt.lines()[0])
    assert unlearnt.notes({"pos": "upos"}) == []


@pytest.mark.parametrize("seed", range(20))
def test_crossing_is_what_pairs_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    starts = random.integers(0, 8, 6).tolist()
    own = spans(*((start, start + int(random.integers(1, 6))) for start in starts))
    found, shared = set(), set()
    for (i, a), (j, b) in combinations(enumerate(own), 2):
        if a.start < b.start < a.end < b.end or b.start < a.start < b.end < a.end:
            found |= {i, j}
        if max(a.start, b.start) < min(a.end, b.end):
            shared |= {i, j}
    assert crossing(own) == len(found)
    assert sharing(own) == len(shared)
