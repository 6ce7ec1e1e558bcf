"use strict";
// The run as the simulator has written it, what the reader wants to see of it, and the filters.
// Nothing here touches what is drawn: see chart.js and page.js.

// Errors are counted in the page itself, so that a test sees them. This comes first, to miss none.
window.addEventListener("error", () => {
  document.body.dataset.errors = Number(document.body.dataset.errors) + 1;
});

const run = JSON.parse(document.getElementById("data").textContent);

// The row of faults is toggled like a host, and comes after the hosts.
const FAULTS = run.lanes.length;
const laneNames = [...run.lanes.map((lane) => lane.name), "faults"];

// Of how much time a moment's events are spread out, so that their order can be seen. Time itself mostly
// goes by whole milliseconds.
const MOMENT_MS = 1;
const SPREAD = 0.8;

// When a run with a broken rule is opened, so many events before it are shown, and so many when the reader
// asks for the last moments.
const OPENED = 40;
const LAST_MOMENTS = 12;

// Everything that has a row: events, beginnings and ends of faults, and the broken rule.
const items = readItems();
const broken = items.find((item) => item.kind === "broken");
const objects = countObjects();
const hasWholeTimes = items.every((item) => Number.isInteger(item.at));

// What can be shown at most, in milliseconds.
const whole = { from: 0, to: Math.max(run.ends_at_ms, Math.ceil(items.at(-1)?.pos ?? 0), 1) };

// What the reader wants to see. `selected` is a number of an item.
const view = startingView();

function readItems() {
  const found = run.entries.map((entry) => ({
    kind: "event",
    at: entry.at_ns / 1e6,
    lane: entry.lane,
    text: entry.text,
    about: entry.about,
    weight: entry.weight,
  }));
  for (const shade of run.shades) {
    const hosts = shade.lanes.length ? listed(shade.lanes.map((lane) => laneNames[lane])) : "every host";
    const effect = shade.observed ? "" : "; nothing met it";
    const fault = { kind: "fault", lane: FAULTS, about: [], weight: "usual" };
    const begins = `${shade.name} begins, for ${shade.to_ms - shade.from_ms} ms: ${hosts}${effect}`;
    found.push({ ...fault, at: shade.from_ms, text: begins });
    found.push({ ...fault, at: shade.to_ms, text: `${shade.name} ends: ${hosts}` });
  }
  if (run.broken) {
    const { at_ns, rule, seen, lanes, about } = run.broken;
    const text = `${rule} is broken: ${seen}`;
    found.push({ kind: "broken", at: at_ns / 1e6, lane: lanes[0] ?? FAULTS, text, about, weight: "key" });
  }
  // Sorting keeps the order of equals: what happened at one moment stays in the order in which it came.
  const rank = { fault: 0, event: 1, broken: 2 };
  found.sort((a, b) => a.at - b.at || rank[a.kind] - rank[b.kind]);
  placeInTime(found);
  found.forEach((item, number) => {
    item.number = number;
  });
  return found;
}

// Gives every item its place on the axis of time: events of one moment side by side, a fault exactly where it
// is.
function placeInTime(found) {
  for (let first = 0, next; first < found.length; first = next) {
    next = first;
    while (next < found.length && found[next].at === found[first].at) next += 1;
    const gap = next < found.length ? found[next].at - found[first].at : MOMENT_MS;
    const spread = SPREAD * Math.min(gap, MOMENT_MS);
    const faults = found.slice(first, next).filter((item) => item.kind === "fault").length;
    const count = next - first - faults;
    for (let at = first; at < next; at += 1) {
      const order = Math.max(0, at - first - faults);
      found[at].pos = found[at].at + (count > 0 ? (spread * order) / count : 0);
    }
  }
}

// Every object with the number of events about it, in the order a person expects: /o/9 before /o/10.
function countObjects() {
  const counts = new Map();
  for (const item of items) {
    if (item.kind !== "event") continue;
    for (const object of item.about) counts.set(object, (counts.get(object) ?? 0) + 1);
  }
  const order = new Intl.Collator("en", { numeric: true });
  return new Map([...counts].sort(([a], [b]) => order.compare(a, b)));
}

function startingView() {
  const start = {
    ...whole,
    object: "",
    text: "",
    about: Boolean(run.broken?.about.length),
    off: new Set(),
    theme: "",
    selected: null,
  };
  if (broken) start.from = startBefore(broken, OPENED, start);
  return start;
}

// Since when to show, so that `count` of the events that pass the filters come before this one.
function startBefore(item, count, wanted) {
  const before = items.filter((other) => other.number < item.number && passes(other, wanted));
  return before.length <= count ? whole.from : Math.floor(before.at(-count).pos);
}

// Is this event about one of these objects? What is about none at all, and is not usual, such as a crash,
// matters to every object.
function concerns(item, isWanted) {
  return item.about.length ? item.about.some(isWanted) : item.weight !== "usual";
}

// Which filters hide this item. A broken rule passes all of them, and a fault those that are about objects.
function hiddenBy(item, wanted) {
  if (item.kind === "broken") return [];
  const reasons = [];
  if (wanted.off.has(item.lane)) reasons.push("host");
  if (!hasWords(item, wanted.text)) reasons.push("text");
  if (item.kind === "event") {
    if (wanted.object && !concerns(item, wantedObject(wanted.object))) reasons.push("object");
    if (wanted.about && !concerns(item, (object) => run.broken.about.includes(object))) reasons.push("about");
  }
  return reasons;
}

function passes(item, wanted) {
  return hiddenBy(item, wanted).length === 0;
}

// A whole name means this object; a part of a name means all that have it.
function wantedObject(typed) {
  return objects.has(typed) ? (object) => object === typed : (object) => object.includes(typed);
}

function words(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

function hasWords(item, text) {
  item.searched ??= `${laneNames[item.lane] ?? ""} ${item.text}`.toLowerCase();
  return words(text).every((word) => item.searched.includes(word));
}

function isInWindow(item) {
  return item.pos >= view.from && item.pos <= view.to;
}

// Shows this stretch of time, or the nearest that there is.
function setWindow(from, to) {
  const shortest = hasWholeTimes ? MOMENT_MS / 2 : MOMENT_MS / 1000;
  const length = Math.min(Math.max(to - from, shortest), whole.to - whole.from);
  view.from = Math.min(Math.max(from, whole.from), whole.to - length);
  view.to = view.from + length;
}

// Makes the window `factor` times as long; what is at `at` stays where it is.
function zoom(factor, at = (view.from + view.to) / 2) {
  setWindow(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

// The view as the part of an address after the `#`, so that it can be sent to somebody. Only what differs
// from the view that the page opens with.
function toFragment() {
  const start = startingView();
  const parts = new URLSearchParams();
  if (view.object) parts.set("object", view.object);
  if (view.text) parts.set("text", view.text);
  if (view.about !== (start.about && !view.object)) parts.set("about", view.about ? "only" : "all");
  if (view.off.size)
    parts.set(
      "off",
      [...view.off]
        .sort((a, b) => a - b)
        .map((lane) => laneNames[lane])
        .join(","),
    );
  if (view.from !== start.from || view.to !== start.to) {
    parts.set("from", inMs(view.from));
    parts.set("to", inMs(view.to));
  }
  if (view.theme) parts.set("theme", view.theme);
  if (view.selected !== null) parts.set("event", view.selected);
  // These signs are common in names of objects and need no escape in a fragment.
  return parts.toString().replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":");
}

// What the fragment does not name is as when the page opens; what makes no sense is left aside.
function fromFragment(fragment) {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  Object.assign(view, startingView());
  view.object = parts.get("object") ?? "";
  view.text = parts.get("text") ?? "";
  if (run.broken?.about.length && ["only", "all"].includes(parts.get("about")))
    view.about = parts.get("about") === "only";
  // Somebody who asks for an object wants to see it, whatever the rule is about.
  else if (view.object) view.about = false;
  const off = (parts.get("off") ?? "").split(",").map((name) => laneNames.indexOf(name));
  view.off = new Set(off.filter((lane) => lane >= 0));
  if (["light", "dark"].includes(parts.get("theme"))) view.theme = parts.get("theme");
  const [from, to] = [numberOr(parts.get("from"), view.from), numberOr(parts.get("to"), view.to)];
  if (from < to) setWindow(from, to);
  const selected = numberOr(parts.get("event"), -1);
  view.selected = items[selected] ? selected : null;
}

function numberOr(text, otherwise) {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : otherwise;
}

// A time in milliseconds, with the digits after the point that it needs.
function inMs(time) {
  return String(Math.round(time * 1000) / 1000);
}

function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
