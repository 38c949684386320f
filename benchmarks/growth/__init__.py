"""How cost grows with sentences, words in a sentence, tasks, labels and depth."""
