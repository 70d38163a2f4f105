"""When it runs: engines, data, the training loop, checkpoints, metrics."""
