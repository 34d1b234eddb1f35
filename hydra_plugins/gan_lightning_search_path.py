"""Folders of one's own before conf/, where Hydra looks for plugins."""

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from gan_lightning.utils.config_dirs import named_config_dirs


class OwnFoldersFirst(SearchPathPlugin):
    """Has the files of ``--config-dir`` and ``hydra.searchpath=`` replace those of the same names in conf/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed(named_config_dirs()):
            search_path.prepend("command-line", folder, SearchPathQuery(provider="main"))
