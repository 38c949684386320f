"""The three works, all subjects in turn, and the result as plain data."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.corpus import TASKS, plain, read, score, write
from benchmarks.peers.goals import goals
from benchmarks.peers.loops import Loop
from benchmarks.peers.own import CPU, DTYPES, Hiermtl, bare_annotation, bare_training
from benchmarks.peers.process import SubjectError
from benchmarks.peers.subjects import BARE, Given, Peer, Subject
from benchmarks.speed.subjects import Corpus
from benchmarks.timing import matrix_peak
from hiermtl.pretrained.encoders import find_encoder

WORKS = ("annotate", "epoch", "accuracy")
EPOCH_TASKS = ("upos", "ner", "dep")
"""What an epoch is of, where a subject can do it; hiermtl is also measured with all four."""
ACCURACY_TASKS = ("upos", "dep")
REFERENCE = "hanlp"
"""The peer whose epoch gives the time for scores."""
SPARE = 0.95
"""The share of the time that whole epochs are to fill."""

Say = Callable[[str], object]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run measures.

    `sentences` of dev are annotated (`None`: all), `train_sentences` of train make an epoch
    (`None`: all), the first `accuracy_sentences` are trained on for scores in the same time, with
    `seeds` seeds. Subjects that have to be trained before they annotate are, on `brief` sentences,
    for one epoch. `budget` are seconds for scores where the reference gives none. A request to a
    peer may take `limit` seconds, and a peer `memory` bytes of addresses.
    """

    data: str
    environments: str
    encoder: str
    works: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    sentences: int | None
    train_sentences: int | None
    accuracy_sentences: int
    brief: int
    seeds: int
    epoch_tasks: tuple[str, ...]
    budget: float | None
    threads: int
    limit: float
    memory: int


def measure(
    options: Options, say: Say, keep: Callable[[dict[str, Any]], object] = lambda _: None
) -> dict[str, Any]:
    """Starts everyone, does the works, and gives the result as plain data for JSON.

    `keep` is given what is known after each work.
    """
    torch.set_num_threads(options.threads)
    needed = [options.brief]
    if "accuracy" in options.works:
        needed.append(options.accuracy_sentences)
    most = None
    if options.train_sentences is not None or "epoch" not in options.works:
        most = max([options.train_sentences or 0, *needed])
    corpus = read(Path(options.data), train=most, dev=options.sentences)
    loads = [facts.load()]
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, Run(options, corpus, Path(folder), say) as run:
        works: dict[str, list[Row]] = {}
        for work in options.works:
            say(work)
            works[work] = list(getattr(run, work)())
            result = run.result(works, [*loads, facts.load()])
            keep(result)
    return result


class Turns:
    """Rows of a work, whose subjects take turns; one that fails is left out from then on."""

    def __init__(self, say: Say) -> None:
        """Takes what is told of progress."""
        self.say = say
        self.entrants: list[tuple[Row, Callable[[Row], float]]] = []

    def enter(
        self,
        row: Row,
        run: Callable[[Row], float],
        *,
        prepare: Callable[[Row], object] = lambda _: None,
    ) -> None:
        """Adds one, whose `run` gives seconds; `prepare` is called at once."""
        if row["failed"] is None:
            with noted(row, self.say):
                prepare(row)
        self.entrants.append((row, run))

    def take(self, rounds: int, *, between: Callable[[], object]) -> list[Row]:
        """The rows, after so many rounds, each of which begins with another one."""
        for number in range(rounds):
            between()
            first = number % max(len(self.entrants), 1)
            for row, run in (*self.entrants[first:], *self.entrants[:first]):
                if row["failed"] is None:
                    with noted(row, self.say):
                        row["seconds"].append(run(row))
            self.say(f"round {number + 1} of {rounds}")
        return [row for row, _ in self.entrants]


@contextmanager
def noted(row: Row, say: Say) -> Iterator[None]:
    """What a subject fails of goes to its row, and the run goes on."""
    try:
        yield
    except (SubjectError, ValueError) as error:
        row["failed"] = str(error)
        say(f"{row['subject']}: {error}")


class Run:
    """The subjects, started once for all works."""

    def __init__(self, options: Options, corpus: Corpus, folder: Path, say: Say) -> None:
        """Writes the sentences that all read, and makes the subjects."""
        self.options, self.corpus, self.say = options, corpus, say
        encoder = find_encoder(options.encoder)
        given = Given(
            train=folder / "train.jsonl",
            dev=folder / "dev.jsonl",
            encoder=encoder,
            threads=options.threads,
            environments=Path(options.environments).resolve(),
            limit=options.limit,
            memory=options.memory,
        )
        write(corpus.train, given.train)
        write(corpus.dev, given.dev)
        train, self.gold = ([plain(s) for s in split] for split in (corpus.train, corpus.dev))
        self.own = Hiermtl(options.encoder, corpus)
        best = self.own.precision
        self.loops = [
            Loop(ordered=ordered, precision=p, encoder=encoder, train=train, dev=self.gold)
            for ordered, p in ((True, "fp32"), (False, best))
        ]
        self.peers = {name: Peer(PEERS[name], name, given) for name in options.peers}
        self.everyone: list[Subject] = [self.own, *self.loops, *self.peers.values()]
        self.failed: dict[str, str] = {}
        self.peaks: list[float] = []

    def __enter__(self) -> "Run":
        for subject in self.everyone:
            self.say(f"starting {subject.about.name}")
            try:
                subject.start()
            except SubjectError as error:
                self.failed[subject.about.name] = str(error)
                self.say(f"{subject.about.name}: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        for subject in self.everyone:
            subject.close()

    def result(self, works: dict[str, list[Row]], loads: list[float | None]) -> dict[str, Any]:
        """What the works so far gave, and what it depends on."""
        options, precision = asdict(self.options), self.own.precision
        return {
            "benchmark": "peers",
            "machine": facts.machine(CPU),
            "commit": facts.commit(),
            "load": loads,
            "parameters": {k: v for k, v in options.items() if k not in ("data", "environments")},
            "precision": precision,
            "corpus": self.sizes(),
            "subjects": [self.described(subject) for subject in self.everyone],
            "peaks": {precision: self.peaks},
            "works": works,
            "goals": [goal.plain() for goal in goals(works, precision=precision)],
        }

    def sizes(self) -> dict[str, int]:
        """How much there is."""
        train = self.corpus.train
        epoch, accuracy = train[: self._epoch_count], train[: self.options.accuracy_sentences]
        return {
            "sentences": len(self.gold),
            "words": _words(self.corpus.dev),
            "train_sentences": len(epoch),
            "train_words": _words(epoch),
            "accuracy_sentences": len(accuracy),
            "accuracy_words": _words(accuracy),
        }

    def described(self, subject: Subject) -> dict[str, Any]:
        """What has to be known of a subject, its versions, and whether it could be started."""
        return {
            **asdict(subject.about),
            "versions": subject.versions,
            "memory": subject.memory,
            "failed": self.failed.get(subject.about.name),
        }

    def annotate(self) -> list[Row]:
        """Words of dev to results; models are trained briefly before, if they are not kept."""
        turns, own, brief = Turns(self.say), self.own, self.options.brief
        words = _words(self.corpus.dev)
        self.say(f"{own.about.name}: a model to annotate with")
        own.briefly(TASKS, brief)
        bare, operations = bare_annotation(own, TASKS)
        row = self._bare(words) | {"operations": operations}
        turns.enter(row, lambda _: bare(), prepare=lambda _: bare())
        for tasks in self._task_sets(TASKS):
            turns.enter(self._row(own, tasks, words), self._annotate, prepare=self._score)

        def prepare(row: Row) -> None:
            self.say(f"{row['subject']}: a model to annotate with")
            self._named(row["subject"]).briefly(row["tasks"], brief)
            self._score(row)

        for subject, tasks in self._others(TASKS):
            turns.enter(self._row(subject, tasks, words), self._annotate, prepare=prepare)
        return turns.take(self.options.rounds, between=self._peak)

    def epoch(self) -> list[Row]:
        """One epoch from the pretrained encoder; scores are of the last round's model."""
        turns, count, wanted = Turns(self.say), self._epoch_count, self.options.epoch_tasks
        words = _words(self.corpus.train[:count])
        bare, operations = bare_training(self.own, TASKS, count)
        turns.enter(self._bare(words) | {"operations": operations}, lambda _: bare())
        for tasks in dict.fromkeys([*self._task_sets(wanted), TASKS]):
            turns.enter(self._row(self.own, tasks, words), self._train)
        for subject, tasks in self._others(wanted):
            turns.enter(self._row(subject, tasks, words), self._train)
        return turns.take(self.options.rounds, between=self._peak)

    def accuracy(self) -> list[Row]:
        """Scores of as many epochs as the reference takes time for one; at least one epoch."""
        options = self.options
        words = _words(self.corpus.train[: options.accuracy_sentences])
        subjects: list[Subject] = [self.peers[REFERENCE]] if REFERENCE in self.peers else []
        subjects += [s for s in self.everyone if s not in subjects]
        rows = []
        for subject in subjects:
            row = self._row(subject, _common(ACCURACY_TASKS, subject), words)
            rows.append((subject, row | {"runs": [], "epochs": 1}))
        known: dict[str, int] = {}
        for seed in range(options.seeds):
            budget, told = options.budget, "given"
            for subject, row in rows:
                row["reference"] = told
                if row["failed"] is not None:
                    continue
                if budget is None and subject is not self.peers.get(REFERENCE):
                    row["failed"] = f"{PEERS[REFERENCE].name} gave no time; give --budget"
                    continue
                with noted(row, self.say):
                    self._run(subject, row, seed, budget, known)
                    if subject is self.peers.get(REFERENCE):
                        budget, told = row["runs"][-1]["seconds"], subject.about.name
                        row["runs"][-1]["budget"] = budget
            self.say(f"seed {seed + 1} of {options.seeds}")
        return [row for _, row in rows]

    def _run(
        self,
        subject: Subject,
        row: Row,
        seed: int,
        budget: float | None,
        known: dict[str, int],
    ) -> None:
        """One run; the first tells how long an epoch is, and is the run if no second one fits."""
        count, tasks = self.options.accuracy_sentences, row["tasks"]
        name = subject.about.name
        epochs = known.get(name, 1)
        seconds = subject.train(tasks, count=count, epochs=epochs, seed=seed)
        reference = subject is self.peers.get(REFERENCE)
        if name not in known:
            known[name] = 1 if reference or budget is None else fitting(seconds, budget)
            if known[name] > 1:
                epochs = known[name]
                seconds = subject.train(tasks, count=count, epochs=epochs, seed=seed)
        _, layers = subject.annotate(tasks, predictions=True)
        row["epochs"] = epochs
        scores = score(self.gold, layers or {})
        row["runs"].append({"seed": seed, "seconds": seconds, "budget": budget, "scores": scores})

    @property
    def _epoch_count(self) -> int:
        return self.options.train_sentences or len(self.corpus.train)

    def _peak(self) -> None:
        self.peaks.append(matrix_peak(DTYPES[self.own.precision], CPU))

    def _row(self, subject: Subject, tasks: Sequence[str], words: int) -> Row:
        name = subject.about.name
        row = new_row(name, subject.about.kind, tasks, words)
        return row | {"failed": self.failed.get(name)}

    def _bare(self, words: int) -> Row:
        """It does no task, but is of the size that all four need."""
        return new_row(f"bare encoder, flat, {self.own.precision}", BARE, TASKS, words)

    def _named(self, name: str) -> Subject:
        return next(subject for subject in self.everyone if subject.about.name == name)

    def _task_sets(self, wanted: Sequence[str]) -> list[tuple[str, ...]]:
        """What others do of these tasks, each set once: hiermtl does the same."""
        return list(dict.fromkeys(tasks for _, tasks in self._others(wanted)))

    def _others(self, wanted: Sequence[str]) -> list[tuple[Subject, tuple[str, ...]]]:
        """All but hiermtl that can do some of these tasks, and which."""
        able = ((subject, _common(wanted, subject)) for subject in self.everyone[1:])
        return [(subject, tasks) for subject, tasks in able if tasks]

    def _annotate(self, row: Row) -> float:
        return self._named(row["subject"]).annotate(row["tasks"], predictions=False)[0]

    def _score(self, row: Row) -> None:
        """A pass that is not timed, with its predictions scored."""
        _, layers = self._named(row["subject"]).annotate(row["tasks"], predictions=True)
        row["scores"] = score(self.gold, layers or {})

    def _train(self, row: Row) -> float:
        """Another seed in each round; the model of the last one is scored."""
        number, subject = len(row["seconds"]), self._named(row["subject"])
        seconds = subject.train(row["tasks"], count=self._epoch_count, epochs=1, seed=number)
        if number + 1 == self.options.rounds:
            self._score(row)
        return seconds


def new_row(subject: str, kind: str, tasks: Sequence[str], words: int) -> Row:
    """A row before anything was measured."""
    return {
        "subject": subject,
        "kind": kind,
        "tasks": list(tasks),
        "words": words,
        "seconds": [],
        "scores": {},
        "failed": None,
    }


def fitting(epoch: float, budget: float) -> int:
    """How many epochs of so many seconds fit, with a little to spare; at least one."""
    return max(1, int(SPARE * budget / epoch))


def _words(sentences: Sequence[Any]) -> int:
    return sum(len(sentence.words) for sentence in sentences)


def _common(tasks: Sequence[str], subject: Subject) -> tuple[str, ...]:
    """Those of the tasks that a subject can do."""
    return tuple(task for task in tasks if task in subject.about.tasks)
