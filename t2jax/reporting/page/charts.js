"use strict";
/* Charts as SVG at the size of their place, so that text keeps its size; colours come from CSS. */

const Charts = (() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const HEIGHT = 300;
  const MARGIN = { top: 12, right: 14, bottom: 46, left: 58 };

  function element(name, attributes = {}, ...children) {
    const made = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function scale(axis, from, to) {
    const read = axis.log ? Math.log : (v) => v;
    const low = read(axis.low);
    const span = read(axis.high) - low;
    const place = (value) => from + ((read(value) - low) / span) * (to - from);
    const back = (at) => {
      const value = low + ((at - from) / (to - from)) * span;
      return axis.log ? Math.exp(value) : value;
    };
    return { place, back };
  }

  /** A path through points, broken where one is no number. */
  function path(x, y, places) {
    let text = "";
    let pen = false;
    for (let i = 0; i < x.length; i += 1) {
      const [px, py] = [places.x.place(x[i]), places.y.place(y[i])];
      if (!Number.isFinite(px) || !Number.isFinite(py)) {
        pen = false;
        continue;
      }
      text += `${pen ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
      pen = true;
    }
    return text;
  }

  function band(x, low, high, places) {
    const sound = [...x.keys()].filter((i) => Number.isFinite(low[i]) && Number.isFinite(high[i]));
    if (sound.length < 2) return "";
    const at = (i, y) => `${places.x.place(x[i]).toFixed(1)} ${places.y.place(y[i]).toFixed(1)}`;
    const there = sound.map((i) => at(i, high));
    const back = sound.reverse().map((i) => at(i, low));
    return `M${[...there, ...back].join("L")}Z`;
  }

  function ticksOf(axis, most) {
    return axis.log ? Numbers.logTicks(axis.low, axis.high, most) : Numbers.ticks(axis.low, axis.high, most);
  }

  function marker(shape, cls, x, y) {
    if (shape === "diamond") {
      return element("path", { class: `mark ${cls}`, d: `M${x} ${y - 6}l6 6l-6 6l-6-6Z` });
    }
    return element("circle", { class: `mark ${cls}`, cx: x, cy: y, r: 5 });
  }

  let clips = 0;

  /**
   * Draw a chart into a place, in its own width.
   * @param {HTMLElement} place
   * @param {object} chart title, x and y axes {label, low, high, log, format}; shade {x, y};
   *   bands [{x, low, high, cls}]; lines [{x, y, cls}]; points [{x, y, low, high, cls, shape}];
   *   rules [{x, cls}] upright lines; readout(x), a sentence for the pointer
   */
  function draw(place, chart) {
    const width = Math.max(260, Math.round(place.clientWidth));
    const places = {
      x: scale(chart.x, MARGIN.left, width - MARGIN.right),
      y: scale(chart.y, HEIGHT - MARGIN.bottom, MARGIN.top),
    };
    clips += 1;
    const id = `clip-${place.parentElement.id}-${clips % 2}`;
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": chart.title,
    });
    const [left, right] = [MARGIN.left, width - MARGIN.right];
    const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
    const box = element("rect", { x: left, y: top, width: right - left, height: bottom - top });
    svg.append(element("clipPath", { id }, box));
    const inside = element("g", { "clip-path": `url(#${id})` });

    if (chart.shade) {
      const [x0, x1] = (chart.shade.x ?? [chart.x.low, chart.x.high]).map(places.x.place);
      const [y1, y0] = (chart.shade.y ?? [chart.y.low, chart.y.high]).map(places.y.place);
      inside.append(element("rect", {
        class: "shade", x: Math.min(x0, x1), y: Math.min(y0, y1),
        width: Math.abs(x1 - x0), height: Math.abs(y1 - y0),
      }));
    }
    const across = ticksOf(chart.x, Math.max(3, Math.floor((right - left) / 72)));
    for (const value of across) {
      const at = places.x.place(value);
      inside.append(element("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
      const text = element("text", { class: "tick", x: at, y: bottom + 17, "text-anchor": "middle" });
      text.textContent = chart.x.format(value);
      svg.append(text);
    }
    for (const value of ticksOf(chart.y, 6)) {
      const at = places.y.place(value);
      inside.append(element("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
      const text = element("text", { class: "tick", x: left - 8, y: at + 4, "text-anchor": "end" });
      text.textContent = chart.y.format(value);
      svg.append(text);
    }
    for (const rule of chart.rules ?? []) {
      const at = places.x.place(rule.x);
      inside.append(element("line", { class: `rule ${rule.cls}`, x1: at, x2: at, y1: top, y2: bottom }));
    }
    for (const one of chart.bands ?? []) {
      inside.append(element("path", { class: `band ${one.cls}`, d: band(one.x, one.low, one.high, places) }));
    }
    for (const one of chart.lines ?? []) {
      inside.append(element("path", { class: `line ${one.cls}`, d: path(one.x, one.y, places) }));
    }
    for (const one of chart.points ?? []) {
      const [x, y] = [places.x.place(one.x), places.y.place(one.y)];
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      if (Number.isFinite(one.low) && Number.isFinite(one.high)) {
        const [y1, y2] = [places.y.place(one.low), places.y.place(one.high)];
        inside.append(element("line", { class: `whisker ${one.cls}`, x1: x, x2: x, y1, y2 }));
      }
      inside.append(marker(one.shape, one.cls, x, y));
    }
    svg.append(inside);
    svg.append(element("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }));
    const below = element("text", { class: "label", x: (left + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" });
    below.textContent = chart.x.label;
    const beside = element("text", {
      class: "label", x: 0, y: 0, "text-anchor": "middle",
      transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`,
    });
    beside.textContent = chart.y.label;
    svg.append(below, beside);
    place.replaceChildren(svg);
    follow(place, svg, chart, places, [left, right, top, bottom]);
  }

  /** A line under the pointer, and what the chart says there. */
  function follow(place, svg, chart, places, [left, right, top, bottom]) {
    const readout = place.parentElement.querySelector(".readout");
    const cross = element("line", { class: "cross", y1: top, y2: bottom, visibility: "hidden" });
    svg.append(cross);
    svg.addEventListener("pointermove", (event) => {
      const from = svg.getBoundingClientRect();
      const at = ((event.clientX - from.left) / from.width) * svg.viewBox.baseVal.width;
      if (at < left || at > right) return;
      cross.setAttribute("x1", at);
      cross.setAttribute("x2", at);
      cross.setAttribute("visibility", "visible");
      readout.textContent = chart.readout(places.x.back(at));
    });
    svg.addEventListener("pointerleave", () => {
      cross.setAttribute("visibility", "hidden");
      readout.textContent = "";
    });
  }

  /** Keys above a chart: [{cls, kind: "line" | "band" | "point" | "diamond" | "shade", text}]. */
  function legend(place, keys) {
    place.replaceChildren(...keys.map(({ cls, kind, text }) => {
      const svg = element("svg", { width: 26, height: 14, viewBox: "0 0 26 14", "aria-hidden": "true" });
      if (kind === "line") svg.append(element("path", { class: `line ${cls}`, d: "M1 7H25" }));
      if (kind === "band") svg.append(element("rect", { class: `band ${cls}`, x: 1, y: 2, width: 24, height: 10 }));
      if (kind === "shade") svg.append(element("rect", { class: "shade", x: 1, y: 1, width: 24, height: 12 }));
      if (kind === "point" || kind === "diamond") svg.append(marker(kind, cls, 13, 7));
      const key = document.createElement("span");
      key.className = "key";
      key.append(svg, text);
      return key;
    }));
  }

  return { draw, legend };
})();
