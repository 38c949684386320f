import re

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.write import SampleCorpus

UPOS = {
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "VERB",
}  # fmt: skip
PENN_OF_UPOS = {
    "NOUN": {"NN", "NNS"},
    "PROPN": {"NNP"},
    "VERB": {"VB", "VBD", "VBG", "VBN", "VBP", "VBZ"},
    "AUX": {"MD", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ"},
    "ADJ": {"JJ", "JJR", "JJS", "NNP"},
    "ADV": {"RB", "RBR", "RBS", "WRB"},
    "ADP": {"IN", "RP"},
    "PART": {"TO", "RB", "POS"},
    "NUM": {"CD"},
    "CCONJ": {"CC"},
    "SCONJ": {"IN"},
}


def test_every_level_has_one_label_a_word(sentences: list[Derivation]) -> None:
    for sentence in sentences:
        size = len(sentence.words)
        levels = (
            sentence.upos,
            sentence.xpos,
            sentence.feats,
            sentence.lemmas,
            sentence.heads,
            sentence.deprels,
            sentence.chunks,
            sentence.space_after,
        )
        assert {len(level) for level in levels} == {size}
        assert 1 <= size <= 45
        assert all(sentence.words)
        assert all(sentence.lemmas)
        assert set(sentence.upos) <= UPOS


def test_trees_have_one_root_and_no_cycle(sentences: list[Derivation]) -> None:
    for sentence in sentences:
        assert sentence.heads.count(0) == 1
        for head, role in zip(sentence.heads, sentence.deprels, strict=True):
            assert (head == 0) == (role == "root")
        for start in range(1, len(sentence.words) + 1):
            steps, word = 0, start
            while word:
                word = sentence.heads[word - 1]
                steps += 1
                assert steps <= len(sentence.words)


def test_punctuation_and_function_words_have_no_dependents(sentences: list[Derivation]) -> None:
    leaves = {"punct", "det", "mark", "aux", "aux:pass", "cop", "compound:prt", "expl", "cc"}
    for sentence in sentences:
        for head in sentence.heads:
            if head:
                assert sentence.deprels[head - 1] not in leaves, sentence.text


def test_relations_fit_the_parts_of_speech(sentences: list[Derivation]) -> None:
    expected = {
        "det": {"DET"},
        "case": {"ADP", "PART"},
        "punct": {"PUNCT"},
        "cc": {"CCONJ"},
        "aux": {"AUX"},
        "aux:pass": {"AUX"},
        "cop": {"AUX"},
        "nummod": {"NUM"},
        "amod": {"ADJ", "VERB"},
        "compound:prt": {"ADP"},
        "flat": {"PROPN"},
        "expl": {"PRON"},
    }
    for sentence in sentences:
        for upos, role in zip(sentence.upos, sentence.deprels, strict=True):
            if role in expected:
                assert upos in expected[role], (sentence.text, role, upos)


def test_tags_features_and_lemmas_agree(sentences: list[Derivation]) -> None:
    for sentence in sentences:
        rows = zip(
            sentence.words,
            sentence.upos,
            sentence.xpos,
            sentence.feats,
            sentence.lemmas,
            strict=True,
        )
        for word, upos, xpos, feats, lemma in rows:
            if upos in PENN_OF_UPOS:
                assert xpos in PENN_OF_UPOS[upos], (word, upos, xpos)
            names = [item.split("=")[0] for item in feats.split("|")] if feats else []
            assert names == sorted(set(names), key=str.lower)
            if xpos == "NNS":
                assert "Number=Plur" in feats
            if xpos == "VBD":
                assert "Tense=Past" in feats
                assert "VerbForm=Fin" in feats
            if xpos == "VBZ":
                assert "Number=Sing" in feats
            if upos == "PROPN":
                assert lemma[:1].isupper()
            if upos == "NOUN" and xpos == "NN":
                assert word.lower() == lemma.lower()


def test_chunks_are_valid_iob2(sentences: list[Derivation]) -> None:
    labels = {"NP", "VP", "PP", "ADVP", "ADJP", "SBAR", "PRT", "INTJ"}
    found = set()
    for sentence in sentences:
        previous = "O"
        for tag in sentence.chunks:
            if tag.startswith("I-"):
                assert previous[2:] == tag[2:], sentence.text
            found.add(tag[2:])
            previous = tag
    assert found - {""} == labels


def test_flat_entities_are_the_outermost_names(sentences: list[Derivation]) -> None:
    nested = 0
    for sentence in sentences:
        end = 0
        for entity in sentence.entities:
            assert entity.start >= end
            end = entity.end
            assert entity.label in ("PER", "ORG", "LOC")
            for position in range(entity.start, entity.end):
                assert sentence.chunks[position][2:] in ("NP", "PP")
                assert sentence.upos[position] in ("PROPN", "ADP", "CCONJ", "ADJ")
        names = [item for item in sentence.nested_entities if item.source == "NAM"]
        for item in names:
            outer = [e for e in sentence.entities if e.start <= item.start and item.end <= e.end]
            assert len(outer) == 1
        nested += len(names) - len(sentence.entities)
    assert nested > 50


def test_nested_entities_never_cross(sentences: list[Derivation]) -> None:
    for sentence in sentences:
        spans = [(item.start, item.end) for item in sentence.nested_entities]
        for a, b in spans:
            for c, d in spans:
                assert not a < c < b < d, sentence.text


def test_text_is_rebuilt_from_tokens(sentences: list[Derivation]) -> None:
    for sentence in sentences:
        multiword = {first: (last, form) for first, last, form in sentence.multiword_tokens}
        pieces, index = [], 1
        while index <= len(sentence.words):
            last, form = multiword.get(index, (index, sentence.words[index - 1]))
            pieces.append(form + (" " if sentence.space_after[last - 1] else ""))
            assert not any(sentence.space_after[index - 1 : last - 1])
            index = last + 1
        assert "".join(pieces).rstrip() == sentence.text
        assert not re.search(r" [,.?!;]|  ", sentence.text)


def test_roles_and_relations_point_at_words(sentences: list[Derivation]) -> None:
    relations: dict[str, int] = {}
    for sentence in sentences:
        size = len(sentence.words)
        for frame in sentence.roles:
            assert sentence.upos[frame.predicate] == "VERB"
            for argument in frame.arguments:
                assert 0 <= argument.start <= argument.head < argument.end <= size
        for relation in sentence.relations:
            relations[relation.label] = relations.get(relation.label, 0) + 1
            for start, end in (relation.head, relation.tail):
                assert 0 <= start < end <= size
    assert set(relations) == {
        "born-in", "employs", "founded", "leads", "located-in", "member-of", "owns", "parent-of",
        "works-for",
    }  # fmt: skip


def test_clusters_agree_in_gender(corpus: SampleCorpus) -> None:
    seen = 0
    for document in corpus.train:
        for cluster in document.clusters:
            assert len(cluster) > 1
            genders = set()
            for number, start, end in cluster:
                sentence = document.sentences[number]
                assert 0 <= start < end <= len(sentence.words)
                if end - start == 1 and sentence.upos[start] == "PRON":
                    found = re.search(r"Gender=(\w+)", sentence.feats[start])
                    genders.add(found.group(1) if found else "")
            assert len(genders) <= 1
            seen += 1
    assert seen > 300


def test_some_trees_are_not_projective(sentences: list[Derivation]) -> None:
    crossing = sum(_crosses(sentence) for sentence in sentences)
    assert 0.005 <= crossing / len(sentences) <= 0.03


def _crosses(sentence: Derivation) -> bool:
    arcs = [tuple(sorted((i, h))) for i, h in enumerate(sentence.heads, start=1) if h]
    return any(a < c < b < d for a, b in arcs for c, d in arcs)


def test_the_corpus_has_its_special_cases(sentences: list[Derivation]) -> None:
    forms = {form.lower() for s in sentences for _, _, form in s.multiword_tokens}
    clitics = {s.words[last - 1] for s in sentences for _, last, _ in s.multiword_tokens}
    assert {"don't", "won't"} <= forms
    assert {"n't", "'s", "'", "'d", "'re", "'ve", "'ll"} <= clitics
    assert any(sentence.empty_nodes for sentence in sentences)
    assert any("VERB" not in s.upos and "AUX" not in s.upos for s in sentences)
    roles = {role for sentence in sentences for role in sentence.deprels}
    assert {
        "acl", "acl:relcl", "advcl", "advmod", "amod", "appos", "aux", "aux:pass", "case", "cc",
        "ccomp", "compound", "compound:prt", "conj", "cop", "csubj", "det", "discourse", "expl",
        "flat", "iobj", "mark", "nmod", "nmod:poss", "nsubj", "nsubj:pass", "nummod", "obj", "obl",
        "obl:agent", "obl:tmod", "orphan", "parataxis", "punct", "root", "xcomp",
    } <= roles  # fmt: skip
