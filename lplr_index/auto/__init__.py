"""Training of ``auto``: what a user gets who gives bits and data and nothing else.

``recipe`` trains by given choices, ``choice`` makes the choices on held-out rows, ``shrinkage`` makes up for few rows.
"""

from lplr_index.auto.choice import choose
from lplr_index.auto.metrics import Metrics
from lplr_index.auto.recipe import Fit, Recipe, fit
from lplr_index.auto.shrinkage import with_unseen_directions

__all__ = ["Fit", "Metrics", "Recipe", "choose", "fit", "with_unseen_directions"]
