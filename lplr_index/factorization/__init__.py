"""Any matrix in fewer bytes, by the published methods: ``factorize(A, method)``.

::

    door ---> low_rank   "lplr", "lsvd", "dsvd", "nq"   A ~ L R: two factors of few bits (Saha et al. 2023)
         ---> with_q     "caldera", "lq-lora"           A ~ Q + L R (Saha et al. 2024; Guo et al. 2024)
         ---> integer    "qmf"                          A ~ w0 + w1 L R with integer factors (arXiv 2408.12691)
                |
              budgets    the rank that a number of bits pays for

         ---> lplr_index.hera   "hera", "qet"           pairs swapped, then product quantized (arXiv 2407.03637)
"""

from lplr_index.factorization.budgets import bits_with_q, rank_for_budget
from lplr_index.factorization.door import METHODS, Options, factorize
from lplr_index.factorization.low_rank import PUBLISHED

__all__ = ["METHODS", "PUBLISHED", "Options", "bits_with_q", "factorize", "rank_for_budget"]
