"""CALDERA: a matrix as Q + L R, all three in few bits, fitted to the vectors it will be multiplied with.

Saha, Sagan, Srivastava, Goldsmith, Pilanci: Compressing Large Language Models using Low Rank and Low Precision
Decomposition (NeurIPS 2024). With the identity in place of the second moment of those vectors, and with factors that
are not quantized, the same alternation is that of LQ-LoRA (Guo, Greengard, Xing, Kim, ICLR 2024).

::

    plan ---> alternation ---> incoherence   rotate rows and columns at random
                  |
                  +--- L R:    regression    the best of its rank, then least squares against the other, rounded factor
                  |
                  +--- Q:      feedback      columns from last to first, each corrected for the errors already made
                                  |
                               lattice, grids    what numbers are rounded to
"""
