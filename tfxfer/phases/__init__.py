"""The two-phase routine: what is frozen, at which rate, for how long."""
