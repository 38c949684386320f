"""Sharing schemes: one published system a file, one row each in the table."""

from hiermtl.sharing.base import SHARED, Edit, Rate, Sharing
from hiermtl.sharing.hard import Hard
from hiermtl.sharing.joint_many import JointMany
from hiermtl.sharing.low_supervision import LowSupervision
from hiermtl.sharing.routes import Route, Routes, Stack
from hiermtl.sharing.single import Single

SHARING: dict[str, type[Sharing]] = {
    "hard": Hard,
    "joint_many": JointMany,
    "low_supervision": LowSupervision,
    "single": Single,
}

__all__ = ["SHARED", "SHARING", "Edit", "Rate", "Route", "Routes", "Sharing", "Stack"]
