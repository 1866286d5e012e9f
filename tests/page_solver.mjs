// The page's programs and search, run on the cases that come in as JSON: answers go out as JSON.
import fs from "fs";

const [folder] = process.argv.slice(2);
const [programs, asked] = JSON.parse(fs.readFileSync(0, "utf8"));
const files = ["numbers.js", "search.js"].map((name) => fs.readFileSync(`${folder}/${name}`, "utf8"));
const source = [programs, ...files, "return { Programs, Numbers, Search };"].join("\n");
const { Programs, Numbers, Search } = new Function(source)();

function bind(name, draws, form) {
  const names = Object.keys(draws[0]);
  return Search.bind(Programs[name], names.map((n) => Float64Array.from(draws, (d) => d[n])), form);
}

const answers = {
  optima({ form, base, uses_samples: usesSamples, draws, budgets, hull }) {
    const law = bind(form, draws, { accuracy: false, usesSamples });
    const single = bind(base, draws, { accuracy: false, usesSamples: false });
    return draws.map((_, i) =>
      budgets.map((given) => {
        const box = Search.box(given, usesSamples);
        const plan = Search.solve(law, i, box);
        const rival = Search.chinchilla(single, i, box, plan);
        return {
          plan: plan.map(Math.exp),
          value: law.value(i, ...plan),
          at: Search.solveAt(law, i, box, plan[0]).map(Math.exp),
          flags: Search.flags(box, plan, usesSamples, hull),
          rival: [...rival.slice(0, 3).map(Math.exp), law.value(i, ...rival.slice(0, 3))],
          over: rival[3],
          lacks: Search.lacks(box),
        };
      }),
    );
  },
  // Value, then how it moves with log N, log D and log k.
  values({ form, draws, points }) {
    const law = bind(form, draws, {});
    const out = [0, 0, 0];
    return draws.map((_, i) => points.map((p) => {
      const at = p.map(Math.log);
      law.slopes(i, ...at, out);
      return [law.value(i, ...at), law.goal(i, ...at), ...out];
    }));
  },
  quantiles: ({ values, shares }) => Numbers.quantiles(values, shares),
  ticks: ({ low, high, most }) => Numbers.logTicks(low, high, most),
  counts: ({ values }) => values.map((v) => Numbers.count(v)),
  parsed: ({ texts }) => texts.map(Numbers.parse),
  plain: ({ values }) => values.map(Numbers.plain),
};

process.stdout.write(JSON.stringify(asked.map(([what, question]) => answers[what](question))));
