"""The page: one self-contained HTML file with an interactive planner."""

from t2jax.reporting.page.data import MOST_DRAWS as MOST_DRAWS
from t2jax.reporting.page.data import planner_data as planner_data
from t2jax.reporting.page.data import why_not as why_not
from t2jax.reporting.page.javascript import program as program
from t2jax.reporting.page.javascript import written as written
from t2jax.reporting.page.write import Drawing as Drawing
from t2jax.reporting.page.write import page_html as page_html
