"""Files and documents to `Sentence` records, and back."""
