"use strict";
/* The planner's controls: one slider in logs and one number box a budget, and what they hold. */

const Dials = (() => {
  const round = (value, digits = 3) => Number(value.toPrecision(digits));

  /** Every dial: label, unit, for which budgets it stands, how it is shown, whether it may be none. */
  function specs(data, sampled) {
    const start = data.initial;
    const span = (value, below, above) => [value / below, value * above];
    const { hull } = data;
    const flops = (value) => `${Numbers.flops(value)} FLOPs`;
    const share = (value) => `${Number((100 * value).toPrecision(3))} %`;
    const served = ["flops", "dollars"];
    const found = [
      { name: "train_flops", label: "Training budget", unit: "FLOPs, counted as 6ND", kinds: ["separate"],
        range: [Math.min(hull.train_flops[0], start.train_flops) / 10,
          Math.max(hull.train_flops[1], start.train_flops) * 1000],
        measured: hull.train_flops, show: flops },
      { name: "inference_flops", label: "Inference budget", kinds: sampled ? ["separate"] : [],
        unit: "FLOPs per generated token of a question, 2Nk",
        range: span(start.inference_flops, 1e3, 1e4), show: flops,
        measured: [2 * hull.params[0] * hull.samples[0], 2 * hull.params[1] * hull.samples[1]] },
      { name: "total_flops", label: "Lifetime budget", unit: "FLOPs, training and serving", kinds: ["flops"],
        range: span(start.total_flops, 1e3, 1e4), show: flops },
      { name: "dollars", label: "Lifetime budget", unit: "dollars, training and serving", kinds: ["dollars"],
        range: span(start.dollars, 1e3, 1e4), show: Numbers.dollars },
      { name: "questions", label: "Questions", unit: "answered over the model's life", kinds: served,
        range: span(start.questions, 1e4, 1e4), show: Numbers.count },
      { name: "tokens_per_sample", label: "Tokens per sample", unit: "generated tokens", kinds: served,
        range: [1, 1e5], show: Numbers.count },
      { name: "dollars_per_hour", label: "Price of an accelerator", unit: "dollars an hour", kinds: ["dollars"],
        range: [0.1, 100], show: (v) => `$${Numbers.number(v, 3)}` },
      { name: "train_utilisation", label: "Utilisation in training", unit: "share of peak FLOPs",
        kinds: ["dollars"], range: [0.01, 1], show: share, most: 1 },
      { name: "decode_utilisation", label: "Utilisation in decoding", unit: "share of peak FLOPs",
        kinds: ["dollars"], range: [0.001, 1], show: share, most: 1 },
      { name: "max_params", label: "Cap on parameters", unit: "parameters N", optional: true,
        range: [hull.params[0], Math.max(hull.params[1] * 100, start.max_params ?? 0)],
        measured: hull.params, show: Numbers.count },
      { name: "max_tokens", label: "Cap on training tokens", unit: "tokens D, the data wall", optional: true,
        range: [hull.tokens[0], Math.max(hull.tokens[1] * 1000, start.max_tokens ?? 0)],
        measured: hull.tokens, show: Numbers.count },
    ];
    return found.map((spec) => ({ ...spec, kinds: spec.kinds ?? ["separate", ...served] }));
  }

  /** One dial in the page; `changed(name, value)` is called with a number, or null for none. */
  class Dial {
    constructor(place, spec, changed) {
      this.spec = spec;
      this.changed = changed;
      this.low = Math.log10(spec.range[0]);
      this.high = Math.log10(spec.range[1]);
      const id = `dial-${spec.name.replaceAll("_", "-")}`;
      const row = document.createElement("div");
      row.className = "dial";
      const known = spec.measured ? `; measured ${spec.measured.map((v) => spec.show(v).replace(" FLOPs", "")).join(" to ")}` : "";
      row.innerHTML = `<label for="${id}">${spec.label}</label><output for="${id}"></output>
<input type="range" id="${id}" step="any"><span class="measured"></span><input type="text" id="${id}-box" inputmode="decimal"
 spellcheck="false" aria-label="${spec.label}, ${spec.unit}"><span class="unit">${spec.unit}${known}</span>
<span class="far"></span><span class="wrong" id="${id}-wrong" role="alert"></span>`;
      place.append(row);
      this.row = row;
      [this.slider, this.box] = row.querySelectorAll("input");
      this.output = row.querySelector("output");
      this.wrong = row.querySelector(".wrong");
      this.far = row.querySelector(".far");
      this.measured = row.querySelector(".measured");
      this.slider.step = 0.01;
      this.slider.addEventListener("input", () => this.slid());
      this.box.addEventListener("change", () => this.typed());
      this.box.setAttribute("aria-describedby", `${id}-wrong`);
      this.reach();
    }

    /** The slider's ends; past the last step of an optional dial there is no cap. */
    reach() {
      this.slider.min = this.low.toFixed(2);
      this.slider.max = (this.high + (this.spec.optional ? 0.01 : 0)).toFixed(2);
      this.measured.hidden = !this.spec.measured;
      if (!this.spec.measured) return;
      // The bar under the slider: what the table reaches, between the ends of the track.
      const place = (x) => Math.min(1, Math.max(0, (Math.log10(x) - this.low) / (this.high - this.low)));
      const [from, to] = this.spec.measured.map(place);
      this.measured.style.setProperty("--from", `${100 * from}%`);
      this.measured.style.setProperty("--to", `${100 * to}%`);
    }

    slid() {
      const at = Number(this.slider.value);
      const none = this.spec.optional && at > this.high - 1e-9;
      let value = none ? null : round(10 ** at);
      if (value !== null && this.spec.most) value = Math.min(value, this.spec.most);
      this.tell(value);
      this.changed(this.spec.name, value);
    }

    typed() {
      const text = this.box.value.trim();
      let value = text === "" && this.spec.optional ? null : Numbers.parse(text);
      // Nobody caps a model at 7 parameters: 7 are billions.
      const billions = this.spec.optional && value !== null && value > 0 && value < 1000;
      if (billions) value *= 1e9;
      const high = this.spec.most ?? Infinity;
      if (value !== null && !(value > 0 && value <= high && Number.isFinite(value))) {
        const limit = this.spec.most ? " and at most 1" : "";
        this.wrong.textContent = `“${text}” is no number above 0${limit}: write 1e18, 2.5B or 300k`;
        this.box.setAttribute("aria-invalid", "true");
        return;
      }
      this.set(value);
      if (billions) this.far.textContent = `${text} was taken as ${Numbers.count(value)}. ${this.far.textContent}`;
      this.changed(this.spec.name, value);
    }

    /** Show a value, and move the slider there. */
    set(value) {
      if (value !== null) {
        this.low = Math.min(this.low, Math.log10(value));
        this.high = Math.max(this.high, Math.log10(value));
        this.reach();
      }
      this.slider.value = value === null ? this.slider.max : Math.log10(value);
      this.tell(value);
    }

    tell(value) {
      const shown = value === null ? "no cap" : this.spec.show(value);
      this.output.textContent = shown;
      this.slider.setAttribute("aria-valuetext", shown);
      // Six digits fit the box; the plan keeps them all.
      this.box.value = value === null ? "" : Numbers.plain(round(value, 6));
      this.box.placeholder = this.spec.optional ? "none" : "";
      const away = value === null ? 0 : Story.decades(value, this.spec.measured);
      this.far.textContent = away ? `${Story.distance(away)} what was measured` : "";
      this.wrong.textContent = "";
      this.box.removeAttribute("aria-invalid");
    }
  }

  /** The accelerators, as a list to choose from. */
  function hardware(place, known, changed) {
    const row = document.createElement("div");
    row.className = "dial pick";
    row.innerHTML = `<label for="dial-hardware">Accelerator</label><select id="dial-hardware"></select>`;
    const select = row.querySelector("select");
    for (const [name, { title }] of Object.entries(known)) select.add(new Option(title, name));
    select.addEventListener("change", () => changed("hardware", select.value));
    place.append(row);
    return { row, select, kinds: ["dollars"] };
  }

  return { Dial, hardware, round, specs };
})();
