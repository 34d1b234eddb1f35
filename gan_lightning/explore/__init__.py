"""Samples of runs to be explored in a browser, `gan-explore`."""
