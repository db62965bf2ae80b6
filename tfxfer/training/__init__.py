"""The main path of a run: the job, its plan, and the phases in order."""
