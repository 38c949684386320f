"""Low supervision: each task is read at the depth where it belongs, from one shared stack.

Source: Søgaard and Goldberg 2016, Deep multi-task learning with low level tasks supervised at lower
layers. Departs: batches may mix tasks, where the paper draws one task and one sentence
per update; any encoder. Shapes: one stream (units, width). Limits: all tasks at the top equal hard
sharing; one task equals a single-task model. A task's loss reaches the embedding, the blocks up to
its depth and its own head, and nothing else.
"""

from hiermtl.sharing.base import Sharing


class LowSupervision(Sharing):
    """Heads at set depths of one encoder."""

    name = "low_supervision"
    separable = True
