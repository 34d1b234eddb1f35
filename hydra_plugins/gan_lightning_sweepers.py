"""The sweepers of gan_lightning, where Hydra looks for plugins: conf/hydra/sweeper names them."""

from gan_lightning.sweeps import search, sweeper


class Grid(sweeper.Grid):
    """A job for each combination of values."""


class Search(search.Search):
    """Trials that Optuna draws."""
