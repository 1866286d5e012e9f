"""How much a quantity varies when every run is trained once more: sandwiches over units.

Rows of one unit share its noise, so that a sum of squares over rows says nothing of the variance
of a coefficient. Two estimates of the meat:

`pooled`: one covariance matrix over the k grid, the same for every unit, from the residuals of
all of them, `S^-1/2 (sum r_i r_i') S^-1/2` with `S = sum (I - H_ii)`; unbiased where residuals are
white, and s^2 itself where a unit is one row. Few units suffice.

`robust`: each unit its own, residuals corrected for leverage by `(I - H_ii)^-1/2`, degrees of
freedom by Satterthwaite's rule. Needs many units, and no unit need be like another.

Source: Pan 2001, doi:10.1093/biomet/88.3.901; Bell and McCaffrey 2002; arXiv:1601.01981.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from t2jax._typing import ArrayLike, Floats, Scalar

__all__ = [
    "METHODS",
    "Questions",
    "Units",
    "Variance",
    "coefficients_covariance",
    "in_units",
    "meat",
    "question_blocks",
    "student_quantile",
    "variance_of",
    "with_questions",
]

METHODS = ("pooled", "robust")


class Units(NamedTuple):
    """Residuals and slopes of one table by unit, zeros where a unit has fewer rows.

    Attributes:
      residual: [units, members].
      slope: [units, members, coordinates].
      bread: inverse of J'J [coordinates, coordinates].
      root: what corrects residuals for leverage: pooled `S^-1/2` [members, members], robust
        `(I - H_ii)^-1/2` of every unit [units, members, members].
    """

    residual: Floats
    slope: Floats
    bread: Floats
    root: Floats


class Variance(NamedTuple):
    """The variance of one quantity.

    Attributes:
      variance: of the estimate.
      naive: its value at unit noise of independent rows, `v' (J'J)^-1 v`.
      dof: degrees of freedom of the variance.
    """

    variance: Scalar
    naive: Scalar
    dof: Scalar


def in_units(settled: Any, places: Floats, method: str, free: Floats | None = None) -> Units:
    """A minimum by unit.

    Args:
      settled: the minimum.
      places: row of each member of each unit, -1 for none [units, members].
      method: "pooled" or "robust".
      free: coordinates that may move, all of them unless given [coordinates].
    """
    there = places >= 0
    residual = jnp.where(there, settled.residual[places], 0.0)
    slope = jnp.where(there[..., None], settled.jacobian[places], 0.0)
    # A coefficient at its bound counts as free: what trades off with it is no better known.
    keep = jnp.ones(slope.shape[-1]) if free is None else jnp.where(free, 1.0, 0.0)
    slope = slope * keep
    flat = slope.reshape(-1, slope.shape[-1])
    gram = flat.T @ flat
    root = jnp.where(keep > 0, jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 1e-300)), 1.0)
    bread = _root(gram / root[:, None] / root, -1.0, 1e-14) / root[:, None] / root
    bread = bread * keep[:, None] * keep
    hat = jnp.einsum("ukp,pq,ulq->ukl", slope, bread, slope)
    own = jnp.eye(residual.shape[1])
    inner = len(residual) * own - hat.sum(0) if method == "pooled" else own - hat
    return Units(residual, slope, bread, _root(inner, -0.5))


def _root(matrix: Floats, power: float, least: float = 1e-9) -> Floats:
    """A power of symmetric matrices [..., n, n], directions without weight left out."""
    values, vectors = jnp.linalg.eigh(matrix)
    sound = values > least
    weighed = vectors * jnp.where(sound, jnp.where(sound, values, 1.0) ** power, 0.0)[..., None, :]
    return weighed @ jnp.swapaxes(vectors, -1, -2)


def meat(units: Units) -> Floats:
    """The pooled covariance of a unit's residuals [members, members]."""
    return units.root @ (units.residual.T @ units.residual) @ units.root


def variance_of(units: Units, direction: Floats, method: str) -> Variance:
    """The variance of `direction' u` at the minimum.

    Args:
      units: the minimum by unit.
      direction: gradient of a quantity in the free vector [coordinates].
      method: "pooled" or "robust".
    """
    lever = units.slope @ (units.bread @ direction)  # [units, members]
    naive = direction @ units.bread @ direction
    if method == "pooled":
        pooled, weight = meat(units), units.root
        outer = lever.T @ lever
        variance = jnp.sum(pooled * outer)
        dof = variance / jnp.maximum(jnp.sum(pooled * (weight @ outer @ weight)), 1e-300)
        return Variance(variance, naive, dof)
    reach = jnp.einsum("ukl,ul->uk", units.root, lever)
    variance = jnp.sum(jnp.sum(reach * units.residual, axis=1) ** 2)
    # Moments of that sum when rows are white: a quadratic form in the residuals.
    through = jnp.einsum("ukp,uk->up", units.slope, reach)
    form = jnp.diag(jnp.sum(reach**2, axis=1)) - through @ units.bread @ through.T
    dof = jnp.trace(form) ** 2 / jnp.maximum(jnp.sum(form**2), 1e-300)
    return Variance(variance, naive, dof)


def coefficients_covariance(units: Units, method: str) -> Floats:
    """The covariance of the free vector [coordinates, coordinates], as `variance_of` has it.

    Args:
      units: the minimum by unit.
      method: "pooled" or "robust".
    """
    lever = units.slope @ units.bread  # [units, members, coordinates]
    if method == "pooled":
        return jnp.einsum("kl,ukp,ulq->pq", meat(units), lever, lever)
    reach = jnp.einsum("ukl,ulp->ukp", units.root, lever)
    score = jnp.einsum("ukp,uk->up", reach, units.residual)
    return score.T @ score


class Questions(NamedTuple):
    """The questions of a table, drawn from many, the same for every checkpoint.

    Attributes:
      scores: deviation of each question from the mean [rows, questions].
      weight: what its square adds to the variance of a mean [questions].
    """

    scores: Floats
    weight: Floats

    def covariance(self) -> Floats:
        """Of the means over questions [rows, rows]."""
        return (self.scores * self.weight) @ self.scores.T


def question_blocks(units: Units, places: ArrayLike, covariance: Floats) -> Floats:
    """What the choice of questions puts into each unit's residuals [units, members, members].

    The blocks of `(I - H) C (I - H)`, C the covariance of the means over questions.

    Args:
      units: the minimum by unit.
      places: row of each member of each unit, -1 for none [units, members].
      covariance: C [rows, rows].
    """
    places = jnp.asarray(places)
    there = places >= 0
    rows, coordinates = len(covariance), units.slope.shape[-1]
    by_row = jnp.zeros((rows + 1, coordinates))
    by_row = by_row.at[jnp.where(there, places, rows)].add(units.slope)[:rows]
    across = by_row.T @ covariance  # [coordinates, rows]
    lifted = units.slope @ units.bread  # [units, members, coordinates]
    half = jnp.einsum("ukp,pul->ukl", lifted, across[:, places])
    both = there[:, :, None] & there[:, None, :]
    own = covariance[places[:, :, None], places[:, None, :]]
    own = own - half - half.swapaxes(1, 2)
    own = own + jnp.einsum("ukp,pq,ulq->ukl", lifted, across @ by_row, lifted)
    return jnp.where(both, own, 0.0)


def with_questions(
    units: Units, places: ArrayLike, direction: Floats, method: str, found: Variance,
    questions: Questions, blocks: Floats,
) -> tuple[Variance, Scalar]:  # fmt: skip
    """The variance with the choice of questions in it, and the questions' share of the variance.

    The questions move all units together: the fit follows, and little of that is left in the
    residuals. Their variance is therefore that of the quantity itself from question to question,
    and what they do leave in the residuals (each checkpoint's own part) is not counted twice.
    Degrees of freedom by Satterthwaite's rule, the variance of the questions' share from their
    fourth moment.

    Args:
      units: the minimum by unit.
      places: row of each member of each unit [units, members].
      direction: gradient of the quantity [coordinates].
      method: "pooled" or "robust".
      found: variance by the residuals.
      questions: deviations and weights.
      blocks: from `question_blocks`.
    """
    places = jnp.asarray(places)
    lever = (units.slope @ (units.bread @ direction)) * (places >= 0)
    if method == "pooled":
        twice = jnp.sum((units.root @ blocks.sum(0) @ units.root) * (lever.T @ lever))
    else:
        reach = jnp.einsum("ukl,ul->uk", units.root, lever)
        twice = jnp.einsum("uk,ukl,ul->", reach, blocks, reach)
    moved = jnp.einsum("um,umq->q", lever, questions.scores[places])
    each = questions.weight * moved**2
    share = jnp.sum(each)
    noise = jnp.maximum(jnp.sum(each**2) - share**2 / len(each), 1e-300)
    run, doubt = _beyond(found, twice)
    total = run + share
    dof = 2.0 * total**2 / (doubt + noise)
    return Variance(total, found.naive, dof), share


def _beyond(found: Variance, known: Scalar) -> tuple[Scalar, Scalar]:
    """What a variance holds beyond a part that is known, at least zero; and that number's variance.

    The variance is that of a normal number cut off at zero, so that a part that came out negative
    is not taken for one that is known to be nothing.
    """
    deviation = jnp.maximum(found.variance, known) * jnp.sqrt(2.0 / found.dof)
    rest = jnp.maximum(found.variance - known, 0.0)
    ratio = rest / jnp.maximum(deviation, 1e-300)
    inside, edge = norm.cdf(ratio), norm.pdf(ratio)
    mean = ratio * inside + edge
    return rest, deviation**2 * ((ratio**2 + 1.0) * inside + ratio * edge - mean**2)


def student_quantile(level: ArrayLike, dof: ArrayLike) -> np.ndarray:
    """The value that |T| stays below with that probability, for Student's t.

    >>> student_quantile([0.9, 0.95], 4.0).round(3).tolist()
    [2.132, 2.776]
    """
    from scipy.special import stdtrit  # a third of a second, which a plan has no need of

    return stdtrit(np.asarray(dof), 0.5 * (1.0 + np.asarray(level)))
