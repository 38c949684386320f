"""What the joint many-task model gains, mechanism by mechanism, beside honest controls."""
