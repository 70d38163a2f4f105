"""All examples, measured: their kernels on every GPU architecture, `weft verify`, training.

`python -m tests.zoo kernels`, `verify` or `train`; results go to `benchmarks/results/zoo.json` with
`--note`, and `python docs/zoo_page.py` makes docs/zoo.md of them.
"""
