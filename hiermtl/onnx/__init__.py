"""Models as ONNX graphs: written, and run by ONNX Runtime."""

from hiermtl.onnx.folder import Written, export_model
from hiermtl.onnx.graph import exportable
from hiermtl.onnx.running import Running

__all__ = ["Running", "Written", "export_model", "exportable"]
