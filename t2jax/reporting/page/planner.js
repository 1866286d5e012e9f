"use strict";
/* The planner: plans A and B, their table, charts, command line and CSV file. */

const Planner = (() => {
  const SLICE = 14; // milliseconds of work before the page may answer again
  const QUANTITIES = {
    params: ["N", "parameters", Numbers.count],
    tokens: ["D", "training tokens", Numbers.count],
    samples: ["k", "samples per question", Numbers.samples],
    tokens_per_param: ["D/N", "tokens per parameter", Numbers.count],
  };
  const short = (value) => Numbers.number(value, 4);
  const both = ([low, high], show) => `${show(low)} – ${show(high)}`;

  class Page {
    constructor(root, data) {
      this.root = root;
      this.data = data;
      this.model = Work.laws(data);
      this.sampled = this.model.main.point.usesSamples;
      this.find = (selector) => root.querySelector(selector);
      const told = Address.read(location.hash, data.initial, data.hardware);
      const made = (inputs) => inputs && new Work.Plan(this.model, data, inputs);
      this.plans = { A: made(told.A), B: made(told.B) };
      this.active = told.active;
      const [title, lede] = ["#headline", "#lede"].map((id) => document.querySelector(id));
      this.report = { title, lede, headline: title.textContent, said: lede.textContent };
      this.quantity = "tokens_per_param";
      this.timer = 0;
      this.waiting = [];
      this.build();
      this.find(".planner-grid").hidden = false;
      this.tabs();
      this.turn();
      new ResizeObserver(() => this.charts()).observe(this.find("#frontier-chart .plot"));
    }

    get plan() {
      return this.plans[this.active];
    }

    // Controls ---------------------------------------------------------------------------------

    build() {
      const place = this.find(".dials");
      const changed = (name, value) => this.move({ [name]: value });
      this.dials = Dials.specs(this.data, this.sampled).map((s) => new Dials.Dial(place, s, changed));
      this.hardware = Dials.hardware(place, this.data.hardware, changed);
      const select = this.find("#frontier-chart select");
      for (const [name, [letter, words]] of Object.entries(QUANTITIES)) {
        select.add(new Option(`${letter}, ${words}`, name, false, name === this.quantity));
      }
      select.add(new Option(this.data.value, "value"));
      select.addEventListener("change", () => {
        this.quantity = select.value;
        this.charts();
      });
      this.root.addEventListener("change", (event) => {
        if (event.target.name === "kind") this.move({ kind: event.target.value });
        if (event.target.name === "plan") this.choose(event.target.value);
      });
      this.root.addEventListener("click", (event) => {
        const act = event.target.closest("[data-do]")?.dataset.do;
        if (act) this[act](event.target);
      });
      this.find("form").addEventListener("submit", (event) => event.preventDefault());
      document.querySelector("#back").addEventListener("click", () => this.take("#"));
      window.addEventListener("hashchange", () => this.take(location.hash));
      this.find("details").addEventListener("toggle", () => this.numbers());
      this.show();
    }

    /** The controls as the active plan has them. */
    show() {
      const { inputs } = this.plan;
      for (const radio of this.root.querySelectorAll("[name=kind]")) radio.checked = radio.value === inputs.kind;
      for (const radio of this.root.querySelectorAll("[name=plan]")) radio.checked = radio.value === this.active;
      for (const dial of this.dials) {
        dial.row.hidden = !dial.spec.kinds.includes(inputs.kind);
        dial.set(inputs[dial.spec.name] ?? null);
      }
      this.hardware.row.hidden = !this.hardware.kinds.includes(inputs.kind);
      this.hardware.select.value = inputs.hardware;
      this.root.dataset.active = this.active;
    }

    /** Something moved: solve, draw, and leave the draws to the time in between. */
    move(change) {
      const start = performance.now();
      this.plan.set({ ...this.plan.inputs, ...change });
      if ("kind" in change) this.show();
      this.turn();
      this.lastMove = performance.now() - start;
    }

    choose(name) {
      this.active = name;
      this.show();
      this.render();
    }

    /** Whether the active plan is the one that the report was written about. */
    get own() {
      return this.active === "A" && this.plan.untouched;
    }

    /** The plans that an address names. */
    take(hash) {
      const told = Address.read(hash, this.data.initial, this.data.hardware);
      for (const name of ["A", "B"]) {
        this.plans[name] = told[name] && new Work.Plan(this.model, this.data, told[name]);
      }
      this.active = told.active;
      this.tabs();
      this.show();
      this.turn();
    }

    /** The second plan's tab, and what the button beside it does. */
    tabs() {
      this.find(".tab-b").hidden = !this.plans.B;
      this.find("[data-do=second]").textContent = this.plans.B ? "Remove plan B" : "Compare with a second plan";
    }

    /** Make a second plan, or take it away. */
    second(button) {
      if (this.plans.B) {
        this.plans.B = null;
        this.choose("A");
        this.tabs();
        Address.put(Address.write(this.plans, this.active, this.data.initial));
        button.focus();
      } else {
        this.plans.B = new Work.Plan(this.model, this.data, { ...this.plans.A.inputs });
        this.tabs();
        this.choose("B");
        this.turn();
      }
    }

    // Work -------------------------------------------------------------------------------------

    /** Work for a slice, draw, and come back until everything is done. */
    turn() {
      clearTimeout(this.timer);
      const started = performance.now();
      const more = this.advance(SLICE);
      this.render();
      this.drawn = started;
      this.timer = more ? setTimeout(() => this.go(), 0) : 0;
      if (!more) this.finish();
    }

    go() {
      const more = this.advance(SLICE);
      // Drawing costs as much as a slice: every third of a second is often enough.
      if (more && performance.now() - this.drawn < 300) {
        this.timer = setTimeout(() => this.go(), 0);
        return;
      }
      this.drawn = performance.now();
      this.render();
      this.timer = more ? setTimeout(() => this.go(), 0) : 0;
      if (!more) this.finish();
    }

    advance(milliseconds) {
      const rest = this.active === "A" ? this.plans.B : this.plans.A;
      if (this.plan.continue(milliseconds)) return true;
      return rest ? rest.continue(milliseconds) : false;
    }

    finish() {
      this.say();
      Address.put(Address.write(this.plans, this.active, this.data.initial));
      for (const resolve of this.waiting.splice(0)) resolve();
    }

    /** Resolves when every draw is in. */
    idle() {
      return this.timer ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
    }

    // Drawing ----------------------------------------------------------------------------------

    shown() {
      return Object.entries(this.plans).filter(([, plan]) => plan);
    }

    render() {
      this.headline();
      this.results();
      this.versus();
      this.charts();
      const flags = this.plan.lacks ? [] : this.plan.flags;
      this.find(".flags").replaceChildren(...flags.map((name) => {
        const item = document.createElement("li");
        item.textContent = this.data.status[name];
        return item;
      }));
      this.find("#command").textContent = this.command();
      const { done, size, banded } = this.plan;
      const busy = done < size && !this.plan.lacks;
      const all = Numbers.count(size, 4);
      this.find(".progress").textContent = busy ? `intervals from ${done} of ${all} draws …` : "";
      const few = banded < size ? ` Bands of the curves come from ${banded} of them.` : "";
      this.find(".fine").textContent = size
        ? `Intervals hold 90% of ${all} draws, those of the curves pointwise.${few}${this.data.note}`
        : `There are no draws, hence no intervals.${this.data.note}`;
    }

    /** The page's headline is that of the plan on the sliders. */
    headline() {
      const { title, lede, headline, said } = this.report;
      const still = this.own || this.plan.lacks;
      title.textContent = still ? headline : Story.headline(this.plan, this.data.hull);
      lede.textContent = still ? said : Story.lede(this, this.plan);
      document.querySelector(".back").hidden = this.own;
      document.title = `${title.textContent} | t2jax`;
    }

    results() {
      const shown = this.shown();
      const rival = this.plan.lacks ? null : this.plan.rival;
      const head = ["", ...shown.map(([name]) => `Plan ${name}`), ...(rival ? ["Chinchilla"] : [])];
      const cell = (tag, text, small = "") => {
        const made = document.createElement(tag);
        made.append(text);
        if (small) {
          const inner = document.createElement("small");
          inner.textContent = small;
          made.append(inner);
        }
        return made;
      };
      const line = (...cells) => {
        const row = document.createElement("tr");
        row.append(...cells);
        return row;
      };
      const rows = Object.entries(QUANTITIES).map(([name, [letter, words, show]]) => [
        `${letter}, ${words}`, (one) => show(one[name]), (plan) => plan.interval(name), show]);
      rows.push([this.data.value, (one) => short(one.value), (plan) => plan.interval("value"), short]);
      this.model.judges.forEach((judge, at) => rows.push([
        judge.label, (one) => short(one.judged[at]), (plan) => plan.interval("judged", at), short]));
      if (shown.some(([, plan]) => plan.share > 0)) {
        const percent = (v) => (v > 0 ? `${Numbers.number(100 * v, 3)} %` : "");
        rows.push(["share of the budget that trains", (one, plan) => percent(plan?.share), null, null]);
      }
      const body = rows.map(([title, value, interval, show]) => {
        const cells = shown.map(([name, plan]) => {
          if (plan.lacks) return cell("td", "–");
          // Ends of some draws are not those of all: none until all are done.
          const whole = plan.size && plan.done === plan.size;
          const ends = !interval || !plan.size ? "" : whole ? both(interval(plan), show) : "…";
          const made = cell("td", value(plan.best, plan), ends);
          made.className = `plan-${name}`;
          return made;
        });
        if (rival) cells.push(cell("td", value(rival, null)));
        const first = cell("th", title);
        first.scope = "row";
        return line(first, ...cells);
      });
      const titles = head.map((text, at) => {
        const made = cell(at ? "th" : "td", text);
        if (at) made.scope = "col";
        if (text.startsWith("Plan")) made.className = `plan-${text.at(-1)}`;
        return made;
      });
      this.find(".results thead").replaceChildren(line(...titles));
      this.find(".results tbody").replaceChildren(...body);
    }

    /** Plan B against plan A, both judged by the same draws; or why there is no plan. */
    versus() {
      const { A, B } = this.plans;
      const place = this.find(".versus");
      if (this.plan.lacks) {
        place.textContent = `The ${this.plan.lacks} affords nothing: give more.`;
        return;
      }
      if (!B || A.lacks || B.lacks) {
        place.textContent = this.plan.rival.over
          ? "One sample of Chinchilla's model already exceeds the budget that is left for inference." : "";
        return;
      }
      const why = Story.agreement(A, B);
      if (why) {
        place.textContent = why;
        return;
      }
      const sign = this.model.main.point.accuracy ? -1 : 1;
      const gain = sign * (A.best.value - B.best.value);
      const each = A.draws.value.map((value, i) => sign * (value - B.draws.value[i]));
      const unit = sign > 0 ? "nats" : "of pass@k";
      const way = gain >= 0 ? "better" : "worse";
      const whole = A.size && A.done === A.size && B.done === B.size;
      const ends = whole ? `, 90% interval ${both(Numbers.quantiles(each, Work.TAILS), short)}` : "";
      place.textContent = `Plan B is ${short(Math.abs(gain))} ${unit} ${way} than plan A${ends}.`;
    }

    /** What a screen reader hears once the numbers rest. */
    say() {
      if (this.plan.lacks) {
        this.find("#said").textContent = this.find(".versus").textContent;
        return;
      }
      const { best } = this.plan;
      const parts = Object.entries(QUANTITIES).map(([name, [, words, show]]) => `${show(best[name])} ${words}`);
      this.find("#said").textContent =
        `Plan ${this.active}: ${parts.join(", ")}; ${this.data.value} ${short(best.value)}. ${this.find(".versus").textContent}`;
    }

    charts() {
      const sound = this.shown().filter(([, plan]) => !plan.lacks);
      if (this.plan.lacks) return;
      sound.forEach(([, plan]) => plan.bands([this.quantity]));
      PlannerCharts.frontier(this, sound.filter(([, plan]) => plan.goal === this.plan.goal));
      PlannerCharts.profiles(this, sound);
      this.numbers();
    }

    // What is taken away -----------------------------------------------------------------------

    /** The plan as `t2jax optimum` takes it. */
    command() {
      const { inputs } = this.plan;
      const words = ["t2jax optimum", this.data.draws_file];
      const flag = (name) => {
        const value = inputs[name];
        if (value == null) return;
        const text = typeof value === "number" ? Numbers.plain(value) : value;
        words.push(`--${name.replaceAll("_", "-")} ${text}`);
      };
      const served = ["questions", "tokens_per_sample"];
      const priced = ["dollars", "dollars_per_hour", "hardware", "train_utilisation", "decode_utilisation"];
      const flags = {
        separate: ["train_flops", ...(this.sampled ? ["inference_flops"] : [])],
        flops: ["total_flops", ...served],
        dollars: [...priced, ...served],
      }[inputs.kind];
      [...flags, "max_params", "max_tokens"].forEach(flag);
      return words.join(" ");
    }

    copy(button) {
      return this.hand(button, this.command());
    }

    share(button) {
      Address.put(Address.write(this.plans, this.active, this.data.initial));
      return this.hand(button, location.href);
    }

    /** Text to the clipboard, and a word that it is there. */
    async hand(button, text) {
      const before = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // No clipboard on this page: select the text, so that the keyboard can copy it.
        const place = document.createElement("textarea");
        place.value = text;
        button.after(place);
        place.select();
        document.execCommand("copy");
        place.remove();
        button.focus();
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1600);
    }

    /** Plans and frontiers, a row each. */
    rows() {
      const names = Work.QUANTITIES;
      const goals = Object.values(Work.GOALS);
      const head = ["plan", "row", ...goals, "inference_flops", "questions", "tokens_per_sample",
        "max_params", "max_tokens", ...names.flatMap((n) => [n, `${n}_low`, `${n}_high`])];
      const found = [head];
      for (const [name, plan] of this.shown()) {
        if (plan.lacks) continue;
        plan.bands();
        const { frontier, given, goal } = plan;
        const common = (budget) => head.slice(2, 10).map((key) => (key === goal ? budget : given[key]) ?? "");
        const cells = names.flatMap((n) => [plan.best[n], ...plan.interval(n)]);
        found.push([name, "plan", ...common(given[goal]), ...cells]);
        frontier.budgets.forEach((budget, i) => {
          const row = names.flatMap((n) => [frontier.line[n][i], frontier.low[n][i], frontier.high[n][i]]);
          found.push([name, "frontier", ...common(budget), ...row]);
        });
      }
      return found.map((row) => row.map((v) => (Number.isNaN(v) ? "" : v)));
    }

    csv() {
      const text = this.rows().map((row) => row.join(",")).join("\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
      link.download = "t2jax-plan.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    /** The frontier as a table, for those who would rather read it. */
    numbers() {
      if (!this.find("details").open || this.plan.lacks) return;
      const { frontier } = this.plan;
      const names = Work.QUANTITIES;
      const row = (tag, cells) => `<tr>${cells.map((c) => `<${tag}>${c}</${tag}>`).join("")}</tr>`;
      const titles = names.map((n) => QUANTITIES[n]?.[0] ?? "value");
      const show = (n) => QUANTITIES[n]?.[2] ?? short;
      const lines = Array.from(frontier.budgets, (budget, i) => row("td", [
        Numbers.flops(budget), ...names.map((n) => show(n)(frontier.line[n][i]))]));
      const unit = this.plan.goal === "dollars" ? "dollars" : "FLOPs";
      this.find(".numbers").innerHTML = `<thead>${row("th", [unit, ...titles])}</thead><tbody>${lines.join("")}</tbody>`;
    }
  }

  /** Start the planner of a page, where there is one. */
  function start() {
    const place = document.getElementById("t2jax-data");
    const root = document.getElementById("planner");
    const data = JSON.parse(place.textContent);
    if (!root || !data.law) return;
    // After the first paint: the text is there before the planner is.
    requestAnimationFrame(() => setTimeout(() => { window.t2jax = new Page(root, data); }, 0));
  }

  return { QUANTITIES, start };
})();
