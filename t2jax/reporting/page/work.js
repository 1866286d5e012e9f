"use strict";
/* What the planner computes: a plan, its intervals over the draws, the frontier, the profiles.

   A slider must never wait: the point estimate is solved at once, draws in slices of some
   milliseconds, in an order in which every part of them is a fair sample. */

const Work = (() => {
  const LEVEL = 0.9;
  const TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2];
  const BUDGETS = 25; // points along the frontier
  const SIZES = 49; // points along a profile
  // Draws behind the bands of the curves; of laws that sum over questions fewer, for they take long.
  const BANDS = { separate: Infinity, total: 250 };
  const BANDS_OF_SUMS = { separate: 250, total: 60 };
  const QUANTITIES = ["tokens_per_param", "params", "tokens", "samples", "value"];

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float64Array(bytes.buffer);
  }

  /** The laws of the page: {main, judges}, each bound at its point and at its draws. */
  function laws(data) {
    const known = {};
    // A judge of the same draws names them by "=": they are carried once.
    const column = (name, text) => {
      if (text !== "=") known[name] ??= decode(text);
      return text === "=" || data.law.columns[name] === text ? known[name] : decode(text);
    };
    const bind = ({ program, single, accuracy, usesSamples, summed, point, columns, label }) => {
      const one = Object.values(point).map((value) => Float64Array.from([value].flat()));
      const many = Object.entries(columns).map(([name, text]) => column(name, text));
      const form = { accuracy, usesSamples, summed };
      return {
        label,
        point: Search.bind(Programs[program], one, form),
        draws: Search.bind(Programs[program], many, form),
        // The loss inside comes first among the coefficients.
        single: Search.bind(Programs[single], one, { accuracy: false, usesSamples: false }),
      };
    };
    return { main: bind(data.law), judges: data.judges.map(bind) };
  }

  /** An order in which every beginning of the draws is spread over all of them. */
  function scattered(size) {
    if (size < 3) return Array.from({ length: size }, (_, i) => i);
    let stride = Math.max(1, Math.round(size * 0.6180339887));
    const common = (a, b) => (b ? common(b, a % b) : a);
    while (common(size, stride) !== 1) stride += 1;
    return Array.from({ length: size }, (_, i) => (i * stride) % size);
  }

  const price = (inputs, hardware, share) =>
    inputs.dollars_per_hour / 3600 / (hardware[inputs.hardware].flops * share);

  /** What `Search.box` takes, from the planner's dials. */
  function budget(inputs, usesSamples, hardware) {
    const caps = { max_params: inputs.max_params, max_tokens: inputs.max_tokens };
    if (inputs.kind === "separate") {
      const inference = usesSamples ? inputs.inference_flops : null;
      return { ...caps, train_flops: inputs.train_flops, inference_flops: inference };
    }
    const served = { questions: inputs.questions, tokens_per_sample: inputs.tokens_per_sample };
    if (inputs.kind === "flops") return { ...caps, ...served, total_flops: inputs.total_flops };
    return {
      ...caps, ...served, dollars: inputs.dollars,
      train_price: price(inputs, hardware, inputs.train_utilisation),
      decode_price: price(inputs, hardware, inputs.decode_utilisation),
    };
  }

  const GOALS = { separate: "train_flops", flops: "total_flops", dollars: "dollars" };

  function quantitiesOf(law, i, plan) {
    const [n, d, x] = plan;
    return {
      params: Math.exp(n), tokens: Math.exp(d), samples: Math.exp(x),
      tokens_per_param: Math.exp(d - n), value: law.value(i, n, d, x),
    };
  }

  const empty = (size) => new Float64Array(size).fill(NaN);

  /** One plan: its inputs, and everything that was computed from them so far. */
  class Plan {
    constructor(model, data, inputs) {
      this.model = model;
      this.data = data;
      this.order = scattered(model.main.draws.size);
      this.set(inputs);
    }

    /** Whether nobody has moved a dial since the plan of the tables. */
    get untouched() {
      const { initial } = this.data;
      return Object.keys(initial).every((key) => this.inputs[key] === initial[key]);
    }

    get size() {
      return this.order.length;
    }

    /** Take new inputs: the point estimate and every line now, intervals by `continue`. */
    set(inputs) {
      const { main } = this.model;
      this.inputs = inputs;
      const given = budget(inputs, main.point.usesSamples, this.data.hardware);
      this.given = { ...given, min_params: this.data.least };
      this.goal = GOALS[inputs.kind];
      this.box = Search.box(this.given, main.point.usesSamples);
      this.lacks = Search.lacks(this.box);
      this.done = 0;
      this.job = null;
      if (this.lacks) return;
      const plan = Search.solve(main.point, 0, this.box);
      this.plan = plan;
      this.best = quantitiesOf(main.point, 0, plan);
      this.best.judged = this.model.judges.map((judge) => judge.point.value(0, ...plan));
      const spent = Math.exp(plan[0] + plan[1] + this.box.trainRate);
      this.share = this.box.separate ? NaN : spent / this.given[this.goal];
      this.flags = Search.flags(this.box, plan, main.point.usesSamples, this.data.hull);
      const rival = Search.chinchilla(main.single, 0, this.box, plan);
      this.rival = quantitiesOf(main.point, 0, rival);
      this.rival.over = rival[3];
      this.rival.judged = this.model.judges.map((judge) => judge.point.value(0, ...rival));
      this.draws = Object.fromEntries(QUANTITIES.map((name) => [name, empty(this.size)]));
      this.draws.judged = this.model.judges.map((judge) => empty(judge.draws.size));
      this.setFrontier();
      this.setProfiles();
      this.job = this.everything();
    }

    /** The frontier stays as it is while only the swept budget moves within its range. */
    setFrontier() {
      const { [this.goal]: here, ...others } = this.given;
      const [low, high] = this.frontierRange(here);
      const key = JSON.stringify([low, high, others]);
      if (this.frontier?.key === key) return;
      const { main } = this.model;
      const budgets = Numbers.geomspace(low, high, BUDGETS);
      const boxes = Array.from(budgets, (b) =>
        Search.box({ ...this.given, [this.goal]: b }, main.point.usesSamples));
      const cells = boxes.map((box) => {
        if (Search.lacks(box)) return null;
        const plan = Search.solve(main.point, 0, box);
        const rival = Search.chinchilla(main.single, 0, box, plan);
        return [quantitiesOf(main.point, 0, plan), quantitiesOf(main.point, 0, rival)];
      });
      const column = (at, name) => Float64Array.from(cells, (cell) => cell?.[at][name] ?? NaN);
      const columns = (at) => Object.fromEntries(QUANTITIES.map((name) => [name, column(at, name)]));
      const blank = () => Array.from({ length: BUDGETS }, () => []);
      this.frontier = {
        key, budgets, boxes, line: columns(0), rival: columns(1), done: 0, counted: {}, low: {}, high: {},
        draws: Object.fromEntries(QUANTITIES.map((name) => [name, blank()])),
      };
    }

    /** Decades about the table or the budget, in steps so that the axis rests while it moves. */
    frontierRange(here) {
      const [low, high] = this.goal === "train_flops" ? this.data.hull.train_flops : [here, here];
      const floor = (x) => 10 ** Math.floor(Math.log10(x) + 1e-9);
      const ceil = (x) => 10 ** Math.ceil(Math.log10(x) - 1e-9);
      if (this.goal !== "train_flops") return [floor(here / 31), ceil(here * 31)];
      return [Math.min(low, floor(here)), Math.max(high, ceil(here))];
    }

    /** The law against N at a tenth of the budget, at it, and at ten times. */
    setProfiles() {
      const { main } = this.model;
      const { hull } = this.data;
      const budgets = [0.1, 1, 10].map((f) => f * this.given[this.goal]);
      const boxes = budgets.map((b) => Search.box({ ...this.given, [this.goal]: b }, main.point.usesSamples));
      const optima = boxes.map((box) => (Search.lacks(box) ? null : Search.solve(main.point, 0, box)));
      const centre = optima.filter(Boolean).map((p) => p[0]);
      const low = Math.exp(Math.min(Math.log(hull?.params[0] ?? Infinity), ...centre) - 0.7);
      const high = Math.exp(Math.max(Math.log(hull?.params[1] ?? 0), ...centre) + 0.7);
      const sizes = Numbers.geomspace(Math.max(low, 1), high, SIZES);
      const at = (law, i, box, n) =>
        n > Search.upper(box) ? NaN : law.value(i, ...Search.solveAt(law, i, box, n));
      this.profile = {
        budgets, sizes,
        lines: boxes.map((box) => Float64Array.from(sizes, (N) => at(main.point, 0, box, Math.log(N)))),
        optima: optima.map((p) => p && quantitiesOf(main.point, 0, p)),
        draws: Array.from(sizes, () => []), low: empty(SIZES), high: empty(SIZES),
        value: (i, N) => at(main.draws, i, boxes[1], Math.log(N)),
      };
    }

    /** Everything over draws, a little at a time. */
    *everything() {
      const { main, judges } = this.model;
      for (const i of this.order) {
        const plan = Search.solve(main.draws, i, this.box);
        const found = quantitiesOf(main.draws, i, plan);
        for (const name of QUANTITIES) this.draws[name][i] = found[name];
        // Each draw says what the plan that is printed will reach, as the report's tables do.
        this.draws.value[i] = main.draws.value(i, ...this.plan);
        this.done += 1;
        yield;
      }
      // Another law judges that plan too, not each draw's own.
      judges.forEach((judge, at) => {
        for (let i = 0; i < judge.draws.size; i += 1) {
          this.draws.judged[at][i] = judge.draws.value(i, ...this.plan);
        }
      });
      yield;
      // Where one budget pays for all, a solution takes twenty times as long.
      const bands = main.point.summed ? BANDS_OF_SUMS : BANDS;
      const most = Math.min(this.size, bands[this.box.separate ? "separate" : "total"]);
      const { frontier, profile } = this;
      this.banded = most;
      for (const i of this.order.slice(0, most)) {
        profile.sizes.forEach((N, at) => profile.draws[at].push(profile.value(i, N)));
        yield;
      }
      // A draw that was broken off is done again.
      for (const columns of Object.values(frontier.draws)) {
        columns.forEach((column) => column.splice(frontier.done));
      }
      for (const i of this.order.slice(frontier.done, most)) {
        for (let at = 0; at < BUDGETS; at += 1) {
          const lacking = Search.lacks(frontier.boxes[at]);
          const plan = lacking ? [NaN, NaN, NaN] : Search.solve(main.draws, i, frontier.boxes[at]);
          const found = quantitiesOf(main.draws, i, plan);
          for (const name of QUANTITIES) frontier.draws[name][at].push(found[name]);
          yield;
        }
        frontier.done += 1;
      }
    }

    /** Go on for some milliseconds; whether there is more to do. */
    continue(milliseconds) {
      if (!this.job) return false;
      const end = performance.now() + milliseconds;
      let finished = false;
      while (!finished && performance.now() < end) finished = this.job.next().done;
      if (finished) this.job = null;
      return !finished;
    }

    /** Bands of the curves from the draws that are done; of these quantities, for sorting takes time. */
    bands(names = QUANTITIES) {
      const { frontier, profile } = this;
      for (const name of names) {
        if (frontier.counted[name] === frontier.done) continue;
        frontier.counted[name] = frontier.done;
        const pairs = frontier.draws[name].map((column) => Numbers.quantiles(column, TAILS));
        frontier.low[name] = pairs.map((pair) => pair[0]);
        frontier.high[name] = pairs.map((pair) => pair[1]);
      }
      if (profile.counted === profile.draws[0].length) return;
      profile.counted = profile.draws[0].length;
      profile.draws.forEach((column, at) => {
        [profile.low[at], profile.high[at]] = Numbers.quantiles(column, TAILS);
      });
    }

    /** Ends of the middle 90% of the draws, once all of them are done. */
    interval(name, at) {
      if (this.done < this.size) return [NaN, NaN];
      const { whole } = this.data;
      // Of all draws, as the tables have them, where the page carries only some.
      if (whole && this.untouched) return at === undefined ? whole[name] : whole[name][at];
      return Numbers.quantiles(at === undefined ? this.draws[name] : this.draws[name][at], TAILS);
    }
  }

  return { BUDGETS, GOALS, LEVEL, Plan, QUANTITIES, TAILS, laws };
})();
