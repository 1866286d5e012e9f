"use strict";
/* What the planner says in words: the headline, how far beyond the data, why two plans agree. */

const Story = (() => {
  const FAR = 0.5; // decades beyond the data from which a headline counts them
  const SAME = 1e-6; // relative difference below which two plans are one
  const short = (value) => Numbers.number(value, 4);

  /** Decades by which a value lies outside a range: above counts positive, inside is 0. */
  function decades(value, range) {
    if (!range || !Number.isFinite(value)) return 0;
    if (value > range[1] * (1 + 1e-6)) return Math.log10(value / range[1]);
    return value < range[0] * (1 - 1e-6) ? Math.log10(value / range[0]) : 0;
  }

  /** A distance in words. */
  function distance(away) {
    const size = Number(Math.max(Math.abs(away), 0.01).toPrecision(2));
    return `${size} ${size === 1 ? "decade" : "decades"} ${away > 0 ? "above" : "below"}`;
  }

  /** The farthest of a plan's numbers from what was measured: {words, away}. */
  function beyond(best, hull) {
    const words = {
      params: "sizes", tokens: "token counts", samples: "samples k", tokens_per_param: "tokens per parameter",
      train_flops: "training budgets",
    };
    const values = { ...best, train_flops: 6 * best.params * best.tokens };
    const found = Object.keys(words).map((name) => ({
      words: words[name], away: decades(values[name], hull?.[name]) }));
    return found.reduce((most, one) => (Math.abs(one.away) > Math.abs(most.away) ? one : most));
  }

  /** The plan in a sentence, as the report's own headline has it. */
  function headline(plan, hull) {
    const { best } = plan;
    const k = best.samples > 1 + 1e-9 ? `, and ${Numbers.samples(best.samples)} samples per question` : "";
    const told = `rain ${Numbers.count(best.params)} parameters on ${Numbers.count(best.tokens)} tokens${k}`;
    const far = Math.abs(beyond(best, hull).away);
    if (far === 0) return `T${told}`;
    const by = far < FAR ? "" : `, by up to ${Number(far.toPrecision(2))} decades`;
    return `Beyond the data${by}, the law says: t${told}`;
  }

  /** What the headline leaves out: budgets, value, gain, and how far from the data that is. */
  function lede(page, plan) {
    const { best, rival } = plan;
    const { hull, value } = page.data;
    const accuracy = page.model.main.point.accuracy;
    const unit = accuracy ? "of pass@k" : "nats";
    let told = `The sliders' plan, not the report's: ${spent(plan)}. The law predicts ${value} ${short(best.value)}`;
    if (plan.size && plan.done === plan.size) {
      const [low, high] = plan.interval("value");
      told += ` (90% interval ${short(low)} to ${short(high)})`;
    }
    const gain = (accuracy ? 1 : -1) * (best.value - rival.value);
    if (rival.over) told += ". One sample of Chinchilla's model would exceed what is left for inference.";
    else told += `, ${Numbers.number(Math.abs(gain), 3)} ${unit} ${gain >= 0 ? "better" : "WORSE"} than Chinchilla's choice.`;
    const farthest = beyond(best, hull);
    if (farthest.away) told += ` It lies ${distance(farthest.away)} the measured ${farthest.words}.`;
    return told;
  }

  function spent({ inputs }) {
    const caps = [];
    if (inputs.max_params != null) caps.push(`at most ${Numbers.count(inputs.max_params)} parameters`);
    if (inputs.max_tokens != null) caps.push(`at most ${Numbers.count(inputs.max_tokens)} tokens`);
    const budget = {
      separate: () => `${Numbers.flops(inputs.train_flops)} FLOPs to train`,
      flops: () => `${Numbers.flops(inputs.total_flops)} FLOPs for training and ${Numbers.count(inputs.questions)} questions`,
      dollars: () => `${Numbers.dollars(inputs.dollars)} for training and ${Numbers.count(inputs.questions)} questions`,
    }[inputs.kind]();
    return [budget, ...caps].join(", ");
  }

  const USED = {
    separate: ["train_flops", "inference_flops"],
    flops: ["total_flops", "questions", "tokens_per_sample"],
    dollars: ["dollars", "questions", "tokens_per_sample", "dollars_per_hour", "hardware", "train_utilisation",
      "decode_utilisation"],
  };
  const CAPS = { max_params: ["cap on parameters", "params"], max_tokens: ["cap on training tokens", "tokens"] };

  /** Why two plans are one plan, or nothing where they are not. */
  function agreement(A, B) {
    const close = (name) => Math.abs(A.best[name] - B.best[name]) <= SAME * Math.abs(A.best[name]);
    if (!["params", "tokens", "samples"].every(close)) return "";
    const one = A.inputs;
    const other = B.inputs;
    const apart = (name) => (one[name] ?? null) !== (other[name] ?? null);
    const same = one.kind === other.kind;
    const budgets = same ? USED[one.kind].filter(apart) : ["kind"];
    const caps = Object.keys(CAPS).filter(apart);
    if (!budgets.length && !caps.length) {
      return "Plan B still has the budgets of plan A: move a slider, and it will differ.";
    }
    if (!budgets.length) {
      const names = caps.map((name) => `the ${CAPS[name][0]}`).join(" and ");
      return `Plans A and B agree: they differ in ${names} only, which ${caps.length > 1 ? "bind" : "binds"} in neither.`;
    }
    const bound = Object.keys(CAPS).filter((name) =>
      !apart(name) && one[name] != null && A.best[CAPS[name][1]] >= one[name] * (1 - SAME));
    if (bound.length) {
      return `Plans A and B agree: the ${CAPS[bound[0]][0]}, the same in both, decides, not what they differ in.`;
    }
    return `Plans A and B agree: what they differ in (${budgets.join(", ").replaceAll("_", " ")}) buys the same plan.`;
  }

  return { agreement, beyond, decades, distance, headline, lede };
})();
