"""One edit script per word, each word on its own: lemmas of words never seen.

Source: Chrupała 2006 (Simple data-driven context-sensitive lemmatization); scripts as in
`hiermtl.text.edits`. Shapes and units: those of the tagging head, whose labels scripts are.
"""

from hiermtl.heads.tagging import TaggingHead


class EditsHead(TaggingHead):
    """Scripts as classes."""

    kind = "edits"
    layer = "edits"
