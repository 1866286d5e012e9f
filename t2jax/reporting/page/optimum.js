"use strict";
/* The best N, D and k of one draw under one budget, as t2jax/planning solves it.

   Power laws by their first-order conditions with explicit active sets (closed_form.py); any other
   law by a grid over log N that is refined to its minimum (solve.py). Everything is in logs. */

const Optimum = (() => {
  const TRAIN = 6; // FLOPs per parameter and token
  const SAMPLE = 2; // FLOPs per parameter and generated token
  const NEWTON = 30;
  const ALL_TRAINING = 40; // logit of the training share from which on k is the least
  const COARSE = 64; // points over log N, each valley of which is looked at eight times finer
  const FINE = 512;
  const SHARES = Float64Array.from({ length: 33 }, (_, i) => -24 + 1.5 * i);
  const TOUCH = 1e-9; // how near, in logs, counts as on a bound

  const softplus = Laws.softplus;
  const logSigmoid = (u) => -softplus(-u);
  const sigmoid = (u) => 1 / (1 + Math.exp(-u));
  const clip = (x, low, high) => Math.min(Math.max(x, low), high);

  function logAddExp(a, b) {
    const top = Math.max(a, b);
    return top === -Infinity ? top : top + Math.log1p(Math.exp(-Math.abs(a - b)));
  }

  /**
   * A budget in logs, as t2jax.Budget.box makes it for 6ND and 2Nk.
   * @param {object} given train_flops and inference_flops, or total_flops or dollars with questions
   *   and tokens_per_sample; max_params, max_tokens; train_price and decode_price per FLOP
   * @param {boolean} usesSamples whether the law knows of k
   */
  function box(given, usesSamples) {
    const log = (value, missing = Infinity) => (value == null ? missing : Math.log(value));
    const separate = given.train_flops != null;
    const tokens = separate ? 1 : given.tokens_per_sample ?? 1;
    return {
      separate,
      train: log(given.train_flops, NaN),
      inference: separate ? log(given.inference_flops) : Infinity,
      total: log(given.total_flops ?? given.dollars, NaN),
      questions: log(given.questions ?? 1),
      maxParams: log(given.max_params),
      maxTokens: log(given.max_tokens),
      trainRate: Math.log(TRAIN * (given.train_price ?? 1)),
      sampleRate: Math.log(SAMPLE * (given.decode_price ?? 1) * tokens),
      pinned: !usesSamples || (separate && given.inference_flops == null),
    };
  }

  /** Log of the least budget that affords a model of one parameter, one token, one sample. */
  function lacks(b) {
    const one = b.separate ? b.trainRate : logAddExp(b.trainRate, b.questions + b.sampleRate);
    if (b.separate && b.train < Math.max(one, Math.log(1e6))) return "training budget";
    if (b.separate && b.inference < b.sampleRate) return "inference budget";
    if (!b.separate && b.total < one) return "lifetime budget";
    return "";
  }

  /** Largest log N: one token, one sample, and the cap. */
  function upper(b) {
    if (!b.separate) {
      return Math.min(b.maxParams, b.total - logAddExp(b.trainRate, b.questions + b.sampleRate));
    }
    return Math.min(b.maxParams, b.inference - b.sampleRate, b.train - b.trainRate);
  }

  const lower = (b) => Math.min(0, upper(b));

  // Plans that spend the budget ----------------------------------------------------------------

  /** Log of what is left of a total after one sample of every question. */
  function disposable(b, n) {
    const least = Math.exp(b.questions + n + b.sampleRate - b.total);
    return least < 1 ? b.total + Math.log1p(-least) : b.total - 1e3;
  }

  /** The largest useful logit of the training share at log N: up to the data wall. */
  function mostTraining(b, n, rest) {
    const wall = Math.min(b.maxTokens + n + b.trainRate - rest, Infinity);
    if (!(wall < 0)) return ALL_TRAINING;
    const inside = Math.min(wall, -1e-18);
    return Math.min(inside - Math.log(-Math.expm1(inside)), ALL_TRAINING);
  }

  /** [log D, log k] at log N with separate budgets spent. */
  function splitSeparate(b, n) {
    const d = Math.min(b.train - n - b.trainRate, b.maxTokens);
    return [d, b.pinned ? 0 : b.inference - n - b.sampleRate];
  }

  /** [log D, log k] at log N and the logit of the share of the disposable rest that trains. */
  function splitTotal(b, n, rest, u, most) {
    const share = Math.min(u, most);
    const d = logSigmoid(share) + rest - n - b.trainRate;
    if (b.pinned || share >= ALL_TRAINING) return [d, 0];
    return [d, logAddExp(0, logSigmoid(-share) + rest - b.questions - n - b.sampleRate)];
  }

  // Closed forms -------------------------------------------------------------------------------

  /** Log N under separate budgets: Newton on a concave, decreasing function from its right. */
  function powerSize(p, i, b, single) {
    const size = p.size[i];
    const alpha = p.alpha[i];
    const data = p.data[i];
    const beta = p.beta[i];
    const gamma = p.gamma[i];
    const train = b.train - b.trainRate;
    const budgeted = !single && Number.isFinite(b.inference) && !b.pinned;
    const inference = budgeted ? b.inference - b.sampleRate : 0;
    const repeat = budgeted ? p.repeat[i] : -Infinity;

    function root(withData) {
      const dataAlone = withData ? (size - data + beta * train) / (alpha + beta) : Infinity;
      const samplesAlone = (size - repeat + gamma * inference) / (alpha + gamma);
      let n = Math.min(dataAlone, samplesAlone);
      for (let step = 0; step < NEWTON; step += 1) {
        const fromData = withData ? data - beta * (train - n) : -Infinity;
        const fromSamples = repeat - gamma * (inference - n);
        const rivals = logAddExp(fromData, fromSamples);
        const gap = size - alpha * n - rivals;
        const slope =
          -alpha - beta * Math.exp(fromData - rivals) - gamma * Math.exp(fromSamples - rivals);
        const move = gap / slope;
        n -= move;
        if (!(Math.abs(move) > 1e-13 * Math.max(1, Math.abs(n)))) break;
      }
      return n;
    }

    let n = root(true);
    const kink = train - b.maxTokens;
    if (n < kink) n = repeat === -Infinity ? kink : Math.min(root(false), kink);
    return n;
  }

  /** The logit u with constant + left softplus(-u) - right softplus(u) = 0. */
  function shareRoot(constant, left, right) {
    let u = constant > 0 ? constant / right : constant / left;
    for (let step = 0; step < NEWTON; step += 1) {
      const value = constant + left * softplus(-u) - right * softplus(u);
      const move = value / (left * sigmoid(-u) + right * sigmoid(u));
      u += move;
      if (!(Math.abs(move) > 1e-13 * Math.max(1, Math.abs(u)))) break;
    }
    return u;
  }

  /** [n, d, x] at a given log N under a total: the share is whatever is best there. */
  function powerAtSize(p, i, b, n) {
    const train = b.total - b.trainRate;
    const serve = b.total - b.questions - b.sampleRate;
    const samples = Number.isFinite(p.repeat[i]) && !b.pinned;
    const most = Math.log(-Math.expm1(Math.min(n - serve, -1e-18)));
    let part = most;
    if (samples) {
      const beta = p.beta[i];
      const gamma = p.gamma[i];
      const constant = p.data[i] - beta * (train - n) - p.repeat[i] + gamma * (serve - n);
      part = Math.min(logSigmoid(shareRoot(constant, 1 + beta, 1 + gamma)), most);
    }
    part = Math.min(part, b.maxTokens + n - train);
    const sparse = part >= most || !samples;
    const left = Math.log(-Math.expm1(Math.min(part, -1e-18)));
    return [n, Math.min(train + part - n, b.maxTokens), sparse ? 0 : serve + left - n];
  }

  /** [n, d, x] under a total: of four active sets the one that breaks the conditions least. */
  function powerTotal(p, i, b) {
    const size = p.size[i];
    const alpha = p.alpha[i];
    const data = p.data[i];
    const beta = p.beta[i];
    const gamma = p.gamma[i];
    const train = b.total - b.trainRate;
    const serve = b.total - b.questions - b.sampleRate;
    const samples = Number.isFinite(p.repeat[i]) && !b.pinned;
    const repeat = samples ? p.repeat[i] : 0;
    const walls = Number.isFinite(b.maxTokens);
    const top = walls ? b.maxTokens : 0;

    const first = 1 / (1 / alpha + 1 / beta);
    const second = 1 / (gamma / alpha + 1);
    const leadTrain = first * (size / alpha + data / beta - train);
    const leadServe = second * ((gamma * size) / alpha + repeat - gamma * serve);
    const u = [
      shareRoot(leadTrain - leadServe, first * (1 + 1 / beta), second * (1 + gamma)),
      shareRoot(size - alpha * (train - top) - repeat + gamma * (serve - train + top),
        alpha + gamma, 1 + gamma),
      -shareRoot(size - data + beta * train - (alpha + beta) * serve, alpha + beta, 1 + beta),
    ];
    const part = u.map(logSigmoid);
    const rest = u.map((x) => logSigmoid(-x));
    const atLeast = -logAddExp(top - train, -serve);
    const sizes = [
      (size - leadTrain + first * (1 + 1 / beta) * part[0]) / alpha,
      train - top + part[1],
      serve + rest[2],
      atLeast,
    ];
    part.push(atLeast + top - train);
    rest.push(atLeast - serve);
    let best = [NaN, NaN, NaN];
    let least = Infinity;
    for (let set = 0; set < 4; set += 1) {
      const walled = set % 2 === 1;
      const sparse = set > 1;
      if ((walled && !walls) || (!sparse && !samples)) continue;
      const n = sizes[set];
      const d = walled ? top : train + part[set] - n;
      const x = sparse ? 0 : serve + rest[set] - n;
      const bySize = size - alpha * n;
      let fault = Math.max(d - b.maxTokens, samples ? -x : 0);
      if (walled) fault = Math.max(fault, bySize + part[set] - (data - beta * d));
      if (sparse && samples) fault = Math.max(fault, repeat - gamma * x - bySize - rest[set]);
      fault = Math.max(fault, 1e-13);
      if (fault < least) {
        least = fault;
        best = [n, d, x];
      }
    }
    const bound = Math.min(best[0], b.maxParams);
    const n = Number.isNaN(best[0]) ? b.maxParams : Math.max(bound, 0);
    return n === best[0] ? best : powerAtSize(p, i, b, n);
  }

  // Any law ------------------------------------------------------------------------------------

  /** The minimum of a function between two ends, by Brent's method without derivatives. */
  function minimise(f, low, high, tolerance) {
    const golden = 0.381966011250105;
    let a = low;
    let b = high;
    let x = a + golden * (b - a);
    let w = x;
    let v = x;
    let fx = f(x);
    let fw = fx;
    let fv = fx;
    let step = 0;
    let last = 0;
    for (let count = 0; count < 100; count += 1) {
      const middle = (a + b) / 2;
      const near = tolerance * Math.abs(x) + 1e-10;
      if (Math.abs(x - middle) <= 2 * near - (b - a) / 2) break;
      let smooth = false;
      if (Math.abs(last) > near) {
        const r = (x - w) * (fx - fv);
        let q = (x - v) * (fx - fw);
        let p = (x - v) * q - (x - w) * r;
        q = 2 * (q - r);
        if (q > 0) p = -p;
        q = Math.abs(q);
        smooth = Math.abs(p) < Math.abs(0.5 * q * last) && p > q * (a - x) && p < q * (b - x);
        if (smooth) {
          last = step;
          step = p / q;
          if (x + step - a < 2 * near || b - x - step < 2 * near) {
            step = x < middle ? near : -near;
          }
        }
      }
      if (!smooth) {
        last = x < middle ? b - x : a - x;
        step = golden * last;
      }
      const u = x + (Math.abs(step) >= near ? step : Math.sign(step) * near);
      const fu = f(u);
      if (fu <= fx) {
        if (u < x) b = x;
        else a = x;
        [v, fv, w, fw, x, fx] = [w, fw, x, fx, u, fu];
      } else {
        if (u < x) a = u;
        else b = u;
        if (fu <= fw || w === x) [v, fv, w, fw] = [w, fw, u, fu];
        else if (fu <= fv || v === x || v === w) [v, fv] = [u, fu];
      }
    }
    // The bracket's ends are bounds of the problem: they may be the minimum themselves.
    const ends = [f(low), f(high)];
    if (ends[0] <= fx && ends[0] <= ends[1]) return [low, ends[0]];
    return ends[1] <= fx ? [high, ends[1]] : [x, fx];
  }

  /** [logit of the best share, goal there] at log N under a total. */
  function bestShare(goal, i, b, n) {
    const rest = disposable(b, n);
    const most = mostTraining(b, n, rest);
    const at = (u) => {
      const [d, x] = splitTotal(b, n, rest, u, most);
      const value = goal(i, n, d, x);
      return Number.isNaN(value) ? Infinity : value;
    };
    if (b.pinned) return [2 * ALL_TRAINING, at(2 * ALL_TRAINING)];
    let best = SHARES.length;
    let least = at(ALL_TRAINING);
    for (let j = 0; j < SHARES.length && SHARES[j] < most; j += 1) {
      const value = at(SHARES[j]);
      if (value < least) [best, least] = [j, value];
    }
    const low = SHARES[Math.max(0, Math.min(best, SHARES.length - 1) - 1)];
    const high = best >= SHARES.length - 1 ? ALL_TRAINING : SHARES[best + 1];
    const [u, value] = minimise(at, Math.min(low, most - 1.5), Math.min(high, most), 1e-9);
    return value <= least ? [u, value] : [ALL_TRAINING, least];
  }

  /** [n, d, x] of any law: each valley of a coarse grid looked at finer, the deepest polished. */
  function scan(goal, i, b) {
    const low = lower(b);
    const high = upper(b);
    const value = (n) => {
      if (!b.separate) return bestShare(goal, i, b, n)[1];
      const [d, x] = splitSeparate(b, n);
      const found = goal(i, n, d, x);
      return Number.isNaN(found) ? Infinity : found;
    };
    const points = b.separate ? COARSE : COARSE / 2;
    const width = (high - low) / points;
    const grid = Array.from({ length: points + 1 }, (_, j) => value(low + j * width));
    let best = low;
    let least = Infinity;
    const finer = b.separate ? FINE / COARSE : 4;
    for (let j = 0; j <= points; j += 1) {
      const valley = (j === 0 || grid[j] <= grid[j - 1]) && (j === points || grid[j] <= grid[j + 1]);
      if (!valley) continue;
      for (let part = -finer; part <= finer; part += 1) {
        const n = low + (j + part / finer) * width;
        if (n < low || n > high) continue;
        const found = part === 0 ? grid[j] : value(n);
        if (found < least) [best, least] = [n, found];
      }
    }
    const reach = width / finer;
    const ends = [Math.max(low, best - reach), Math.min(high, best + reach)];
    const [n, deepest] = minimise(value, ends[0], ends[1], 1e-9);
    if (deepest <= least) [best, least] = [n, deepest];
    // Where the data wall meets the budget (one sample each) there is a kink that no parabola fits.
    const kink = b.separate
      ? b.train - b.trainRate - b.maxTokens
      : b.total - logAddExp(b.trainRate + b.maxTokens, b.questions + b.sampleRate);
    if (kink > ends[0] && kink < ends[1] && value(kink) <= least) best = kink;
    return atSize(goal, i, b, best);
  }

  /** [n, d, x] at a given log N of any law. */
  function atSize(goal, i, b, n) {
    if (b.separate) return [n, ...splitSeparate(b, n)];
    const rest = disposable(b, n);
    return [n, ...splitTotal(b, n, rest, bestShare(goal, i, b, n)[0], mostTraining(b, n, rest))];
  }

  // What the page asks for ---------------------------------------------------------------------

  function hasPowers(law, i, b) {
    return law.powers !== null && (b.pinned || law.powers.gamma[i] > 0 || law.name === "softplus");
  }

  /** [log N, log D, log k] at the optimum of draw i. */
  function solve(law, i, b) {
    if (!hasPowers(law, i, b)) return scan(law.goal, i, b);
    if (!b.separate) return powerTotal(law.powers, i, b);
    const n = clip(powerSize(law.powers, i, b, false), lower(b), upper(b));
    return [n, ...splitSeparate(b, n)];
  }

  /** The same with N given. */
  function solveAt(law, i, b, n) {
    if (b.separate || !hasPowers(law, i, b)) return atSize(law.goal, i, b, n);
    return powerAtSize(law.powers, i, b, n);
  }

  /** [n, d, x, over]: the single-sample optimum at the training cost of a plan, then served. */
  function chinchilla(law, single, i, b, plan) {
    const train = b.separate ? b.train : plan[0] + plan[1] + b.trainRate;
    const alone = { ...b, separate: true, train, inference: Infinity, pinned: true };
    let n;
    if (single.powers) n = clip(powerSize(single.powers, i, alone, true), lower(alone), upper(alone));
    else n = scan((j, m, d) => single.loss(j, m, d), i, alone)[0];
    const d = splitSeparate(alone, n)[0];
    let rest = b.inference;
    if (!b.separate) {
      const left = Math.exp(b.total) - Math.exp(n + d + b.trainRate);
      rest = left > 0 ? Math.log(left) - b.questions : -Infinity;
    }
    const x = rest - n - b.sampleRate;
    return [n, d, b.pinned ? 0 : Math.max(x, 0), x < -TOUCH];
  }

  /** Names of the flags of t2jax.Status that a plan carries. */
  function flags(b, plan, usesSamples, hull) {
    const [n, d, x] = plan;
    const found = [];
    const wall = d >= b.maxTokens - TOUCH;
    const trained = b.separate && Math.abs(n + d + b.trainRate - b.train) < 1e-7;
    const served = b.separate ? Number.isFinite(b.inference) : usesSamples;
    if (hull) {
      const [N, D, k] = plan.map(Math.exp);
      const shown = { params: N, tokens: D, samples: k, tokens_per_param: D / N };
      const names = ["PARAMS", "TOKENS", "SAMPLES", "RATIO", "FLOPS"];
      Object.entries({ ...shown, train_flops: TRAIN * N * D }).forEach(([name, value], at) => {
        const [low, high] = hull[name];
        if (value < low * (1 - 1e-6) || value > high * (1 + 1e-6)) found.push(`OUTSIDE_${names[at]}`);
      });
    }
    if (n >= b.maxParams - TOUCH) found.push("AT_MAX_PARAMS");
    if (wall) found.push("AT_MAX_TOKENS");
    if (served && !b.pinned && x <= TOUCH) found.push("AT_ONE_SAMPLE");
    if (d <= TOUCH || n <= TOUCH) found.push("AT_SEARCH_EDGE");
    const spent = logAddExp(n + d + b.trainRate, b.questions + n + x + b.sampleRate);
    const left = b.separate ? wall && !trained : spent < b.total - 1e-7;
    if (left) found.push("BUDGET_LEFT");
    return found;
  }

  return { box, chinchilla, flags, lacks, lower, solve, solveAt, upper };
})();
