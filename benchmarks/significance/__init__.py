"""How often the tests of `hiermtl compare` reject where nothing is to be found, and where it is."""
