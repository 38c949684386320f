"""The report of a run: one page of HTML, and its pictures as files.

Facts come from the run's folder (`gather`); what needs a model or corpora is handed in.
"""

from hiermtl.reporting.facts import Facts, Rung, gather
from hiermtl.reporting.files import Drawn, pictures_of, refuse_file, write_pictures
from hiermtl.reporting.material import Material
from hiermtl.reporting.mistakes import KEPT, Mistakes, judges
from hiermtl.reporting.page import page

__all__ = [
    "KEPT",
    "Drawn",
    "Facts",
    "Material",
    "Mistakes",
    "Rung",
    "gather",
    "judges",
    "page",
    "pictures_of",
    "refuse_file",
    "write_pictures",
]
