"use strict";
/* The planner's two charts: the frontier, and the law against size. */

const PlannerCharts = (() => {
  const AXIS = {
    train_flops: "training budget, FLOPs (6ND)",
    total_flops: "lifetime budget, FLOPs",
    dollars: "lifetime budget, dollars",
  };
  const budgetText = (goal) => (goal === "dollars" ? Numbers.dollars : Numbers.flops);

  /** Ends of an axis that holds every sound value, with some margin. */
  function limits(columns, log) {
    let low = Infinity;
    let high = -Infinity;
    for (const column of columns) {
      for (const value of column) {
        if (Number.isFinite(value) && (!log || value > 0)) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
    }
    if (!log) {
      const pad = 0.06 * (high - low || 1);
      return [low - pad, high + pad];
    }
    const pad = Math.max(0.05 * Math.log(high / low), 0.06);
    return [low * Math.exp(-pad), high * Math.exp(pad)];
  }

  /** Whether every sound value has a log: some laws' losses run below zero. */
  const positive = (columns) =>
    columns.every((column) => Array.from(column).every((v) => !Number.isFinite(v) || v > 0));

  function nearest(values, wanted) {
    let best = 0;
    values.forEach((v, i) => {
      if (Math.abs(Math.log(v / wanted)) < Math.abs(Math.log(values[best] / wanted))) best = i;
    });
    return best;
  }

  function frontier(page, plans) {
    const name = page.quantity;
    const active = page.plan;
    const { goal, frontier: swept } = active;
    const accuracy = page.model.main.point.accuracy;
    const [letter, words, show] = Planner.QUANTITIES[name] ?? ["", page.data.value, (v) => Numbers.number(v, 3)];
    const label = name === "value" ? page.data.value : `${letter.replace(/[NDk]/g, "$&*")}, ${words}`;
    const lines = [];
    const bands = [];
    const points = [];
    const rules = [];
    const shown = [];
    const keys = [];
    const rival = page.sampled || goal !== "train_flops";
    if (rival) {
      lines.push({ x: swept.budgets, y: swept.rival[name], cls: "chinchilla" });
      shown.push(swept.rival[name]);
    }
    if (name === "tokens_per_param") {
      lines.push({ x: swept.budgets, y: swept.budgets.map(() => 20), cls: "ratio" });
      shown.push([20]);
    }
    for (const [which, plan] of plans) {
      const { budgets, line, low, high } = plan.frontier;
      const cls = `plan-${which}`;
      if (plan.size) bands.push({ x: budgets, low: low[name], high: high[name], cls });
      lines.push({ x: budgets, y: line[name], cls });
      const here = plan.given[goal];
      const [a, b] = plan.size ? plan.interval(name) : [NaN, NaN];
      points.push({ x: here, y: plan.best[name], low: a, high: b, cls, shape: "circle" });
      rules.push({ x: here, cls });
      shown.push(line[name], low[name], high[name], [plan.best[name], a, b]);
      keys.push({ cls, kind: "line", text: `Plan ${which}` });
    }
    if (active.size) keys.push({ cls: `plan-${page.active}`, kind: "band", text: "90% interval" });
    if (rival) keys.push({ cls: "chinchilla", kind: "line", text: "Chinchilla" });
    if (name === "tokens_per_param") keys.push({ cls: "ratio", kind: "line", text: "20:1" });
    const hull = page.data.hull;
    const box = goal === "train_flops" && hull && hull[name] ? { x: hull.train_flops, y: hull[name] } : null;
    if (box) {
      shown.push(box.y);
      keys.push({ cls: "", kind: "shade", text: "measured range" });
    }
    const log = name !== "value" || (!accuracy && positive(shown));
    const [low, high] = limits(shown, log);
    const [first, last] = [swept.budgets[0], swept.budgets.at(-1)];
    Charts.legend(page.find("#frontier-chart .legend"), keys);
    Charts.draw(page.find("#frontier-chart .plot"), {
      title: `${label} against ${AXIS[goal]}: at ${budgetText(goal)(active.given[goal])} it is ${show(active.best[name])}`,
      x: { label: AXIS[goal], low: first, high: last, log: true, format: powers(goal) },
      y: { label, low, high, log, format: show },
      shade: box, bands, lines, points, rules,
      readout: (at) => {
        const i = nearest(swept.budgets, at);
        const interval = active.size ? ` (${show(swept.low[name][i])} – ${show(swept.high[name][i])})` : "";
        return `At ${budgetText(goal)(swept.budgets[i])}: ${show(swept.line[name][i])}${interval}`;
      },
    });
  }

  /** Ticks of budgets: plain powers of ten need no lead. */
  function powers(goal) {
    return (value) => (goal === "dollars" ? Numbers.dollars(value, 2) : Numbers.flops(value, 2));
  }

  function profiles(page, plans) {
    const active = page.plan;
    const { profile, goal } = active;
    const accuracy = page.model.main.point.accuracy;
    const lines = [];
    const bands = [];
    const points = [];
    const shown = [];
    const keys = [];
    const text = budgetText(goal);
    const names = ["tenth", "now", "tenfold"];
    profile.lines.forEach((y, at) => {
      lines.push({ x: profile.sizes, y, cls: `plan-${page.active} ${names[at]}` });
      shown.push(y);
      if (!profile.optima[at]) return;
      points.push({ x: profile.optima[at].params, y: profile.optima[at].value,
        cls: `plan-${page.active}`, shape: "diamond" });
      keys.push({ cls: `plan-${page.active} ${names[at]}`, kind: "line", text: text(profile.budgets[at], 2) });
    });
    if (active.size) bands.push({ x: profile.sizes, low: profile.low, high: profile.high, cls: `plan-${page.active}` });
    for (const [which, plan] of plans) {
      if (plan === active) continue;
      lines.push({ x: plan.profile.sizes, y: plan.profile.lines[1], cls: `plan-${which} now` });
      points.push({ x: plan.best.params, y: plan.best.value, cls: `plan-${which}`, shape: "diamond" });
      shown.push(plan.profile.lines[1]);
      keys.push({ cls: `plan-${which} now`, kind: "line", text: `Plan ${which}` });
    }
    keys.push({ cls: `plan-${page.active}`, kind: "diamond", text: accuracy ? "highest" : "lowest" });
    const hull = page.data.hull;
    if (hull) keys.push({ cls: "", kind: "shade", text: "measured sizes" });
    const log = !accuracy && positive([...shown, profile.low]);
    const [low, high] = limits(shown, log);
    const format = (v) => Numbers.number(v, 3);
    Charts.legend(page.find("#isoflop-chart .legend"), keys);
    Charts.draw(page.find("#isoflop-chart .plot"), {
      title: `${page.data.value} against parameters, at the budget, a tenth of it and ten times it`,
      x: { label: "N, parameters", low: profile.sizes[0], high: profile.sizes.at(-1), log: true, format: Numbers.count },
      y: { label: page.data.value, low, high, log, format },
      shade: hull ? { x: hull.params } : null, bands, lines, points,
      readout: (at) => {
        const i = nearest(profile.sizes, at);
        const interval = active.size ? ` (${format(profile.low[i])} – ${format(profile.high[i])})` : "";
        return `N = ${Numbers.count(profile.sizes[i])}: ${format(profile.lines[1][i])}${interval}`;
      },
    });
  }

  return { frontier, profiles };
})();

Planner.start();
