"""The page: one self-contained HTML file with an interactive planner."""

KNOWN_LAWS = ("additive", "tied", "coupled", "data_constrained", "t2_loss", "t2_loss_paper",
              "softplus", "softplus_scaled", "product", "t2_accuracy", "beta_monotone")  # fmt: skip
KNOWN_LOSSES = ("additive", "tied", "coupled", "data_constrained")
