"""A feature of each word, predicted for the sake of the layers below: a hint.

Source: Abu-Mostafa 1990 (Learning from hints in neural networks), in the form of Ruder 2017 (An
Overview of Multi-Task Learning in Deep Neural Networks), section 7: where a feature is hard to
learn by the task alone, predicting it is an auxiliary task. Yu and Jiang 2016 predict whether a
sentence has a sentiment word; here a hint is a label of each word (`hiermtl.text.hints`). Shapes
and units: those of the tagging head.
"""

from hiermtl.heads.tagging import TaggingHead


class HintHead(TaggingHead):
    """Labels that are computed from the words."""

    kind = "hint"
