"use strict";
/* The planner's state in the page's address, so that a what-if can be mailed. */

const Address = (() => {
  /** What differs from the report's own plan, as the part of an address behind #. */
  function write(plans, active, initial) {
    const told = new URLSearchParams();
    const show = (value) => (typeof value === "number" ? Numbers.plain(value) : value ?? "none");
    for (const [name, plan] of Object.entries(plans)) {
      if (!plan) continue;
      const moved = Object.keys(plan.inputs).filter((key) => plan.inputs[key] !== initial[key]);
      const text = moved.map((key) => `${key}=${show(plan.inputs[key])}`).join(",");
      if (text || name === "B") told.set(name, text);
    }
    if (active !== "A") told.set("on", active);
    return decodeURIComponent(told.toString());
  }

  /** Inputs of the plans that an address names; what it says wrongly is left out. */
  function read(hash, initial, hardware) {
    const told = new URLSearchParams(hash.replace(/^#/, ""));
    const inputs = (text) => {
      const found = { ...initial };
      for (const part of text.split(",")) {
        const [key, value] = part.split("=");
        if (!Object.hasOwn(initial, key) || value === undefined) continue;
        if (key === "kind" && ["separate", "flops", "dollars"].includes(value)) found.kind = value;
        if (key === "hardware" && Object.hasOwn(hardware, value)) found.hardware = value;
        if (key === "kind" || key === "hardware") continue;
        const number = value === "none" ? null : Number(value);
        const share = key.endsWith("_utilisation");
        const optional = key.startsWith("max_");
        if (number === null ? optional : number > 0 && number < (share ? 1.0000001 : Infinity)) found[key] = number;
      }
      return found;
    };
    return {
      A: inputs(told.get("A") ?? ""),
      B: told.has("B") ? inputs(told.get("B")) : null,
      active: told.get("on") === "B" && told.has("B") ? "B" : "A",
    };
  }

  /** Put it into the address bar, without an entry of its own in the history. */
  function put(text) {
    if (location.hash.replace(/^#/, "") === text) return;
    const bare = location.href.split("#")[0];
    history.replaceState(null, "", text ? `${bare}#${text}` : bare);
  }

  return { put, read, write };
})();
