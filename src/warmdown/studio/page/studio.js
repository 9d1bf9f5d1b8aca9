// What only a browser can do: draw, keep the tab's draft over a reload, read the address, move the focus.
// No value is computed here.
try {
  window.sessionStorage;
} catch {
  // the frame of a notebook may have no storage of its own: then what is kept lasts as long as the page
  const kept = {};
  Object.defineProperty(kept, "getItem", { value: (name) => kept[name] ?? null });
  Object.defineProperty(kept, "setItem", { value: (name, text) => void (kept[name] = String(text)) });
  Object.defineProperty(window, "sessionStorage", { value: kept });
}
// A key that nothing on the page is focused for is meant for the page.
addEventListener("keydown", (event) => {
  if (event.target !== document.body) return;
  const copy = new KeyboardEvent("keydown", event);
  if (!document.querySelector(".nicegui-layout")?.dispatchEvent(copy)) event.preventDefault();
});
// A press belongs to the button that it began on, also when an answer moved the page or built it anew before the release.
let pressed = null;
const holder = ({ button, mark }) => (button.isConnected ? button : mark && window.warmdown.marked(mark));
addEventListener("pointerdown", (event) => {
  const button = event.isPrimary && event.button === 0 ? event.target.closest("button, [role=tab]") : null;
  pressed = button && { button, mark: button.dataset.mark, x: event.clientX, y: event.clientY };
}, true);
addEventListener("pointercancel", () => (pressed = null), true);
addEventListener("click", (event) => {
  if (pressed && holder(pressed)?.contains(event.target)) pressed = null;
}, true);
addEventListener("pointerup", (event) => {
  const held = pressed;
  if (!held || Math.hypot(event.clientX - held.x, event.clientY - held.y) > 5) return void (pressed = null);
  setTimeout(() => {
    if (pressed === held) holder(held)?.click(); // the browser's own click, if there was one, came before
    if (pressed === held) pressed = null;
  });
}, true);
// On a slow link the page says that it waits: each key in a field of the plan is answered by a curve.
let waiting = null;
const note = Object.assign(document.createElement("div"), { className: "waiting", role: "status" });
const answered = () => {
  clearTimeout(waiting);
  waiting = null;
  note.textContent = "";
};
addEventListener("input", ({ target }) => {
  if (!/^(plan|groups|loader)\b/.test(target.dataset.mark ?? "")) return;
  waiting ??= setTimeout(() => (note.textContent = "Waiting for an answer …"), 300);
}, true);
addEventListener("DOMContentLoaded", () => document.body.append(note));
// The server ends a connection that sends it more than 1 MB at once; quotes and line ends count several times there.
const weight = (text) => new Blob([JSON.stringify(JSON.stringify(text))]).size;
const bring = (name, text) => emitEvent("dropped", { name, text: weight(text) > 9e5 ? "" : text });
// A plan file that is dropped anywhere is opened.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  event.preventDefault();
  if (file.size > 1e6) return void bring(file.name, "");
  file.text().then((text) => bring(file.name, text));
});
// So is what is pasted where nothing can be typed: a plan, a configuration, a training script's command line.
addEventListener("paste", (event) => {
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!text.trim() || event.target.closest?.("input, textarea, [contenteditable]")) return;
  bring(/^\s*[{[]/.test(text) ? "pasted.json" : "pasted.yaml", text);
});
// A link that is put into this tab's address is followed; a tab with work in it asks before it closes, but not when the
// page is loaded again after its server came back, which loses nothing.
addEventListener("hashchange", () => {
  if (!location.hash.startsWith("#plan=")) return;
  emitEvent("linked", location.hash);
  history.replaceState(null, "", location.pathname);
});
addEventListener("beforeunload", (event) => {
  const isLost = document.querySelector("#popup")?.ariaHidden === "false";
  if (window.warmdown.unsaved && !isLost) event.preventDefault();
});
// The focus stays where a person was, though an edit builds the form anew: at the part of the same name, or else of the same place.
let held = null;
const places = () => [...document.querySelectorAll(".side [data-mark]")];
addEventListener("focusin", ({ target }) => {
  const part = target.closest("[data-mark]");
  held = part && { part, target, mark: part.dataset.mark, place: places().indexOf(part) };
});
addEventListener("pointerdown", ({ target }) => {
  if (!target.closest("button, input, label, [tabindex], [role]")) held = null;
}, true);
const isLost = (one) => one && one === held && !one.target.isConnected && document.activeElement === document.body;
new MutationObserver(() => {
  const lost = held;
  if (!isLost(lost)) return;
  if (window.warmdown.reach(window.warmdown.marked(lost.mark))) return;
  setTimeout(() => {
    const here = lost.place < 0 ? [] : places();
    if (isLost(lost) && here.length) window.warmdown.reach(here[Math.min(lost.place, here.length - 1)]);
  }, 400);
}).observe(document, { childList: true, subtree: true });
// The help of a field or a button floats above it, at the pointer's or the focus's coming, and moves nothing. Escape takes it away.
let helped = null;
const help = document.createElement("div");
Object.assign(help, { id: "help", role: "tooltip", hidden: true });
const showHelp = (target) => {
  const field = target?.closest?.(".q-field, [data-help]");
  const part = field?.matches("[data-help]") ? field : field?.querySelector("[data-help]");
  helped?.removeAttribute("aria-describedby");
  helped = part ?? null;
  help.hidden = !part;
  if (!part) return;
  help.textContent = part.dataset.help;
  (document.querySelector(".q-dialog") ?? document.querySelector("main") ?? document.body).append(help);
  if (part.getAttribute("aria-label") !== part.dataset.help) part.setAttribute("aria-describedby", "help");
  const box = field.getBoundingClientRect(), own = help.getBoundingClientRect();
  const top = box.top - own.height - 6;
  help.style.top = `${top < 4 ? box.bottom + 6 : top}px`;
  help.style.left = `${Math.max(Math.min(box.left, innerWidth - own.width - 8), 8)}px`;
};
addEventListener("mouseover", ({ target }) => showHelp(target));
addEventListener("focusin", ({ target }) => showHelp(target.matches(":focus-visible") ? target : null));
addEventListener("focusout", () => showHelp(null));
addEventListener("scroll", () => showHelp(null), true);
addEventListener("keydown", ({ key }) => key === "Escape" && showHelp(null), true);
// Menus hang beside the page's landmarks: each becomes one.
const hung = new MutationObserver(() => {
  for (const menu of document.querySelectorAll('body > [id^="q-portal--menu"]')) {
    menu.setAttribute("role", "region");
    menu.setAttribute("aria-label", "Choices");
  }
});
addEventListener("DOMContentLoaded", () => hung.observe(document.body, { childList: true }));
window.warmdown = {
  rate(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e-2 && size < 1e4) return String(Number(value.toPrecision(4)));
    const [digits, power] = value.toExponential(3).split("e");
    return `${Number(digits)}e${Number(power)}`;
  },
  count(value) {
    for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (Math.abs(value) >= Math.max(size, 1e4)) return `${Number((value / size).toFixed(4))}${letter}`;
    }
    return Number(value.toFixed(1)).toLocaleString("en-US");
  },
  chart(id) {
    return getElement(id)?.chart;
  },
  draw(id, option, fresh) {
    answered();
    const chart = this.chart(id);
    if (!chart) return void setTimeout(() => this.draw(id, option, fresh), 20);
    if (fresh) {
      for (const axis of option.xAxis) axis.axisLabel.formatter = this.count;
      for (const axis of option.yAxis) axis.axisLabel.formatter = this.rate;
      for (const one of option.series) if (one.type === "custom") one.renderItem = this.band;
      const clock = option.xAxis.at(-1).name;
      option.tooltip.formatter = (points) => this.reading(clock, points);
    }
    this.place(chart, option.series, fresh);
    const isZoomed = chart.zoomed && chart.zoomed[1] - chart.zoomed[0] < chart.whole;
    if (!chart.zoomed) chart.on("datazoom", () => this.tell(chart));
    chart.setOption(option, { notMerge: fresh });
    chart.whole = option.xAxis[0].max;
    chart.zoomed ??= [0, chart.whole];
    if (fresh && isZoomed) this.zoom(id, ...chart.zoomed);
    this.tell(chart);
  },
  // The values at the step under the pointer; a point of another step says which.
  reading(clock, points) {
    const step = points[0].axisValue;
    const bands = Object.fromEntries(points.filter((one) => one.seriesType === "custom").map((one) => [one.seriesName, one.value]));
    const rows = points.filter((one) => one.seriesType !== "custom").map(({ marker, seriesName, value: [at, value] }) => {
      const where = at === step ? "" : ` at ${at.toLocaleString("en-US")}`;
      const [edge, low, high] = bands[seriesName] ?? [];
      const band = edge === at ? ` (${this.rate(low)} … ${this.rate(high)})` : "";
      return `${marker}${seriesName}  ${value == null ? "–" : this.rate(value)}${band}${where}`;
    });
    return [`${clock}: ${step.toLocaleString("en-US")}`, ...rows].join("\n");
  },
  // The area between low and high: one polygon, drawn for the first point of the window.
  band(params, api) {
    if (params.dataIndexInside) return null;
    const at = [...Array(params.dataInsideLength).keys()];
    const edge = (side) => at.map((point) => api.coord([api.value(0, point), api.value(side, point)]));
    const style = { fill: api.visual("color"), opacity: 0.18 };
    return { type: "polygon", shape: { points: [...edge(1), ...edge(2).reverse()] }, style, silent: true };
  },
  // Sends which window is shown, so that its points are evaluated for it.
  tell(chart) {
    const window = chart.getModel().getComponent("dataZoom").getValueRange();
    if (String(window) === String(chart.zoomed)) return;
    chart.zoomed = window;
    clearTimeout(chart.telling);
    chart.telling = setTimeout(() => emitEvent("zoomed", chart.zoomed), 100);
  },
  // Points come as columns, or as so many times those of another series; what did not change is not sent.
  place(chart, series, fresh) {
    const known = (chart.known = fresh ? [] : chart.known);
    series.forEach(({ points }, at) => (known[at] = points ?? known[at]));
    series.forEach((one, at) => {
      if (!known[at]) return; // a band has its own data
      const { of = at, times = 1 } = known[at];
      const { x, y } = known[of];
      if (one.points || series[of].points) one.data = x.map((step, i) => [step, y[i] === null ? null : y[i] * times]);
    });
    for (const one of series) {
      // the symbols of a run stand here and there on its lines; the last point stays plain, for it moves with each update
      const every = Math.ceil((one.data?.length ?? 0) / 6);
      if (one.mark) for (let i = every >> 1; i < one.data?.length - 1; i += every) one.data[i] = { value: one.data[i], symbol: one.mark, symbolSize: 8 };
      delete one.points;
      delete one.mark;
    }
  },
  show(id, step) {
    const chart = this.chart(id);
    const at = chart?.convertToPixel({ xAxisIndex: 0 }, step);
    if (at !== undefined) chart.dispatchAction({ type: "showTip", x: at, y: chart.getHeight() / 3 });
  },
  zoom(id, start, end) {
    this.chart(id)?.dispatchAction({ type: "dataZoom", startValue: start, endValue: end });
  },
  // Points of the curve that a person can take hold of. Moves are sent once a frame; the axes of the press hold till it ends.
  handles(id, layerId, points, name) {
    const chart = this.chart(id), layer = getHtmlElement(layerId);
    if (!chart || !layer) return void setTimeout(() => this.handles(id, layerId, points, name), 40);
    layer.setAttribute("aria-label", name);
    while (layer.children.length > points.length) layer.lastChild.remove();
    while (layer.children.length < points.length) layer.append(this.knob(chart, layer.children.length));
    layer.place = () => points.forEach((point, at) => {
      const knob = layer.children[at];
      const [left, top] = chart.convertToPixel({ gridIndex: point.panel }, [point.x, point.y]) ?? [];
      const isShown = chart.containPixel({ gridIndex: point.panel }, [left, top]) || Math.abs(left - 66) < 2 || point.x === points.at(-1).x;
      Object.assign(knob.style, { left: `${left}px`, top: `${top}px`, display: isShown && isFinite(left + top) ? "" : "none" });
      knob.panel = point.panel;
      knob.setAttribute("aria-label", point.name);
      knob.dataset.help = point.name;
    });
    if (!layer.placed) {
      layer.placed = true;
      chart.on("finished", () => layer.place());
    }
    layer.place();
  },
  knob(chart, at) {
    const knob = document.createElement("button");
    knob.className = "knob";
    knob.dataset.mark = `handle-${at}`;
    let value = null, waiting = null;
    const send = () => {
      if (waiting) emitEvent("handle", waiting);
      waiting = null;
    };
    knob.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      knob.setPointerCapture(event.pointerId);
      const box = chart.getDom().getBoundingClientRect();
      const read = (x, y) => chart.convertFromPixel({ gridIndex: knob.panel }, [x, y]);
      const here = [event.clientX - box.left, event.clientY - box.top];
      const [one, two] = [read(...here), read(here[0] + 100, here[1] - 50)];
      const isLog = chart.getOption().yAxis[knob.panel].type === "log";
      value = (move) => {
        const across = (move.clientX - box.left - here[0]) / 100, up = (here[1] - (move.clientY - box.top)) / 50;
        const y = isLog ? one[1] * (two[1] / one[1]) ** up : one[1] + (two[1] - one[1]) * up;
        return { at, x: Math.max(one[0] + (two[0] - one[0]) * across, 0), y: Math.max(y, 0) };
      };
    });
    knob.addEventListener("pointermove", (event) => {
      if (!value) return;
      if (!waiting) requestAnimationFrame(send);
      waiting = value(event);
    });
    for (const end of ["pointerup", "pointercancel"]) knob.addEventListener(end, () => (value = null));
    knob.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow") && event.key !== "Enter") return;
      event.preventDefault();
      emitEvent("handle", { at, key: event.key });
    });
    knob.addEventListener("dblclick", () => emitEvent("handle", { at, key: "Enter" }));
    return knob;
  },
  keep(name, text) {
    if (weight(text) > 4e5) text = ""; // what comes back from here has to pass as one message
    try {
      sessionStorage.setItem(`warmdown-${name}`, text);
    } catch {
      // it may be full: the page works without
    }
  },
  found() {
    const link = location.hash.startsWith("#plan=") ? location.hash : "";
    if (link) history.replaceState(null, "", location.pathname);
    const [kept, plans] = ["draft", "plans"].map((name) => sessionStorage.getItem(`warmdown-${name}`) ?? "");
    return { link, kept, plans, dark: matchMedia("(prefers-color-scheme: dark)").matches };
  },
  marked(mark) {
    return document.querySelector(`[data-mark="${CSS.escape(mark)}"]`);
  },
  focus(mark) {
    const seek = (tries) => this.reach(this.marked(mark)) || (tries && setTimeout(() => seek(tries - 1), 30));
    seek(20);
  },
  reach(part) {
    const inner = part?.matches("input, button, [tabindex]") ? part : part?.querySelector("input, button");
    inner?.focus();
    return Boolean(inner);
  },
  copy(text) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  },
};
