"""The workshop: trains small overtrained checkpoints, samples them, measures pass@k (wing)."""
