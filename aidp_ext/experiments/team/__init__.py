"""Experiments of a team: who may see and change which, and what of MLflow's own API may pass for them."""
