"""The page: one self-contained HTML file with an interactive planner."""

from t2jax.reporting.page.data import KNOWN_LAWS as KNOWN_LAWS
from t2jax.reporting.page.data import KNOWN_LOSSES as KNOWN_LOSSES
from t2jax.reporting.page.data import MOST_DRAWS as MOST_DRAWS
from t2jax.reporting.page.data import planner_data as planner_data
from t2jax.reporting.page.data import why_not as why_not
from t2jax.reporting.page.write import page_html as page_html
