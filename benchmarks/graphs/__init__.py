"""Graphs in ONNX beside the models they were made of."""
