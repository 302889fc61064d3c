"""Fine-tuning of the two towers: the only package under ranker/ that imports torch and transformers."""
