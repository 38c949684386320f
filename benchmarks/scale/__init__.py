"""What training costs on many graphics processors: constants measured, the rest by formula."""
