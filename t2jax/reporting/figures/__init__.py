"""Figures: every panel takes `ax=` and gives it back; nothing here fits or optimises.

The only package that knows matplotlib. Figures are made without pyplot, so that drawing one
changes nothing outside it. `with theme("dark"):` draws for a dark page.
"""

from t2jax.reporting.figures._style import THEMES as THEMES
from t2jax.reporting.figures._style import alone as alone
from t2jax.reporting.figures._style import color_bar as color_bar
from t2jax.reporting.figures._style import lay_out as lay_out
from t2jax.reporting.figures._style import log_ticks as log_ticks
from t2jax.reporting.figures._style import save as save
from t2jax.reporting.figures._style import svg as svg
from t2jax.reporting.figures._style import theme as theme
from t2jax.reporting.figures.backtest import backtest_figure as backtest_figure
from t2jax.reporting.figures.backtest import backtest_panel as backtest_panel
from t2jax.reporting.figures.compared import comparison_panel as comparison_panel
from t2jax.reporting.figures.decision import design_figure as design_figure
from t2jax.reporting.figures.decision import design_panel as design_panel
from t2jax.reporting.figures.decision import regret_figure as regret_figure
from t2jax.reporting.figures.diagnostics import grid_panel as grid_panel
from t2jax.reporting.figures.diagnostics import pass_at_k_panel as pass_at_k_panel
from t2jax.reporting.figures.diagnostics import predicted_panel as predicted_panel
from t2jax.reporting.figures.diagnostics import regret_panel as regret_panel
from t2jax.reporting.figures.diagnostics import residual_panel as residual_panel
from t2jax.reporting.figures.diagnostics import tornado_panel as tornado_panel
from t2jax.reporting.figures.fitted import fit_figure as fit_figure
from t2jax.reporting.figures.frontier import frontier_figure as frontier_figure
from t2jax.reporting.figures.frontier import frontier_panel as frontier_panel
from t2jax.reporting.figures.isoflop import isoflop_figure as isoflop_figure
from t2jax.reporting.figures.isoflop import isoflop_panel as isoflop_panel
from t2jax.reporting.figures.isoflop import measured_points as measured_points
from t2jax.reporting.figures.plotted import plot as plot
from t2jax.reporting.figures.posterior import pair_panel as pair_panel
from t2jax.reporting.figures.posterior import pairs_figure as pairs_figure
from t2jax.reporting.figures.posterior import trace_figure as trace_figure
from t2jax.reporting.figures.posterior import trace_panel as trace_panel
from t2jax.reporting.figures.variants import variant_panel as variant_panel
from t2jax.reporting.figures.variants import variants_figure as variants_figure
