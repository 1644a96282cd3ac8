"""Plan, apply, prove, verify and undo the settings of a host that trains or serves models."""
