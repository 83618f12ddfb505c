"""What the readers of all event formats share: objects, observables, cuts, smearing, weights."""
