"""What can be read at which depth of an encoder that stays as it is.

`states` runs it once and keeps the states of each word at each depth; `items` says what is read in
them; `probes` trains linear readers for all depths, mixes and seeds as one computation; `measures`
scores them; `results` makes of the scores a centre of gravity, an expected layer and a depth.
"""

from hiermtl.probing.results import Curve, ProbeReport
from hiermtl.probing.run import probe_task
from hiermtl.probing.states import FrozenEncoder, States, read_states

__all__ = ["Curve", "FrozenEncoder", "ProbeReport", "States", "probe_task", "read_states"]
