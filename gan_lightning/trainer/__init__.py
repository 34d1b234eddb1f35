"""Devices, precision, processes and compilation: the settings of conf/trainer."""
