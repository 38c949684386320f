"""Words per second of a trained model beside a small pipeline of spaCy with the same tasks."""
