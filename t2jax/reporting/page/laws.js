"use strict";
/* The laws' formulas, as t2jax/laws has them; a law is bound to its draws, one column a coefficient.

   All arguments are logs: n = log N, d = log D, x = log k. */

const Laws = (() => {
  /** log B(a, b) - log B(a, b+k): minus the log of the mean of (1-p)^k; never negative. */
  function failures(a, b, k) {
    const both = a + k;
    let out = 0;
    for (let start = 0; start < 16; start += 4) {
      let product = 0;
      for (let i = start; i < start + 4; i += 1) {
        const y = b + i;
        const excess = (a / y) * (k / (y + both));
        product += excess + product * excess;
      }
      out += Math.log1p(product);
    }
    // Stirling's series past 16, its differences over the corners taken by hand.
    const c = b + 16;
    out += k * Math.log1p(a / (c + k)) + a * Math.log1p(k / (c + a));
    out -= (c - 0.5) * Math.log1p((a / c) * (k / (c + both)));
    const p = 1 / c;
    const q = 1 / (c + a);
    const r = 1 / (c + k);
    const t = 1 / (c + both);
    const pq = p * q;
    const rt = r * t;
    const cubes = pq * (p * p + pq + q * q) - rt * (r * r + rt + t * t);
    const fifths = (u, v) => u * v * (u ** 4 + u ** 3 * v + u * u * v * v + u * v ** 3 + v ** 4);
    out += a * ((pq - rt) / 12 - cubes / 360 + (fifths(p, q) - fifths(r, t)) / 1260);
    return out;
  }

  /** exp, held within a share of the decades of double precision. */
  function boundedExp(exponent, share = 0.45) {
    const extent = share * 709.782712893384;
    return Math.exp(Math.min(Math.max(exponent, -extent), extent));
  }

  function softplus(x) {
    return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  }

  /** expm1(-gamma x)/gamma, smooth through gamma = 0. */
  function boxCox(gamma, x) {
    const z = -gamma * x;
    if (Math.abs(z) < 1e-3) return -x * (1 + (z / 2) * (1 + (z / 3) * (1 + z / 4)));
    return Math.expm1(z) / gamma;
  }

  /** Log of U + U R* (1 - exp(-R/R*)) with R = all/U - 1: what all of it is worth. */
  function logWorth(logAll, logUnique, decay) {
    const repeats = Math.expm1(Math.min(Math.max(logAll - logUnique, 0), 60));
    return logUnique + Math.log1p(-decay * Math.expm1(-repeats / decay));
  }

  const log = (column) => column.map(Math.log);

  /** Losses in N and D: (i, n, d) => nats. */
  const LOSSES = {
    additive({ E, A, B, alpha, beta }) {
      return (i, n, d) => E[i] + A[i] * Math.exp(-alpha[i] * n) + B[i] * Math.exp(-beta[i] * d);
    },
    tied({ E, A, B, alpha }) {
      return (i, n, d) => E[i] + A[i] * Math.exp(-alpha[i] * n) + B[i] * Math.exp(-alpha[i] * d);
    },
    coupled({ E, A, B, alpha, beta, kappa }) {
      return (i, n, d) => {
        const inner = A[i] * Math.exp(-alpha[i] * n) + B[i] * Math.exp(-beta[i] * d);
        return E[i] + Math.exp(kappa[i] * Math.log(inner));
      };
    },
    data_constrained({ E, A, B, alpha, beta, R_N }) {
      // No token is repeated on this page: only parameters past the best size for D lose worth.
      return (i, n, d) => {
        const both = alpha[i] + beta[i];
        const lead = Math.log((alpha[i] * A[i]) / (beta[i] * B[i])) / both;
        const matched = lead + ((d + lead) * beta[i]) / alpha[i];
        const size = logWorth(n, Math.min(n, matched), R_N[i]);
        return E[i] + A[i] * Math.exp(-alpha[i] * size) + B[i] * Math.exp(-beta[i] * d);
      };
    },
  };

  /** Losses in N, D and k: (i, n, d, x) => nats. */
  const SAMPLED = {
    t2_loss({ E1, A, B, S, alpha, beta, gamma }) {
      return (i, n, d, x) =>
        E1[i] + A[i] * Math.exp(-alpha[i] * n) + B[i] * Math.exp(-beta[i] * d) +
        S[i] * boxCox(gamma[i], x);
    },
    t2_loss_paper({ E, A, B, G, alpha, beta, gamma }) {
      return (i, n, d, x) =>
        E[i] + A[i] * Math.exp(-alpha[i] * n) + B[i] * Math.exp(-beta[i] * d) +
        G[i] * Math.exp(-gamma[i] * x);
    },
    softplus({ s }, loss) {
      return (i, n, d, x) => s[i] * softplus((loss(i, n, d) - x) / s[i]);
    },
    softplus_scaled({ s1, v }, loss) {
      return (i, n, d, x) => {
        const inner = loss(i, n, d);
        const width = s1[i] * Math.exp(v[i] * Math.log(inner));
        return width * softplus((inner - x) / width);
      };
    },
    product({ c, gamma }, loss) {
      return (i, n, d, x) =>
        loss(i, n, d) * Math.exp(-gamma[i] * Math.log1p(c[i] * Math.expm1(x)));
    },
  };

  /** Beta parameters of the success probabilities: (i, loss) => [a, b], in a reused pair. */
  const SPREADS = {
    t2_accuracy({ th0, th1, th2, th3, th4 }) {
      const pair = [0, 0];
      return (i, loss) => {
        const hit = boundedExp(Math.log(th2[i]) - softplus(th1[i] * (loss - th0[i])));
        const concentration = boundedExp(th3[i] + th4[i] * loss, 0.2);
        pair[0] = hit * concentration;
        pair[1] = (1 - hit) * concentration;
        return pair;
      };
    },
    beta_monotone({ a0, a1, b0, b1 }) {
      const pair = [0, 0];
      return (i, loss) => {
        pair[0] = boundedExp(a0[i] - a1[i] * loss);
        pair[1] = boundedExp(b0[i] + b1[i] * loss);
        return pair;
      };
    },
  };

  /** Slopes in logs of what is solved in closed form; null where a scan is needed. */
  function powers(name, base, columns) {
    const { A, B, alpha } = columns;
    const self = name === base;
    const closed = self
      ? ["additive", "tied", "coupled", "t2_loss", "t2_loss_paper"].includes(name)
      : name === "softplus" && ["additive", "tied"].includes(base);
    if (!closed) return null;
    const beta = columns.beta ?? alpha;
    const product = (...parts) =>
      log(parts[0].map((_, i) => parts.reduce((all, part) => all * part[i], 1)));
    let repeat = alpha.map(() => (name === "softplus" ? 0 : -Infinity));
    if (name === "t2_loss") repeat = log(columns.S);
    if (name === "t2_loss_paper") repeat = product(columns.G, columns.gamma);
    const gamma = name.startsWith("t2_loss") ? columns.gamma : alpha.map(() => 0);
    return { size: product(alpha, A), alpha, data: product(beta, B), beta, repeat, gamma };
  }

  /**
   * A law at its draws.
   * @param {string} name registry name
   * @param {string} base name of the loss inside it; the name itself where there is none
   * @param {Object<string, Float64Array>} columns coefficients by name, one entry a draw
   * @returns value(i, n, d, x); goal, what is minimised, with the same optimum; loss(i, n, d) at
   *   k = 1; powers; accuracy; usesSamples; size, the number of draws
   */
  function bind(name, base, columns) {
    const size = Object.values(columns)[0].length;
    const form = { name, size, accuracy: false, powers: powers(name, base, columns) };
    if (name in LOSSES) {
      const loss = LOSSES[name](columns);
      return { ...form, loss, value: loss, goal: loss, usesSamples: false };
    }
    if (name in SAMPLED && base === name) {
      const value = SAMPLED[name](columns);
      const loss = (i, n, d) => value(i, n, d, 0);
      return { ...form, loss, value, goal: value, usesSamples: true };
    }
    if (!(base in LOSSES)) throw new Error(`this page does not know the law '${base}'`);
    const loss = LOSSES[base](columns);
    if (name in SAMPLED) {
      const value = SAMPLED[name](columns, loss);
      return { ...form, loss, value, goal: value, usesSamples: true };
    }
    if (!(name in SPREADS)) throw new Error(`this page does not know the law '${name}'`);
    const spread = SPREADS[name](columns);
    // The log of the share of failures keeps its digits where pass@k is near zero or one.
    const goal = (i, n, d, x) => {
      const [a, b] = spread(i, loss(i, n, d));
      return -failures(a, b, Math.exp(x));
    };
    const value = (i, n, d, x) => -Math.expm1(goal(i, n, d, x));
    return { ...form, accuracy: true, loss, value, goal, usesSamples: true };
  }

  /** Names of the laws that `bind` knows, and of the losses that may stand inside them. */
  const names = [...Object.keys(LOSSES), ...Object.keys(SAMPLED), ...Object.keys(SPREADS)];

  return { bind, failures, losses: Object.keys(LOSSES), names, softplus };
})();
