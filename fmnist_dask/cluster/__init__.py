"""Clusters: what a cluster file says, and how a run gets a client from it."""
