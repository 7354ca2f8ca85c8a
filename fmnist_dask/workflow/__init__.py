"""Workflows: what a YAML file may say, the steps it can use, and the runner that carries it out.

``model`` and ``load`` validate, ``registry`` finds steps, ``steps/`` holds one module for each family, ``runner`` fuses
their scans into passes, ``rundir`` and ``publish`` keep what a run leaves behind.
"""
