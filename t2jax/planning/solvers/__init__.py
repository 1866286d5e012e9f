"""What the budget of a plan is solved with: coordinates, closed forms, scans, certificates."""
