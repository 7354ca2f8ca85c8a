"""Figures: pure functions from small arrays to Bokeh models."""
