"""The networks for images once more, in PyTorch: functions of an image and of weights by name.

They are written from the papers and from the libraries that made them known, not from the specs;
only the names of the weights are those of the specs.
"""
