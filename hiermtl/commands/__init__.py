"""What the command line does, as Python functions.

Builders that read recipes live here and nowhere else.
"""

from hiermtl.annotation import Annotator, load
from hiermtl.commands.annotate import annotate
from hiermtl.commands.benchmark import benchmark
from hiermtl.commands.check import check
from hiermtl.commands.compare import compare
from hiermtl.commands.demo import demo
from hiermtl.commands.evaluate import evaluate
from hiermtl.commands.exits import Exits, exits
from hiermtl.commands.export import export
from hiermtl.commands.extend import extend
from hiermtl.commands.grid import grid
from hiermtl.commands.probe import Probed, make_folder, probe
from hiermtl.commands.report import Report, report
from hiermtl.commands.run_folder import Run
from hiermtl.commands.sample import sample
from hiermtl.commands.train import train
from hiermtl.recipe import copy_recipe, recipe_names, schema, show_recipe

__all__ = [
    "Annotator",
    "Exits",
    "Probed",
    "Report",
    "Run",
    "annotate",
    "benchmark",
    "check",
    "compare",
    "copy_recipe",
    "demo",
    "evaluate",
    "exits",
    "export",
    "extend",
    "grid",
    "load",
    "make_folder",
    "probe",
    "recipe_names",
    "report",
    "sample",
    "schema",
    "show_recipe",
    "train",
]
