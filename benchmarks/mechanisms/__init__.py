"""What each mechanism of the joint many-task model costs."""
