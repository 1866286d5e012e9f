// The page's laws and solver, run on the cases that come in as JSON: answers go out as JSON.
import fs from "fs";

const [folder] = process.argv.slice(2);
const files = ["numbers.js", "laws.js", "optimum.js"];
const source = files.map((name) => fs.readFileSync(`${folder}/${name}`, "utf8")).join("\n");
const { Laws, Numbers, Optimum } = new Function(`${source}\nreturn { Laws, Numbers, Optimum };`)();
const asked = JSON.parse(fs.readFileSync(0, "utf8"));

function column(draws) {
  const names = Object.keys(draws[0]);
  return Object.fromEntries(names.map((name) => [name, Float64Array.from(draws, (d) => d[name])]));
}

const answers = {
  optima({ law, base, draws, budgets, hull }) {
    const bound = Laws.bind(law, base, column(draws));
    const single = base === law ? bound : Laws.bind(base, base, column(draws));
    return draws.map((_, i) =>
      budgets.map((given) => {
        const box = Optimum.box(given, bound.usesSamples);
        const plan = Optimum.solve(bound, i, box);
        const rival = Optimum.chinchilla(bound, single, i, box, plan);
        return {
          plan: plan.map(Math.exp),
          value: bound.value(i, ...plan),
          at: Optimum.solveAt(bound, i, box, plan[0]).map(Math.exp),
          flags: Optimum.flags(box, plan, bound.usesSamples, hull),
          rival: [...rival.slice(0, 3).map(Math.exp), bound.value(i, ...rival.slice(0, 3))],
          over: rival[3],
          lacks: Optimum.lacks(box),
        };
      }),
    );
  },
  values({ law, base, draws, points }) {
    const bound = Laws.bind(law, base, column(draws));
    return draws.map((_, i) => points.map((p) => bound.value(i, ...p.map(Math.log))));
  },
  quantiles: ({ values, shares }) => Numbers.quantiles(values, shares),
  ticks: ({ low, high, most }) => Numbers.logTicks(low, high, most),
  counts: ({ values }) => values.map((v) => Numbers.count(v)),
  parsed: ({ texts }) => texts.map(Numbers.parse),
  plain: ({ values }) => values.map(Numbers.plain),
  names: () => ({ laws: Laws.names, losses: Laws.losses }),
  unknown: ({ law, base, draws }) => {
    try {
      Laws.bind(law, base, column(draws));
      return "";
    } catch (error) {
      return error.message;
    }
  },
};

process.stdout.write(JSON.stringify(asked.map(([what, question]) => answers[what](question))));
