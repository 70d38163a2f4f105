"""What small files of the tests hold, and the types they are read as."""

from __future__ import annotations

import numpy as np

FLOWERS = """length, width, colour, species
5.1,3.5,red,setosa
4.9,3.0,blue,setosa
6.3,2.5,red,virginica
5.5,2.3,green,versicolor
"""

X2, LABEL, VALUE = ["f32", ["B", 2]], ["i32", ["B"]], ["f32", ["B"]]

GREY = np.array([[0, 64, 128], [255, 200, 10]], np.uint8)
