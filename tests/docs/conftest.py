"""spaCy's entry points are those of what is installed, and pages are run of what stands here."""

import hiermtl.component  # noqa: F401
