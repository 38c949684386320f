"""Annotation in one process, in several, and on Ray: from which size on each pays."""
