"use strict";
// What the reader does: controls, pointer and keys, in the list, the lanes and the overview.

function listenToControls() {
  byId("theme").addEventListener("click", () =>
    change(() => {
      view.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    }),
  );
  darkSystem.addEventListener("change", show);
  byId("copy").addEventListener("click", copyCommand);
  byId("show-broken").addEventListener("click", showBroken);
  byId("object").addEventListener("input", (event) => change(() => setObject(event.target.value.trim())));
  byId("text").addEventListener("input", (event) =>
    change(() => {
      view.text = event.target.value;
    }),
  );
  byId("about").addEventListener("change", (event) =>
    change(() => {
      view.about = event.target.checked;
    }),
  );
  for (const id of ["clear", "nothing-clear"]) byId(id).addEventListener("click", clearFilters);
  for (const id of ["zoom-all", "nothing-all"])
    byId(id).addEventListener("click", () => change(() => setWindow(whole.from, whole.to)));
  byId("zoom-in").addEventListener("click", () => change(() => zoom(0.5, focusOfZoom())));
  byId("zoom-out").addEventListener("click", () => change(() => zoom(2, focusOfZoom())));
  for (const id of ["from", "to"]) byId(id).addEventListener("change", readWindow);
  window.addEventListener("hashchange", () => change(() => fromFragment(location.hash)));
  new ResizeObserver(draw).observe(plot);
  window.addEventListener("resize", fitChart);
}

// An object by name overrules the filter on what the rule is about, which might hide all of it.
function setObject(object) {
  view.object = object;
  if (object) view.about = false;
}

function readWindow() {
  const [from, to] = [numberOr(byId("from").value, view.from), numberOr(byId("to").value, view.to)];
  change(() => {
    if (from < to) setWindow(from, to);
  });
}

// Zooming keeps the chosen event where it is, if it is shown.
function focusOfZoom() {
  const item = items[view.selected];
  return item && isInWindow(item) ? item.pos : undefined;
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(run.command);
    byId("copy").textContent = "Copied";
  } catch {
    // Without a clipboard the command is at least marked, and Ctrl+C copies it.
    getSelection().selectAllChildren(byId("command"));
    byId("copy").textContent = "Press Ctrl+C";
  }
  setTimeout(() => {
    byId("copy").textContent = "Copy";
  }, 2000);
}

function listenToList() {
  const rowOf = (target) => target.closest("li");
  list.addEventListener("click", (event) => {
    if (event.target.closest(".object")) {
      change(() => setObject(event.target.textContent));
      return;
    }
    // Marking text in a row, to copy it, is no choice.
    if (String(getSelection())) return;
    const row = rowOf(event.target);
    if (row) select(items[row.dataset.number], { focus: true });
  });
  list.addEventListener("pointerover", (event) => hover(items[rowOf(event.target)?.dataset.number]));
  list.addEventListener("pointerleave", () => hover(null));
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      select(neighbour(steps[event.key]), { focus: true });
    } else if (event.key === "Escape") select(null);
    else if (event.key === "Enter") select(items[document.activeElement.dataset.number]);
  });
}

function hover(item) {
  const number = item ? item.number : null;
  if (number === hovered) return;
  hovered = number;
  for (const row of list.querySelectorAll(".hovered")) row.classList.remove("hovered");
  if (item) rows[number].classList.add("hovered");
  draw();
}

const pointIn = (surface, event) => {
  const box = surface.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};

const timeAt = (x, surface, window) =>
  window.from + ((x - PAD) / (surface.clientWidth - 2 * PAD)) * (window.to - window.from);

function listenToLanes() {
  let pressed = null;
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = {
      ...pointIn(plot, event),
      from: view.from,
      to: view.to,
      isMove: event.shiftKey,
      isDrag: false,
    };
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    const { x, y } = pointIn(plot, event);
    if (!pressed) {
      pointAt(x, y);
      return;
    }
    if (Math.abs(x - pressed.x) > 4) pressed.isDrag = true;
    if (!pressed.isDrag) return;
    tip.hidden = true;
    if (pressed.isMove) {
      const moved = ((x - pressed.x) / (plot.clientWidth - 2 * PAD)) * (pressed.to - pressed.from);
      setWindow(pressed.from - moved, pressed.to - moved);
      showSoon();
    } else {
      dragged = [pressed.x, x];
      draw();
    }
  });
  const release = (event) => {
    const { x, y } = pointIn(plot, event);
    const was = pressed;
    [pressed, dragged] = [null, null];
    if (!was || event.type === "pointercancel") draw();
    else if (!was.isDrag) select(eventAt(x, y), { scroll: true });
    else if (!was.isMove)
      change(() => setWindow(...[was.x, x].map((at) => timeAt(at, plot, view)).sort((a, b) => a - b)));
  };
  plot.addEventListener("pointerup", release);
  plot.addEventListener("pointercancel", release);
  plot.addEventListener("pointerleave", () => {
    tip.hidden = true;
    hover(null);
  });
  plot.addEventListener("wheel", onWheel, { passive: false });
  plot.addEventListener("keydown", onKey);
  plot.addEventListener("blur", () => {
    tip.hidden = true;
  });
}

// What stands under the pointer is told beside it.
function pointAt(x, y) {
  const item = eventAt(x, y);
  hover(item);
  plot.style.cursor = item ? "pointer" : "crosshair";
  const bar = item ? null : barAt(x, y);
  if (item) showTipOf(item);
  else if (bar) {
    const hosts = bar.lanes.length ? listed(bar.lanes.map((lane) => laneNames[lane])) : "every host";
    showTip(
      x,
      y,
      bar.name,
      `from ${bar.from_ms} to ${bar.to_ms} ms; ${hosts}; ${bar.observed ? "it was met" : "nothing met it"}`,
    );
  } else tip.hidden = true;
}

// A wheel alone scrolls the page, as everywhere; with Ctrl, or two fingers, it zooms; sideways it moves.
function onWheel(event) {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoom(
      Math.exp((Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 60)) / 200),
      timeAt(pointIn(plot, event).x, plot, view),
    );
    showSoon();
  } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    move((event.deltaX || event.deltaY) / plot.clientWidth);
    showSoon();
  }
}

// Moves the window by this share of its length.
function move(share) {
  const by = (view.to - view.from) * share;
  setWindow(view.from + by, view.to + by);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = (item) => {
    if (!item) return;
    select(item);
    showTipOf(item);
  };
  const keys = {
    ArrowRight: () => (event.shiftKey ? change(() => move(0.2)) : step(neighbour(1))),
    ArrowLeft: () => (event.shiftKey ? change(() => move(-0.2)) : step(neighbour(-1))),
    Home: () => step(neighbour(-Infinity)),
    End: () => step(neighbour(Infinity)),
    "+": () => change(() => zoom(0.5, focusOfZoom())),
    "=": () => change(() => zoom(0.5, focusOfZoom())),
    "-": () => change(() => zoom(2, focusOfZoom())),
    0: () => change(() => setWindow(whole.from, whole.to)),
    Enter: () => {
      if (view.selected !== null) select(items[view.selected], { scroll: true, focus: true });
    },
    Escape: () => select(null),
  };
  if (!Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
}

// In the overview the window is moved, stretched at its edges, or drawn anew.
function listenToOverview() {
  const EDGE = 7;
  const place = (time) =>
    PAD + ((time - whole.from) / (whole.to - whole.from)) * (overview.clientWidth - 2 * PAD);
  const partAt = (x) => {
    const [left, right] = [place(view.from), place(view.to)];
    if (Math.abs(x - left) <= EDGE) return "from";
    if (Math.abs(x - right) <= EDGE) return "to";
    const isAll = view.from === whole.from && view.to === whole.to;
    return x > left && x < right && !isAll ? "inside" : "new";
  };
  let grip = null;
  overview.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const { x } = pointIn(overview, event);
    grip = { part: partAt(x), time: timeAt(x, overview, whole), from: view.from, to: view.to, x };
    overview.setPointerCapture(event.pointerId);
  });
  overview.addEventListener("pointermove", (event) => {
    const { x } = pointIn(overview, event);
    if (!grip) {
      overview.style.cursor = { from: "ew-resize", to: "ew-resize", inside: "grab", new: "crosshair" }[
        partAt(x)
      ];
      return;
    }
    const now = timeAt(x, overview, whole);
    if (grip.part === "inside") setWindow(grip.from + now - grip.time, grip.to + now - grip.time);
    else if (Math.abs(x - grip.x) > 3) {
      const fixed = { from: grip.to, to: grip.from, new: grip.time }[grip.part];
      setWindow(Math.min(fixed, now), Math.max(fixed, now));
    }
    showSoon();
  });
  for (const end of ["pointerup", "pointercancel"])
    overview.addEventListener(end, () => {
      grip = null;
    });
}
