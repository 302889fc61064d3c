"""Training data: (user, request, item, score) triples by whichever judge, on disk."""
