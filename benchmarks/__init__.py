"""Benchmarks: time and success of t2jax beside its peers, in one run."""
