"""The main path of a run: job, plan, phases in their order."""
