"use strict";
// The page around the chart: what was broken, the state of the filters, the list of events. It starts all.

const byId = (id) => document.getElementById(id);
const list = byId("rows");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const darkSystem = window.matchMedia("(prefers-color-scheme: dark)");
let rows = [];

// An element with these children; text stays text, whatever it contains.
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function fillVerdict() {
  const { broken: rule } = run;
  byId("verdict").classList.add(rule ? "is-broken" : "is-whole");
  const finding = byId("finding");
  const say = (to, term, ...text) => to.append(element("dt", {}, term), element("dd", {}, ...text));
  if (rule) {
    const host = rule.lanes.length
      ? [" on ", element("span", {}, listed(rule.lanes.map((lane) => laneNames[lane])))]
      : [];
    const what = rule.rule === "expect" ? "What is expected did not come" : `Rule ${rule.rule} was broken`;
    byId("headline").append(what, ...host, `, ${inMs(broken.at)} ms into the run`);
    if (rule.promise) say(finding, "It promises", rule.promise);
    // A number and its unit stay on one line.
    say(finding, "Seen instead", rule.seen.replace(/(\d) ms\b/g, "$1\u00a0ms"));
  } else {
    byId("headline").textContent = `No rule was broken in ${run.ends_at_ms} ms`;
    byId("jump").hidden = true;
  }
  byId("command").append(
    ...run.command.split(/( )/).map((part) => (part === " " ? part : element("span", {}, part))),
  );
  const facts = byId("facts");
  say(
    facts,
    "Scenario",
    element("b", {}, run.scenario),
    element("span", { className: "quiet" }, run.description),
  );
  say(facts, "Seed", element("b", {}, run.seed));
  if (run.planted)
    say(
      facts,
      "Planted fault",
      element("b", {}, run.planted),
      element("span", { className: "quiet" }, "put in on purpose: a rule has to catch it"),
    );
  say(facts, "Version", run.version);
  byId("footer").textContent = "All times are simulated, and count from the beginning of the run.";
  document.title = `${rule ? `${rule.rule} broken` : "Nothing broken"}: ${run.scenario}, seed ${run.seed}`;
}

// The names of the hosts, beside their lanes: a press hides or shows one, "only" hides all others.
function fillNames() {
  const add = (lane, height) => {
    const swatch = element("i", { className: "swatch" });
    const toggle = element(
      "button",
      { type: "button", className: "toggle", title: laneNames[lane] },
      swatch,
      element("span", {}, laneNames[lane]),
    );
    const only = element(
      "button",
      { type: "button", className: "only", ariaLabel: `only ${laneNames[lane]}` },
      "only",
    );
    toggle.addEventListener("click", () =>
      change(() => {
        if (!view.off.delete(lane)) view.off.add(lane);
      }),
    );
    only.addEventListener("click", () =>
      change(() => {
        view.off = new Set(laneNames.keys());
        view.off.delete(lane);
      }),
    );
    const name = element("div", { className: "name" }, toggle, only);
    name.dataset.lane = lane;
    name.style.height = `${height}px`;
    name.style.setProperty("--lane", laneColour(lane));
    names.append(name);
  };
  names.style.paddingTop = `${top0}px`;
  add(FAULTS, faultsHeight);
  run.lanes.forEach((_, lane) => add(lane, LANE));
  canvas.style.height = plot.style.height = `${plotHeight}px`;
}

function fillList() {
  rows = items.map((item) => {
    const hosts = item.kind === "broken" && run.broken.lanes.length ? run.broken.lanes : [item.lane];
    const host = element("span", { className: "host" });
    host.append(...hosts.map((lane) => laneNames[lane] ?? "").join(", "));
    const row = element(
      "li",
      { tabIndex: -1, className: `${item.kind} ${item.weight}` },
      element("span", { className: "time" }, `${inMs(item.at)} ms`),
      host,
      textOf(item),
    );
    row.style.setProperty("--lane", laneColour(hosts[0]));
    row.dataset.number = item.number;
    return row;
  });
  list.replaceChildren(...rows);
  byId("left-out").hidden = run.left_out === 0;
  byId("left-out").textContent =
    `${run.left_out} earlier events are not on this page: it holds the last ${run.entries.length}.`;
  byId("objects").replaceChildren(
    ...[...objects].map(([object, count]) =>
      element("option", { value: object, label: `${object} (${count})` }),
    ),
  );
}

// What happened, in which the names of objects can be pressed.
function textOf(item) {
  const text = element("span", { className: "text" });
  let rest = item.text;
  if (item.kind === "broken") {
    text.append(element("b", {}, `${run.broken.rule} is broken: `));
    rest = run.broken.seen;
  }
  // Longer names come first, so that /o/3 is not found in /o/3/a.
  const objectNames = item.about.filter(Boolean).sort((a, b) => b.length - a.length);
  const patterns = objectNames.map((object) => object.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = patterns.length ? rest.split(new RegExp(`((?:${patterns.join("|")})(?!\\w))`)) : [rest];
  for (const part of parts) {
    const isObject = item.about.includes(part);
    text.append(
      isObject
        ? element(
            "button",
            { type: "button", className: "object", tabIndex: -1, title: `Only what is about ${part}` },
            part,
          )
        : part,
    );
  }
  return text;
}

// Changes the view, and then shows it everywhere.
function change(how) {
  how();
  show();
}

let planned = 0;
let remembered = 0;

// While something is dragged, the chart follows at once and the list a moment later.
function showSoon() {
  draw();
  showWindow();
  clearTimeout(planned);
  planned = setTimeout(show, 120);
}

function show() {
  clearTimeout(planned);
  showTheme();
  showControls();
  showList();
  draw();
  showWindow();
  clearTimeout(remembered);
  remembered = setTimeout(remember, 150);
}

// Keeps the view in the address, which can be sent to somebody.
function remember() {
  const fragment = toFragment();
  if (fragment === location.hash.slice(1)) return;
  try {
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  } catch {
    // Some browsers allow no change of the address of a page in a frame. The page works without.
  }
}

function showTheme() {
  const theme = view.theme || (darkSystem.matches ? "dark" : "light");
  byId("theme").setAttribute("aria-pressed", theme === "dark");
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  readColours();
}

function showControls() {
  const setValue = (field, value) => {
    if (field.value !== value) field.value = value;
  };
  setValue(byId("object"), view.object);
  setValue(byId("text"), view.text);
  byId("about").checked = view.about;
  for (const name of names.children) {
    const isOn = !view.off.has(Number(name.dataset.lane));
    name.classList.toggle("off", !isOn);
    name.firstChild.setAttribute("aria-pressed", isOn);
  }
}

function showWindow() {
  byId("from").value = inMs(view.from);
  byId("to").value = inMs(view.to);
  const isAll = view.from === whole.from && view.to === whole.to;
  byId("zoom-out").disabled = byId("zoom-all").disabled = isAll;
}

function showList() {
  const counts = { shown: 0, about: 0, filtered: 0, outside: 0, rows: 0 };
  let before = null;
  items.forEach((item, number) => {
    const reasons = hiddenBy(item, view);
    const isShown = !reasons.length && isInWindow(item);
    if (item.kind === "event") {
      if (reasons.length === 1 && reasons[0] === "about") counts.about += 1;
      if (isShown) counts.shown += 1;
      else if (reasons.length) counts.filtered += 1;
      else counts.outside += 1;
    }
    const row = rows[number];
    row.hidden = !isShown;
    if (!isShown) return;
    counts.rows += 1;
    row.classList.toggle("same", before === item.at);
    before = item.at;
    setCurrent(row, number === view.selected);
  });
  showCounts(counts);
  highlightWords();
  // One row can be reached with the Tab key; the arrow keys go on from there.
  const entrance =
    rows[view.selected]?.hidden === false ? rows[view.selected] : rows.find((row) => !row.hidden);
  list.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
  entrance?.setAttribute("tabindex", "0");
}

function showCounts({ shown, about, filtered, outside }) {
  const all = run.entries.length;
  const hidden = [
    filtered ? `${filtered} filtered out` : "",
    outside ? `${outside} outside of this time` : "",
  ].filter(Boolean);
  byId("count").textContent = `${shown} of ${all} events${hidden.length ? `; ${hidden.join(", ")}` : ""}`;
  byId("about-field").hidden = !run.broken?.about.length;
  if (run.broken) {
    const what = `Only what ${run.broken.rule} is about: ${listed(atMost(3, run.broken.about))}`;
    byId("about-label").textContent = view.about ? `${what} (${about} others hidden)` : what;
  }
  byId("clear").disabled = !isFiltered();
  document.body.dataset.shown = shown;
  document.body.dataset.hiddenByAbout = about;
  byId("nothing").hidden = shown > 0;
  byId("nothing-why").textContent = whyNothing(all, outside);
  byId("nothing-clear").hidden = !isFiltered();
  byId("nothing-all").hidden = outside === 0;
}

function whyNothing(all, outside) {
  if (all === 0) return "This run has no events.";
  if (outside === 0) return `None of the ${all} events passes the filters.`;
  const time = `from ${inMs(view.from)} to ${inMs(view.to)} ms`;
  return `Nothing that passes the filters happened ${time}. Before or after it are ${outside} such events.`;
}

// The first of many names, and how many more there are.
function atMost(count, all) {
  return all.length > count ? [...all.slice(0, count - 1), `${all.length - count + 1} more`] : all;
}

function isFiltered() {
  return Boolean(view.object || view.text.trim() || view.about || view.off.size);
}

function clearFilters() {
  change(() => Object.assign(view, { object: "", text: "", about: false, off: new Set() }));
}

// Marks the words that were searched for, in browsers that can do so without changing the page.
function highlightWords() {
  if (!window.Highlight || !CSS.highlights) return;
  CSS.highlights.delete("found");
  const wanted = words(view.text);
  if (!wanted.length) return;
  const ranges = [];
  for (const row of rows) {
    if (row.hidden) continue;
    const walk = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (!node.parentElement.closest(".time")) ranges.push(...rangesIn(node, wanted));
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

function rangesIn(node, wanted) {
  const text = node.data.toLowerCase();
  const found = [];
  for (const word of wanted) {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, Math.min(at + word.length, node.length));
      found.push(range);
    }
  }
  return found;
}

function setCurrent(row, isCurrent) {
  if (isCurrent) row.setAttribute("aria-current", "true");
  else row.removeAttribute("aria-current");
}

// Chooses an event. Whoever chose it in the chart sees its row as well, and the other way round.
function select(item, { scroll = false, focus = false } = {}) {
  change(() => {
    view.selected = item ? item.number : null;
  });
  hovered = null;
  if (!item) {
    tip.hidden = true;
    return;
  }
  const row = rows[item.number];
  byId("live").textContent = `${inMs(item.at)} ms, ${laneNames[item.lane] ?? ""}: ${item.text}`;
  if (scroll) row.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
  if (focus) row.focus({ preventScroll: scroll });
}

// The next shown item in this direction, from the chosen one.
function neighbour(step) {
  const shown = items.filter((item, number) => !rows[number].hidden);
  const chosen = shown.findIndex((item) => item.number === view.selected);
  // With none chosen, the way goes in from the beginning or from the end.
  const outside = step > 0 ? -1 : shown.length;
  const at = chosen < 0 ? outside : chosen;
  return shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
}

function showBroken() {
  const start = startBefore(broken, LAST_MOMENTS, view);
  const length = Math.max(broken.pos - start, MOMENT_MS);
  setWindow(start - length * 0.04, broken.pos + length * 0.06);
  select(broken, { scroll: true, focus: true });
}

// The chart stays in sight while the list beside it, or below it, scrolls: where the window is high enough.
function fitChart() {
  const chart = byId("chart");
  const isBeside = list.getBoundingClientRect().left > chart.getBoundingClientRect().right;
  const stays = window.innerHeight > chart.offsetHeight * (isBeside ? 1 : 1.8);
  chart.classList.toggle("stays", stays);
  list.style.setProperty("--covered", stays && !isBeside ? `${chart.offsetHeight + 12}px` : "12px");
}

fillVerdict();
fillNames();
fillList();
fromFragment(location.hash);
listenToControls();
listenToList();
listenToLanes();
listenToOverview();
show();
fitChart();
document.body.dataset.ready = "true";
