"""Speed, memory and agreement of the platform beside named peers; each module is run with ``python -m``."""
