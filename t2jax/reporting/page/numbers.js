"use strict";
/* Numbers as people read them, ticks of log axes, quantiles: as t2jax/_text.py and figures have them. */

const Numbers = (() => {
  const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

  /** A plain number with so many significant digits, as printf's %g. */
  function number(value, digits = 4) {
    if (!Number.isFinite(value)) {
      return Number.isNaN(value) ? "n/a" : value > 0 ? "∞" : "−∞";
    }
    if (value === 0) return "0";
    const size = Math.abs(value);
    let text;
    if (size >= 1e-4 && size < 1e6) {
      text = Number(value.toPrecision(digits)).toString();
      if (text.includes("e")) text = value.toFixed(0);
    } else {
      text = Number(value.toPrecision(digits)).toExponential();
      const [lead, power] = text.split("e");
      const exponent = [...power.replace("+", "").replace("-", "")].map((c) => SUPERSCRIPTS[+c]);
      text = `${lead === "1" || lead === "-1" ? lead.replace("1", "") : `${lead} × `}10`;
      text += (power.startsWith("-") ? "⁻" : "") + exponent.join("");
    }
    return text.replace("-", "−");
  }

  /** A count of parameters, tokens or samples with a thousands suffix. */
  function count(value, digits = 3) {
    if (!Number.isFinite(value) || Math.abs(value) >= 1e15) return number(value, digits);
    for (const [unit, suffix] of UNITS) {
      // 999.96k would round up to a four-digit 1000k
      if (Math.abs(value) >= unit * (1 - 0.5 * 10 ** -digits)) {
        return number(value / unit, digits) + suffix;
      }
    }
    return number(value, digits);
  }

  /** Samples as people draw them: whole, unless they are so few that the rest counts. */
  function samples(value) {
    return value >= 10 && value < 10000 ? String(Math.round(value)) : count(value);
  }

  /** FLOPs, which span too many decades for suffixes. */
  function flops(value, digits = 3) {
    if (!Number.isFinite(value) || Math.abs(value) < 1e4) return number(value, digits);
    const power = Math.floor(Math.log10(value) + 1e-12);
    const lead = Number((value / 10 ** power).toPrecision(digits));
    const exponent = [...String(power)].map((c) => SUPERSCRIPTS[+c]).join("");
    return lead === 1 ? `10${exponent}` : `${lead} × 10${exponent}`;
  }

  function dollars(value, digits = 3) {
    return Number.isFinite(value) ? `$${count(value, digits)}` : number(value, digits);
  }

  /** A number as a command line takes it: 2.56e19, 1000000000 as 1e9. */
  function plain(value) {
    if (!Number.isFinite(value)) return "";
    const short = value.toExponential().replace("e+", "e");
    const long = String(value);
    return long.length <= 6 && !long.includes("e") ? long : short;
  }

  const WRITTEN = new RegExp("^\\s*[$]?\\s*[+]?(\\d{1,3}(?:[,_]\\d{3})+(?:\\.\\d*)?|\\d+\\.?\\d*|\\.\\d+)"
    + "(?:e([+-]?\\d+)|\\s*[x*\u00d7]\\s*10\\s*(?:\\^|\\*\\*)\\s*([+-]?\\d+))?"
    + "\\s*(?:(k|thousand|mn?|million|bn?|g|billion|tn?|trillion)(?![a-z]))?\\s*(%?)"
    + "\\s*(?:params|parameters|tokens|flops?)?\\s*$", "i");
  const POWERS = { k: 3, th: 3, m: 6, g: 9, b: 9, t: 12 };

  /** What somebody typed, as t2jax/_numeral.py reads it: 1e18, 2.5B, 10^21; NaN when it is no number. */
  function parse(text) {
    const alone = /^\s*10\s*(?:\^|\*\*)\s*([+-]?\d+)\s*$/.exec(text);
    if (alone) return Number(`1e${alone[1]}`);
    const found = WRITTEN.exec(text);
    if (!found) return NaN;
    const [, digits, e, power, scale = "", share] = found;
    const word = scale.toLowerCase();
    const zeros = POWERS[word.startsWith("th") ? "th" : word[0]] ?? 0;
    const value = Number(`${digits.replace(/[,_]/g, "")}e${Number(e ?? power ?? 0) + zeros}`);
    return share ? value / 100 : value;
  }

  /** Round numbers between two ends of a log axis, at most so many where possible. */
  function logTicks(low, high, most = 6) {
    if (high < 2.5 * low) {
      // as good as linear
      const power = 10 ** Math.floor(Math.log10((high - low) / 3));
      const step = [5, 2, 1].map((m) => m * power).find((s) => (high - low) / s >= 3) ?? power;
      const ticks = [];
      for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) {
        ticks.push(Number((i * step).toPrecision(12)));
      }
      return ticks;
    }
    const first = Math.floor(Math.log10(low));
    const last = Math.ceil(Math.log10(high));
    let found = [];
    for (const steps of [[1, 2, 3, 5], [1, 2, 5], [1, 3], [1]]) {
      found = [];
      for (let p = first; p <= last; p += 1) {
        for (const m of steps) {
          const value = Number(`${m}e${p}`);
          if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
        }
      }
      if (found.length <= most) return found;
    }
    const every = Math.ceil(found.length / most);
    return found.filter((_, i) => i % every === 0);
  }

  /** Round numbers between two ends of a plain axis. */
  function ticks(low, high, most = 6) {
    const raw = (high - low) / Math.max(1, most - 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => (high - low) / s <= most - 1e-9);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  /** Quantiles by linear interpolation; draws that are no numbers are counted out. */
  function quantiles(values, shares) {
    const sound = Float64Array.from(values.filter(Number.isFinite)).sort();
    return shares.map((share) => {
      if (!sound.length) return NaN;
      const place = share * (sound.length - 1);
      const below = Math.floor(place);
      const above = Math.min(below + 1, sound.length - 1);
      return sound[below] + (place - below) * (sound[above] - sound[below]);
    });
  }

  /** Equal steps in logs, both ends included. */
  function geomspace(low, high, points) {
    const ratio = Math.log(high / low) / (points - 1);
    return Float64Array.from({ length: points }, (_, i) => low * Math.exp(i * ratio));
  }

  return { count, dollars, flops, geomspace, logTicks, number, parse, plain, quantiles, samples, ticks };
})();
