"use strict";
/* The best N, D and k of one draw under one budget, for any law: a search over log N.

   A law is a program that t2jax wrote out of the law itself: what is minimised, and its slopes in
   log N, log D and log k. The budget leaves one coordinate, log N, and where one budget pays for
   training and for serving a second, the logit of the share of the rest that trains. Each is
   searched alike: every valley of a coarse grid, then the root of the slope. Everything is in
   logs. */

const Search = (() => {
  const TRAIN = 6; // FLOPs per parameter and token
  const SAMPLE = 2; // FLOPs per parameter and generated token
  const SIZES = 64; // steps of the grid over log N
  const SIZES_SHARED = 24; // fewer where each size asks for its best share
  const SHARES = 16; // steps of the grid over logits of the share
  const FEWEST = -24; // the least logit
  const ALL_TRAINING = 40; // the logit from which on k is the least
  const ROUGH = 0.05; // how near to a root, in logs, is near enough to look for valleys
  const EXACT = 1e-14;
  const TOUCH = 1e-9; // how near, in logs, counts as on a bound

  const sigmoid = (u) => 1 / (1 + Math.exp(-u));
  const number = (value) => (Number.isNaN(value) ? Infinity : value);

  function logAddExp(a, b) {
    const top = Math.max(a, b);
    return top === -Infinity ? top : top + Math.log1p(Math.exp(-Math.abs(a - b)));
  }

  /** log(1 - e^w) of a negative number. */
  function logRest(w) {
    return Math.log(-Math.expm1(Math.min(w, -1e-18)));
  }

  /**
   * A law at its draws.
   * @param {function} program what t2jax.reporting.page.program wrote
   * @param {Float64Array[]} columns the coefficients, one entry a draw or one a node of each draw
   * @param {object} form accuracy, whether more is better; usesSamples, whether it knows of k; what
   *   else is to be known of it
   * @returns goal, slopes and value at (i, n, d, x); the form; size, the number of draws
   */
  function bind(program, columns, form) {
    const law = program(columns);
    const value = (i, n, d, x) => law.shown(law.goal(i, n, d, x));
    return { ...law, ...form, value, size: columns[0].length };
  }

  // Budgets ------------------------------------------------------------------------------------

  /**
   * A budget in logs. Apart: n + d <= train and n + x <= serve. One for everything:
   * exp(n + d - train) + exp(n + x - serve) <= 1.
   * @param {object} given train_flops and inference_flops, or total_flops or dollars with questions
   *   and tokens_per_sample; min_params, max_params, max_tokens;
   *   train_price and decode_price per FLOP
   * @param {boolean} usesSamples whether the law knows of k
   */
  function box(given, usesSamples) {
    const log = (value) => (value == null ? Infinity : Math.log(value));
    const separate = given.train_flops != null;
    const tokens = separate ? 1 : given.tokens_per_sample ?? 1;
    const trainRate = Math.log(TRAIN * (given.train_price ?? 1));
    const sampleRate = Math.log(SAMPLE * (given.decode_price ?? 1) * tokens);
    const total = log(given.total_flops ?? given.dollars);
    return {
      separate,
      train: (separate ? log(given.train_flops) : total) - trainRate,
      serve: (separate ? log(given.inference_flops) : total - log(given.questions ?? 1)) - sampleRate,
      minParams: Math.log(given.min_params ?? 1),
      maxParams: log(given.max_params),
      maxTokens: log(given.max_tokens),
      pinned: !usesSamples || (separate && given.inference_flops == null),
    };
  }

  /** Which budget affords no model of one parameter, one token, one sample; "" where all do. */
  function lacks(b) {
    if (!b.separate) return largest(b) < 0 ? "lifetime budget" : "";
    if (b.train < Math.log(1e6 / TRAIN)) return "training budget";
    return b.serve < 0 ? "inference budget" : "";
  }

  /** Log of the largest N with one token and one sample. */
  function largest(b) {
    return b.separate ? Math.min(b.serve, b.train) : -logAddExp(-b.train, -b.serve);
  }

  const upper = (b) => Math.min(b.maxParams, largest(b));
  const lower = (b) => Math.min(b.minParams, upper(b));

  /** The largest useful logit of the share at log N: up to the data wall. */
  function mostTraining(b, n, rest) {
    const wall = b.maxTokens + n - b.train - rest;
    return wall < 0 ? Math.min(wall - logRest(wall), ALL_TRAINING) : ALL_TRAINING;
  }

  // The plan that `spend` made last; kept here, for it is called a thousand times a solution.
  let d = 0;
  let x = 0;
  let further = 0; // log of how many samples there are beyond the first

  /** Logs of D and k at log N, with everything spent; u is the logit of the share. */
  function spend(b, n, u, rest) {
    if (b.separate) {
      d = Math.min(b.train - n, b.maxTokens);
      x = b.pinned ? 0 : b.serve - n;
      return;
    }
    const part = Math.min(u, 0) - Math.log1p(Math.exp(-Math.abs(u)));
    d = Math.min(part + rest + b.train - n, b.maxTokens);
    further = part - u + rest + b.serve - n;
    x = b.pinned || u >= ALL_TRAINING ? 0 : logAddExp(0, further);
  }

  // Minima -------------------------------------------------------------------------------------

  /** Where a slope passes from negative to positive, by Chandrupatla's method; else an end. */
  function root(slope, low, high, hair) {
    let b = low;
    let fb = slope(low);
    if (fb >= 0) return low;
    let a = high;
    let fa = slope(high);
    if (!(fa > 0)) return high;
    let t = 0.5;
    for (let count = 0; count < 80; count += 1) {
      const x = a + t * (b - a);
      const fx = slope(x);
      let c = a;
      let fc = fa;
      if (fx > 0 !== fa > 0) [c, fc, b, fb] = [b, fb, a, fa];
      [a, fa] = [x, fx];
      const nearest = Math.abs(fa) < Math.abs(fb) ? a : b;
      const near = (hair * (1 + Math.abs(nearest))) / Math.abs(b - a);
      if (near > 0.5 || fa === 0) return nearest;
      const xi = (a - b) / (c - b);
      const phi = (fa - fb) / (fc - fb);
      t = 0.5;
      if (phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi) {
        t = ((fa / (fb - fa)) * fc) / (fb - fc);
        t += (((c - a) / (b - a)) * (fa / (fc - fa)) * fb) / (fc - fb);
      }
      t = Math.min(Math.max(t, near), 1 - near);
    }
    return Math.abs(fa) < Math.abs(fb) ? a : b;
  }

  /** A minimum between two ends by values alone, to half of their digits. */
  function golden(value, low, high, hair) {
    const share = 0.6180339887498949;
    let [a, b] = [low, high];
    let [left, right] = [b - share * (b - a), a + share * (b - a)];
    let [fl, fr] = [value(left, hair), value(right, hair)];
    while (b - a > Math.max(hair, 1e-9 * (1 + Math.abs(a)))) {
      if (fl <= fr) {
        [b, right, fr] = [right, left, fl];
        left = b - share * (b - a);
        fl = value(left, hair);
      } else {
        [a, left, fl] = [left, right, fr];
        right = a + share * (b - a);
        fr = value(right, hair);
      }
    }
    return fl <= fr ? left : right;
  }

  /**
   * [place, depth] of the deepest valley between two ends, which count as valleys too. The grid
   * asks for a rough value where the place found must be within a hair.
   */
  function deepest(value, slope, low, high, steps, hair) {
    // The ends exactly: a bound is told from what is near it.
    const place = (j) => (j >= steps ? high : low + (Math.max(j, 0) * (high - low)) / steps);
    const grid = new Float64Array(steps + 1);
    for (let j = 0; j <= steps; j += 1) grid[j] = value(place(j), ROUGH);
    let best = low;
    let depth = Infinity;
    const keep = (where, found) => {
      if (found < depth) [best, depth] = [where, found];
    };
    for (let j = 0; j <= steps; j += 1) {
      if ((j > 0 && !(grid[j] < grid[j - 1])) || (j < steps && !(grid[j] <= grid[j + 1]))) continue;
      let bottom = root(slope, place(j - 1), place(j + 1), hair);
      let found = value(bottom, hair);
      // A slope says nothing where a law is flat to its last digit, or not a number.
      if (!(found <= grid[j])) {
        bottom = golden(value, place(j - 1), place(j + 1), hair);
        found = value(bottom, hair);
      }
      keep(bottom, found);
      keep(place(j), grid[j]);
    }
    return [best, depth];
  }

  // Plans --------------------------------------------------------------------------------------

  const g = new Float64Array(3); // slopes of the law at hand

  /** [logit of the best share, goal there] at log N, the logit within a hair. */
  function bestShare(law, i, b, n, hair = EXACT) {
    const rest = b.separate ? 0 : logRest(n - b.serve);
    const at = (u) => {
      spend(b, n, u, rest);
      return number(law.goal(i, n, d, x));
    };
    if (b.separate || b.pinned) return [ALL_TRAINING, at(ALL_TRAINING)];
    const most = mostTraining(b, n, rest);
    // Divided by the share that serves, which keeps its digits where nearly all trains.
    const slope = (u) => {
      spend(b, n, u, rest);
      law.slopes(i, n, d, x, g);
      return g[1] - g[2] * sigmoid(further) * Math.exp(u);
    };
    return deepest(at, slope, Math.min(FEWEST, most - 1), most, SHARES, hair);
  }

  /** How the goal moves with log N, at the best share: that moves too, but does not count. */
  function slopeInSize(law, i, b, n) {
    const u = bestShare(law, i, b, n)[0];
    const rest = logRest(n - b.serve);
    spend(b, n, u, rest);
    law.slopes(i, n, d, x, g);
    if (b.separate) return g[0] - (b.train - n < b.maxTokens ? g[1] : 0) - (b.pinned ? 0 : g[2]);
    const falls = 1 + 1 / Math.expm1(b.serve - n);
    const most = mostTraining(b, n, rest);
    const walled = most < ALL_TRAINING && u >= most;
    const served = walled ? 1 / -Math.expm1(n + d - b.train) : sigmoid(further) * falls;
    return g[0] - (walled ? 0 : falls * g[1]) - (b.pinned || u >= ALL_TRAINING ? 0 : served * g[2]);
  }

  /** [n, d, x] at the optimum of draw i with N given. */
  function solveAt(law, i, b, n) {
    const u = bestShare(law, i, b, n)[0];
    spend(b, n, u, logRest(n - b.serve));
    return [n, d, x];
  }

  /** [log N, log D, log k] at the optimum of draw i. */
  function solve(law, i, b) {
    const value = (n, hair) => bestShare(law, i, b, n, hair)[1];
    const slope = (n) => slopeInSize(law, i, b, n);
    const steps = b.separate || b.pinned ? SIZES : SIZES_SHARED;
    return solveAt(law, i, b, deepest(value, slope, lower(b), upper(b), steps, EXACT)[0]);
  }

  /** [n, d, x, over]: the single-sample optimum at the training cost of a plan, then served. */
  function chinchilla(single, i, b, plan) {
    const train = b.separate ? b.train : plan[0] + plan[1];
    const [n, tokens] = solve(single, i, { ...b, separate: true, train, serve: Infinity, pinned: true });
    const spent = n + tokens - b.train;
    const left = b.separate ? 0 : spent < 0 ? logRest(spent) : -Infinity;
    const samples = left + b.serve - n;
    // A hair from the plan it is within the budget, as the plan is, whatever rounding says.
    const over = samples < -TOUCH && Math.abs(n - plan[0]) > 1e-7;
    return [n, tokens, b.pinned ? 0 : Math.max(samples, 0), over];
  }

  /** Names of the flags of t2jax.Status that a plan carries. */
  function flags(b, plan, usesSamples, hull) {
    const [size, tokens, samples] = plan;
    const found = [];
    const wall = tokens >= b.maxTokens - TOUCH;
    const served = b.separate ? Number.isFinite(b.serve) : usesSamples;
    if (hull) {
      const [N, D, k] = plan.map(Math.exp);
      const shown = { params: N, tokens: D, samples: k, tokens_per_param: D / N };
      const names = ["PARAMS", "TOKENS", "SAMPLES", "RATIO", "FLOPS"];
      Object.entries({ ...shown, train_flops: TRAIN * N * D }).forEach(([name, value], at) => {
        const [low, high] = hull[name];
        if (value < low * (1 - 1e-6) || value > high * (1 + 1e-6)) found.push(`OUTSIDE_${names[at]}`);
      });
    }
    if (size >= b.maxParams - TOUCH) found.push("AT_MAX_PARAMS");
    if (wall) found.push("AT_MAX_TOKENS");
    if (served && !b.pinned && samples <= TOUCH) found.push("AT_ONE_SAMPLE");
    const small = size <= b.minParams + TOUCH;
    if (small && b.minParams > 0) found.push("AT_MIN_PARAMS");
    if (tokens <= TOUCH || (small && b.minParams <= 0)) found.push("AT_SEARCH_EDGE");
    const trained = size + tokens - b.train;
    const spent = b.separate ? trained : logAddExp(trained, size + samples - b.serve);
    if ((wall || !b.separate) && spent < -1e-7) found.push("BUDGET_LEFT");
    return found;
  }

  return { bind, box, chinchilla, flags, lacks, lower, solve, solveAt, upper };
})();
