"""Dynamics: slots of the latest frames to those of frames that nobody has seen."""
