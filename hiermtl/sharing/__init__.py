"""Sharing schemes: one published system a file, one row each in the table."""

from hiermtl.sharing.adaptive import Adaptive
from hiermtl.sharing.base import SHARED, Edit, Rate, Sharing
from hiermtl.sharing.cross_stitch import CrossStitch
from hiermtl.sharing.describe import describe
from hiermtl.sharing.hard import Hard
from hiermtl.sharing.hmtl import Hmtl
from hiermtl.sharing.joint_many import JointMany
from hiermtl.sharing.learned import Learned
from hiermtl.sharing.low_supervision import LowSupervision
from hiermtl.sharing.relationship import Relationship
from hiermtl.sharing.routes import Route, Routes, Stack
from hiermtl.sharing.single import Single
from hiermtl.sharing.sluice import Sluice
from hiermtl.sharing.soft_l2 import SoftL2
from hiermtl.sharing.soft_trace import SoftTrace

SHARING: dict[str, type[Sharing]] = {
    "adaptive": Adaptive,
    "cross_stitch": CrossStitch,
    "hard": Hard,
    "hmtl": Hmtl,
    "joint_many": JointMany,
    "learned": Learned,
    "low_supervision": LowSupervision,
    "relationship": Relationship,
    "single": Single,
    "sluice": Sluice,
    "soft_l2": SoftL2,
    "soft_trace": SoftTrace,
}

__all__ = ["SHARED", "SHARING", "Edit", "Rate", "Route", "Routes", "Sharing", "Stack", "describe"]
