"use strict";
// The overview and the lanes, both drawn on canvas: thousands of events stay fluid. What is drawn here can
// be read in the list of events as well (page.js), which is what a screen reader gets.

const overview = document.getElementById("overview");
const plot = document.getElementById("plot");
const canvas = document.getElementById("lanes");
const names = document.getElementById("names");
const tip = document.getElementById("tip");

const PAD = 10; // left and right of the time shown, so that no event is cut
const FLAGS = 20; // the line of flags: where the rule was broken, where faults end for good
const AXIS = 22; // the line of times
const BAR = 17; // one line of faults
const LANE = run.lanes.length > 9 ? 28 : 36;
const DOT = 3.4;
const BIN = 7; // events nearer to each other than this are stacked

// Faults that overlap in time stand below each other, and so do neighbours, to leave room for their names.
const bars = packBars();
const barLines = Math.max(1, ...bars.map((bar) => bar.line + 1));
const faultsHeight = barLines * BAR + 9;
const top0 = FLAGS + AXIS;
const plotHeight = top0 + faultsHeight + run.lanes.length * LANE;

// What can be pointed at: events with the place of their dots, and bars of faults.
let dots = [];
let barBoxes = [];
// The item under the pointer, in the chart or in the list; a stretch of time being dragged out.
let hovered = null;
let dragged = null;
let colours = {};

function packBars() {
  const LINES_MAX = 3;
  const room = (whole.to - whole.from) / 5;
  const ends = [];
  const sorted = run.shades.map((shade) => ({ ...shade, line: 0 })).sort((a, b) => a.from_ms - b.from_ms);
  for (const bar of sorted) {
    const free = ends.findIndex((end) => end + room <= bar.from_ms);
    if (free >= 0) bar.line = free;
    else if (ends.length < LINES_MAX) bar.line = ends.length;
    else bar.line = ends.indexOf(Math.min(...ends));
    ends[bar.line] = Math.max(bar.to_ms, ends[bar.line] ?? 0);
  }
  return sorted;
}

// Colours by kind of host: hosts of one kind look alike, and no host is red, which means a broken rule.
function laneColour(lane) {
  if (lane === FAULTS) return "var(--fault-ink)";
  const kind = run.lanes[lane]?.kind;
  const COUNTS = { clients: 2, edge: 4, tier: 1, disk: 2, origin: 1 };
  const before = run.lanes.slice(0, lane).filter((other) => other.kind === kind).length;
  return kind ? `var(--${kind}-${before % COUNTS[kind]})` : "var(--ink)";
}

// Canvas knows no CSS variables: their values are read whenever the theme changes.
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  colours = Object.fromEntries(
    [
      "card",
      "ink",
      "quiet",
      "line",
      "faint",
      "bad",
      "broken",
      "on-broken",
      "fault",
      "fault-ink",
      "good",
      "accent",
      "accent-soft",
    ].map((name) => [name, value(`--${name}`)]),
  );
  colours.lanes = run.lanes.map((_, lane) => value(laneColour(lane).slice(4, -1)));
}

// Clears a canvas and makes it as fine as the screen.
function fresh(surface, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (surface.width !== Math.round(width * scale) || surface.height !== Math.round(height * scale)) {
    surface.width = Math.round(width * scale);
    surface.height = Math.round(height * scale);
  }
  const pen = surface.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle";
  return pen;
}

const laneTop = (lane) => top0 + faultsHeight + lane * LANE;

function draw() {
  const width = plot.clientWidth;
  const pen = fresh(canvas, width, plotHeight);
  const x = (time) => PAD + ((time - view.from) / (view.to - view.from)) * (width - 2 * PAD);
  drawShades(pen, x, width);
  drawAxis(pen, x, width);
  drawLines(pen, width);
  drawBars(pen, x, width);
  drawFlags(pen, x, width);
  drawDots(pen, x);
  drawPointed(pen, x);
  drawOverview();
}

// What a fault touches is shaded from its beginning to its end.
function drawShades(pen, x, width) {
  for (const shade of run.shades) {
    if (view.off.has(FAULTS) || shade.to_ms < view.from || shade.from_ms > view.to) continue;
    const [left, right] = [Math.max(0, x(shade.from_ms)), Math.min(width, x(shade.to_ms))];
    pen.globalAlpha = shade.observed ? 1 : 0.45;
    pen.fillStyle = colours.fault;
    const lanes = shade.lanes.length ? shade.lanes : run.lanes.map((_, lane) => lane);
    for (const lane of lanes) pen.fillRect(left, laneTop(lane) + 1, Math.max(1, right - left), LANE - 2);
  }
  pen.globalAlpha = 1;
}

function drawAxis(pen, x, width) {
  const step = tickStep(((view.to - view.from) * 78) / (width - 2 * PAD));
  let free = 0;
  pen.textAlign = "center";
  for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
    const at = Math.round(x(time)) + 0.5;
    pen.strokeStyle = colours.line;
    line(pen, at, top0 - 4, at, plotHeight);
    const label = `${inMs(time)} ms`;
    const half = pen.measureText(label).width / 2;
    const middle = Math.min(Math.max(at, half + 1), width - half - 1);
    if (middle - half < free) continue;
    free = middle + half + 6;
    pen.fillStyle = colours.quiet;
    pen.fillText(label, middle, FLAGS + AXIS / 2 - 1);
  }
}

// From when on there are no more faults, and where the rule was broken. The second covers the first.
function drawFlags(pen, x, width) {
  let free = width;
  if (broken && isInWindow(broken)) {
    const at = Math.round(x(broken.pos)) + 0.5;
    pen.strokeStyle = colours.broken;
    pen.lineWidth = 2;
    line(pen, at, FLAGS - 3, at, plotHeight);
    pen.lineWidth = 1;
    free = drawFlag(pen, at, width, `${run.broken.rule} broken`, colours.broken, colours["on-broken"]) - 2;
    if (run.healed_at_ms > broken.at) free = width;
  }
  if (run.healed_at_ms === null || run.healed_at_ms < view.from || run.healed_at_ms > view.to) return;
  const at = Math.round(x(run.healed_at_ms)) + 0.5;
  pen.strokeStyle = colours.good;
  pen.setLineDash([4, 3]);
  line(pen, at, FLAGS, at, plotHeight);
  pen.setLineDash([]);
  drawFlag(pen, at, free, "no more faults", colours.card, colours.good);
}

// 1, 2 or 5 times a power of ten, at least this long. Whole milliseconds have nothing between them.
function tickStep(shortest) {
  const power = 10 ** Math.floor(Math.log10(shortest));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= shortest);
  return hasWholeTimes ? Math.max(1, step) : step;
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

// Writes on the line of flags, as near to `at` as the room before `end` allows. Returns where it begins.
function drawFlag(pen, at, end, text, background, ink) {
  const wide = pen.measureText(text).width + 12;
  const left = Math.min(Math.max(at - wide / 2, 1), end - wide - 1);
  pen.fillStyle = background;
  pen.beginPath();
  pen.roundRect(left, 1, wide, FLAGS - 3, 4);
  pen.fill();
  pen.fillStyle = ink;
  pen.textAlign = "left";
  pen.fillText(text, left + 6, FLAGS / 2);
  return left;
}

function drawLines(pen, width) {
  pen.strokeStyle = colours.line;
  for (let lane = 0; lane <= run.lanes.length; lane += 1) {
    const y = laneTop(lane) - (lane === run.lanes.length ? 0.5 : -0.5);
    line(pen, 0, y, width, y);
  }
  line(pen, 0, top0 + 0.5, width, top0 + 0.5);
}

function drawBars(pen, x, width) {
  barBoxes = [];
  if (view.off.has(FAULTS)) return;
  const shown = bars.filter((bar) => bar.to_ms >= view.from && bar.from_ms <= view.to);
  const taken = [];
  pen.textAlign = "left";
  shown.forEach((bar, number) => {
    const left = Math.max(x(bar.from_ms), -2);
    const right = Math.min(Math.max(x(bar.to_ms), left + 3), width + 2);
    const y = top0 + 5 + bar.line * BAR;
    pen.beginPath();
    pen.roundRect(left, y + 0.5, right - left, BAR - 3, 3);
    pen.fillStyle = colours.fault;
    if (bar.observed) pen.fill();
    pen.strokeStyle = colours["fault-ink"];
    pen.setLineDash(bar.observed ? [] : [3, 2]);
    pen.stroke();
    pen.setLineDash([]);
    const next = shown.slice(number + 1).find((other) => other.line === bar.line);
    taken[bar.line] = writeBar(pen, bar, {
      left,
      right,
      y,
      before: taken[bar.line] ?? 0,
      after: next ? x(next.from_ms) : width,
    });
    barBoxes.push({ bar, left, right, y });
  });
}

// The name of a fault stands in its bar, or else behind or before it if there is room; else it shows on
// hovering. Returns how far to the right the line is taken now.
function writeBar(pen, bar, { left, right, y, before, after }) {
  const text = bar.observed ? bar.name : `${bar.name} (nothing met it)`;
  const wide = pen.measureText(text).width;
  const places = [
    { at: Math.max(left, 0) + 5, fits: Math.max(left, 0) + wide + 8 <= right },
    { at: right + 5, fits: right + wide + 8 <= after },
    { at: left - wide - 5, fits: left - wide - 8 >= before },
  ];
  const place = places.find((candidate) => candidate.fits);
  pen.fillStyle = colours["fault-ink"];
  if (place) pen.fillText(text, place.at, y + BAR / 2 - 0.5);
  return Math.max(right, place ? place.at + wide : 0);
}

function drawDots(pen, x) {
  dots = [];
  const stacks = new Map();
  for (const item of items) {
    if (item.kind !== "event" || !isInWindow(item) || view.off.has(item.lane)) continue;
    const at = x(item.pos);
    if (!passes(item, view)) {
      drawDisc(pen, at, laneTop(item.lane) + LANE / 2, 1.6, colours.faint);
      continue;
    }
    const name = `${item.lane} ${Math.floor(at / BIN)}`;
    if (!stacks.has(name)) stacks.set(name, []);
    stacks.get(name).push({ item, x: at, y: 0 });
  }
  for (const stack of stacks.values()) {
    const apart = Math.min(2 * DOT + 0.6, (LANE - 2 * DOT - 3) / Math.max(1, stack.length - 1));
    stack.forEach((dot, order) => {
      dot.y = laneTop(dot.item.lane) + LANE / 2 + (order - (stack.length - 1) / 2) * apart;
      dots.push(dot);
    });
  }
  // What matters most is drawn last, above the rest.
  for (const weight of ["usual", "bad", "key"]) {
    for (const dot of dots) if (dot.item.weight === weight) drawDot(pen, dot);
  }
  if (broken && isInWindow(broken)) {
    for (const lane of run.broken.lanes) drawCross(pen, x(broken.pos), laneTop(lane) + LANE / 2);
  }
}

function drawDot(pen, { item, x, y }) {
  pen.strokeStyle = colours.card;
  if (item.weight === "bad") {
    pen.beginPath();
    pen.moveTo(x, y - 5.2);
    pen.lineTo(x + 5.2, y);
    pen.lineTo(x, y + 5.2);
    pen.lineTo(x - 5.2, y);
    pen.closePath();
    pen.fillStyle = colours.bad;
    pen.fill();
    pen.stroke();
    return;
  }
  drawDisc(pen, x, y, DOT, colours.lanes[item.lane]);
  pen.stroke();
  if (item.weight === "key") {
    pen.beginPath();
    pen.arc(x, y, DOT + 2.4, 0, 2 * Math.PI);
    pen.strokeStyle = colours.lanes[item.lane];
    pen.lineWidth = 1.6;
    pen.stroke();
    pen.lineWidth = 1;
  }
}

function drawDisc(pen, x, y, radius, colour) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = colour;
  pen.fill();
}

// Marks the hosts that a broken rule is about.
function drawCross(pen, x, y) {
  for (const [width, colour] of [
    [6, colours.card],
    [3, colours.broken],
  ]) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    line(pen, x - 5, y - 5, x + 5, y + 5);
    line(pen, x - 5, y + 5, x + 5, y - 5);
  }
  pen.lineWidth = 1;
}

// The chosen event, the event under the pointer, and the stretch being dragged out.
function drawPointed(pen, x) {
  for (const number of new Set([view.selected, hovered])) {
    const item = items[number];
    if (!item || !isInWindow(item)) continue;
    const at = x(item.pos);
    pen.strokeStyle = colours.ink;
    pen.setLineDash([2, 3]);
    line(pen, at, top0, at, plotHeight);
    pen.setLineDash([]);
    const dot = dots.find((candidate) => candidate.item === item);
    if (!dot) continue;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(dot.x, dot.y, DOT + 4.5, 0, 2 * Math.PI);
    pen.stroke();
    pen.lineWidth = 1;
  }
  if (dragged) {
    const [left, right] = [Math.min(...dragged), Math.max(...dragged)];
    pen.fillStyle = colours["accent-soft"];
    pen.fillRect(left, top0, right - left, plotHeight - top0);
    pen.strokeStyle = colours.accent;
    pen.strokeRect(Math.round(left) + 0.5, top0 + 0.5, Math.round(right - left), plotHeight - top0 - 1);
  }
}

// How many events there are over the whole run, and what of it the lanes show.
function drawOverview() {
  const [width, height] = [overview.clientWidth, overview.clientHeight];
  const pen = fresh(overview, width, height);
  const x = (time) => PAD + ((time - whole.from) / (whole.to - whole.from)) * (width - 2 * PAD);
  pen.fillStyle = colours.fault;
  for (const shade of view.off.has(FAULTS) ? [] : run.shades) {
    pen.fillRect(x(shade.from_ms), 0, Math.max(1, x(shade.to_ms) - x(shade.from_ms)), height);
  }
  drawColumns(pen, x, width, height);
  if (broken) {
    pen.fillStyle = colours.broken;
    pen.fillRect(x(broken.pos) - 1, 0, 2, height);
  }
  const [left, right] = [x(view.from), Math.max(x(view.to), x(view.from) + 2)];
  pen.globalAlpha = 0.55;
  pen.fillStyle = colours.card;
  pen.fillRect(0, 0, left, height);
  pen.fillRect(right, 0, width - right, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(left, 1, right - left, height - 2);
  pen.lineWidth = 1;
  pen.fillStyle = colours.accent;
  for (const at of [left, right]) {
    pen.beginPath();
    pen.roundRect(at - 3, height / 2 - 9, 6, 18, 3);
    pen.fill();
  }
}

// One column for each few pixels: all events in a faint colour, those that pass the filters above them.
function drawColumns(pen, x, width, height) {
  const WIDE = 4;
  const all = new Map();
  const passing = new Map();
  for (const item of items) {
    if (item.kind !== "event") continue;
    const column = Math.floor(x(item.pos) / WIDE);
    all.set(column, (all.get(column) ?? 0) + 1);
    if (passes(item, view)) passing.set(column, (passing.get(column) ?? 0) + 1);
  }
  const most = Math.max(1, ...all.values());
  for (const [columns, colour] of [
    [all, colours.faint],
    [passing, colours.accent],
  ]) {
    pen.fillStyle = colour;
    for (const [column, count] of columns) {
      // A root, so that one event beside a hundred can still be seen.
      const high = Math.max(2, Math.sqrt(count / most) * (height - 8));
      pen.fillRect(column * WIDE + 0.5, height - high - 1, WIDE - 1, high);
    }
  }
}

// The event nearest to this point of the lanes, or none.
function eventAt(x, y) {
  const REACH = 10;
  let nearest = null;
  let least = REACH;
  for (const dot of dots) {
    const far = Math.hypot(dot.x - x, dot.y - y);
    if (far < least) [nearest, least] = [dot.item, far];
  }
  return nearest;
}

function barAt(x, y) {
  return barBoxes.find((box) => x >= box.left - 2 && x <= box.right + 2 && y >= box.y && y <= box.y + BAR)
    ?.bar;
}

// Shows a text beside a point of the lanes, inside their box.
function showTip(x, y, head, text) {
  const strong = document.createElement("b");
  strong.textContent = head;
  tip.replaceChildren(strong, document.createElement("br"), text);
  tip.hidden = false;
  const left = Math.min(Math.max(x - tip.offsetWidth / 2, 2), plot.clientWidth - tip.offsetWidth - 2);
  const above = y - tip.offsetHeight - 12;
  tip.style.left = `${left}px`;
  tip.style.top = `${above >= 0 ? above : y + 14}px`;
}

function showTipOf(item) {
  const dot = dots.find((candidate) => candidate.item === item);
  if (dot) showTip(dot.x, dot.y, `${inMs(item.at)} ms, ${laneNames[item.lane]}`, item.text);
  else tip.hidden = true;
}
