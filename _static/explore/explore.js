"use strict";
// Two systems of the comparison: their difference, its interval, its runs. The intervals come with the data.

const MEASURES = {
  accuracy: { of: "macro accuracy", column: 2, unit: "points", scale: 100, digits: 1, better: 1 },
  unseen: { of: "macro accuracy on unseen devices", column: 3, unit: "points", scale: 100, digits: 1, better: 1 },
  log_loss: { of: "log loss", column: 4, unit: "nats", scale: 1, digits: 3, better: -1 },
  tempered_log_loss: { of: "log loss after a temperature", column: 5, unit: "nats", scale: 1, digits: 3, better: -1 },
};
const LEFT = 90, RIGHT = 30, ROW = 26; // of the chart, in CSS pixels

function openExplorer(data) {
  const byId = id => document.getElementById(id);
  const state = { one: 0, other: 0, measure: "accuracy" };

  byId("back").hidden = !location.search.includes("book");
  byId("about").textContent =
    `${several(data.clips, "test clip")} of ${several(data.locations, "place")}, in ` +
    `${several(data.renderings, "rendering")} of the corpus (${data.corpus}). ` +
    `Taught by ${data.teachers.join("; ") || "nobody"}. ` +
    "No figure of this page may be set beside one of another corpus.";

  for (const id of ["one", "other"]) {
    data.systems.forEach((system, place) => byId(id).add(new Option(system.label, place)));
    byId(id).addEventListener("change", event => choose({ [id]: Number(event.target.value) }));
  }
  byId("swap").addEventListener("click", () => choose({ one: state.other, other: state.one }));
  for (const radio of document.querySelectorAll("[name=measure]")) {
    const known = data.systems.some(system => radio.value in system.score);
    radio.parentElement.hidden = !known;
    radio.addEventListener("change", () => choose({ measure: radio.value }));
  }
  window.addEventListener("popstate", () => { read(); draw(); }); // another address was typed or gone back to
  window.addEventListener("resize", drawChart);

  /** Take the state from the address, which can be sent to somebody. */
  function read() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const place = (name, otherwise) => {
      const found = data.systems.findIndex(system => system.name === asked.get(name));
      return found < 0 ? otherwise : found;
    };
    const named = start => Math.max(0, data.systems.findIndex(system => system.name.startsWith(start)));
    state.one = place("one", named("rrs-"));
    state.other = place("other", named("response_response-"));
    state.measure = asked.get("measure") in MEASURES ? asked.get("measure") : "accuracy";
  }

  function choose(change) {
    Object.assign(state, change);
    // in the place of the last one: "back" leads to the page that the reader came from
    history.replaceState(null, "", "#" + new URLSearchParams({
      one: data.systems[state.one].name, other: data.systems[state.other].name, measure: state.measure,
    }));
    draw();
  }

  /** Estimate, low, high and verdict of one minus other; null where they share fewer than two runs. */
  function difference() {
    const { one, other, measure } = state;
    const pair = data.pairs[one > other ? `${other}-${one}` : `${one}-${other}`];
    const found = pair && pair[measure];
    if (!found) return null;
    const [estimate, low, high, verdict] = found;
    return one > other ? { estimate, low, high, verdict }
      : { estimate: -estimate, low: -high, high: -low, verdict };
  }

  /** The runs that both have: seed, teacher, and the two scores. */
  function shared() {
    const { column } = MEASURES[state.measure];
    const known = system => system.runs.filter(run => typeof run[column] === "number");
    const base = new Map(known(data.systems[state.other]).map(run => [`${run[0]} ${run[1]}`, run]));
    return known(data.systems[state.one])
      .filter(run => base.has(`${run[0]} ${run[1]}`))
      .map(run => ({
        seed: run[0], teacher: run[1], one: run[column], other: base.get(`${run[0]} ${run[1]}`)[column],
      }));
  }

  function draw() {
    for (const id of ["one", "other"]) byId(id).value = state[id];
    for (const radio of document.querySelectorAll("[name=measure]")) radio.checked = radio.value === state.measure;
    const runs = compared();
    byId("answer").replaceChildren(...sentence(difference(), runs));
    byId("runs").tBodies[0].replaceChildren(...runs.map(run => row(run, MEASURES[state.measure])));
    drawChart();
    list();
  }

  function compared() {
    return state.one === state.other ? [] : shared();
  }

  function drawChart() {
    chart(byId("chart"), difference(), compared(), MEASURES[state.measure]);
  }

  function sentence(found, runs) {
    const one = data.systems[state.one].label, other = data.systems[state.other].label;
    const measure = MEASURES[state.measure];
    if (state.one === state.other) return ["These are one and the same: choose two."];
    if (!found) return [`These two share ${several(runs.length, "run")}: too few to say anything.`];
    const strong = document.createElement("strong");
    strong.textContent = found.verdict;
    const number = value => signed(value, measure);
    const ahead = found.estimate * measure.better > 0 ? one : other;
    const teachers = new Set(runs.map(run => run.teacher)).size, seeds = new Set(runs.map(run => run.seed)).size;
    const reasons = {
      yes: `: the interval excludes zero, and “${ahead}” is better.`,
      no: ": all of the interval lies within one point of zero, so there is no difference that matters.",
      open: ": zero lies in the interval, and so do differences that would matter. More runs or more places could tell.",
    };
    return [
      `“${one}” minus “${other}”, ${measure.of}: ${number(found.estimate)} ${measure.unit}, ` +
      `${number(found.low)} to ${number(found.high)}, over ${several(seeds, "seed")} and ` +
      `${several(teachers, "teacher")}. Is there a difference? `,
      strong, reasons[found.verdict],
      seeds === 1 ? " With one seed, the interval does not say what another would have given." : "",
      teachers === 1 ? " With one teacher, it says nothing of other teachers." : "",
    ];
  }

  function list() {
    const { measure } = state, { scale, digits, better } = MEASURES[measure];
    const order = data.systems.map((system, place) => ({ place, score: system.score[measure] }))
      .filter(entry => entry.score).sort((a, b) => better * (b.score[0] - a.score[0]));
    const low = Math.min(...order.map(entry => entry.score[1])), high = Math.max(...order.map(entry => entry.score[2]));
    const percent = value => `${(100 * (value - low)) / (high - low || 1)}%`;
    const focused = byId("systems").contains(document.activeElement) && document.activeElement.dataset.place;
    byId("systems").replaceChildren(...order.map(({ place, score }) => {
      const item = element("li"), button = element("button"), track = element("span", "track");
      const range = element("span", "range"), dot = element("span", "dot");
      range.style.left = percent(score[1]);
      range.style.right = `calc(100% - ${percent(score[2])})`;
      dot.style.left = percent(score[0]);
      track.append(range, dot);
      button.type = "button";
      button.dataset.place = place;
      button.append(element("span", "", data.systems[place].label), track,
        element("span", "value", (scale * score[0]).toFixed(digits)));
      button.setAttribute("aria-pressed", String(place === state.one || place === state.other));
      button.addEventListener("click", () => choose({ one: place, other: place === state.other ? state.one : state.other }));
      item.className = place === state.one || place === state.other ? "chosen" : "";
      item.append(button);
      return item;
    }));
    if (focused) byId("systems").querySelector(`[data-place="${focused}"]`)?.focus();
  }

  read();
  draw();
}

/** One run as a row of the table. */
function row(run, measure) {
  const line = document.createElement("tr");
  const score = value => (measure.scale * value).toFixed(measure.digits);
  for (const text of [run.seed, run.teacher, score(run.one), score(run.other), signed(run.one - run.other, measure)]) {
    line.append(element("td", "", String(text)));
  }
  return line;
}

/** The interval on top, under it a row of dots for each teacher. */
function chart(svg, found, runs, measure) {
  const teachers = [...new Set(runs.map(run => run.teacher))].sort((a, b) => a - b);
  const width = Math.max(300, svg.parentElement.clientWidth);
  const height = ROW * (teachers.length + 2) + 30, bottom = height - 30;
  const values = runs.map(run => run.one - run.other);
  const margin = measure.scale === 100 ? 0.01 : 0;
  const most = 1.08 * Math.max(margin * 1.5, 1e-3, ...values.map(Math.abs),
    ...(found ? [Math.abs(found.low), Math.abs(found.high)] : []));
  const x = value => LEFT + ((value + most) / (2 * most)) * (width - LEFT - RIGHT);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const add = (kind, attributes, text) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    if (text !== undefined) shape.textContent = text;
    svg.append(shape);
  };
  const vertical = (value, name) => add("line", { class: name, x1: x(value), x2: x(value), y1: 0, y2: bottom });
  if (margin) for (const value of [-margin, margin]) vertical(value, "point");
  vertical(0, "zero");
  add("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom });
  for (const value of ticks(most)) {
    add("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, signed(value, measure));
  }
  add("text", { x: 0, y: bottom + 18 }, measure.unit);
  if (found) {
    add("line", { class: "interval", x1: x(found.low), x2: x(found.high), y1: ROW, y2: ROW });
    add("circle", { class: "mean", cx: x(found.estimate), cy: ROW, r: 8 });
  }
  teachers.forEach((teacher, place) => {
    const y = ROW * (place + 2);
    add("text", { x: 0, y: y + 4 }, teachers.length > 1 ? `teacher ${teacher}` : "runs");
    for (const run of runs.filter(run => run.teacher === teacher)) {
      add("circle", { class: "run", cx: x(run.one - run.other), cy: y, r: 5 });
    }
  });
}

/** Round values from -most to most, one or two on each side of zero. */
function ticks(most) {
  const rough = most / 2.5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(size => size >= rough);
  const count = Math.floor(most / step);
  return Array.from({ length: 2 * count + 1 }, (_, k) => (k - count) * step);
}

/** A difference with its sign, the minus as typeset. */
function signed(value, { scale, digits }) {
  const text = (scale * Math.abs(value)).toFixed(digits);
  return Number(text) === 0 ? text : (value > 0 ? "+" : "−") + text;
}

/** A number with its word: 1 seed, 2 seeds, no runs. */
function several(count, word) {
  return `${count ? count.toLocaleString("en") : "no"} ${word}${count === 1 ? "" : "s"}`;
}

function element(kind, name = "", text = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}
