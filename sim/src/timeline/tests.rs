//! The page is opened in a real browser, and used.

use super::{Broken, Entry, Lane, LaneKind, Shade, Timeline, Weight};
use std::{fs, process::Command};
use tempfile::TempDir;

const MS: u64 = 1_000_000;

/// A run of two edges: one that was cut off confirms a purge of /o/3, and serves it all the same. Eight of
/// its fourteen events are about /o/3, or are a crash.
fn sample() -> Timeline {
    let lane = |name: &str, kind| Lane { name: name.to_owned(), kind };
    let entry = |at_ms: u64, lane, text: &str, about: &[&str], weight| Entry {
        at_ns: at_ms * MS,
        lane,
        text: text.to_owned(),
        about: about.iter().map(|object| (*object).to_owned()).collect(),
        weight,
    };
    let usual = Weight::Usual;
    Timeline {
        scenario: "a-purge-survives-a-cut-link".to_owned(),
        description: "What is confirmed holds.".to_owned(),
        seed: u64::MAX,
        command: "tiergate-sim run scenarios/purges/cut.yaml --seed 18446744073709551615".to_owned(),
        version: "tiergate-sim 0.1.0".to_owned(),
        planted: None,
        ends_at_ms: 400,
        healed_at_ms: None,
        lanes: vec![
            lane("client-0", LaneKind::Clients),
            lane("edge-0", LaneKind::Edge),
            lane("edge-1", LaneKind::Edge),
            lane("shared-tier", LaneKind::Tier),
            lane("disk of edge 0", LaneKind::Disk),
            lane("origin", LaneKind::Origin),
        ],
        shades: vec![
            shade("partition_shared_tier", (150, 260), &[2, 3], true),
            shade("disk_full", (20, 90), &[4], false),
        ],
        entries: vec![
            entry(0, 1, "starts", &[], usual),
            entry(0, 2, "starts", &[], usual),
            entry(0, 5, "publishes version 1 of /o/3", &["/o/3"], usual),
            entry(0, 5, "publishes version 1 of /o/33", &["/o/33"], usual),
            entry(40, 0, "client 1 asks edge 1 for /o/3", &["/o/3"], usual),
            entry(40, 2, "cannot answer its request 0 from the cache with /o/3", &["/o/3"], usual),
            entry(44, 5, "answers edge 1 with version 1 of /o/3", &["/o/3"], usual),
            entry(60, 0, "client 2 asks edge 0 for /o/7", &["/o/7"], usual),
            entry(90, 1, "crashes; what it had in memory is gone", &[], Weight::Bad),
            entry(120, 0, "client 3 asks edge 1 for /o/7", &["/o/7"], usual),
            entry(200, 0, "an operator asks edge 1 to purge /o/3", &["/o/3"], Weight::Key),
            entry(201, 2, "acknowledges the purge of /o/3", &["/o/3"], Weight::Key),
            entry(300, 1, "stores /o/7 in memory", &["/o/7"], usual),
            entry(400, 0, "client 4 gets 200 for /o/3: all of version 1", &["/o/3"], Weight::Bad),
        ],
        broken: Some(Broken {
            at_ns: 400 * MS,
            rule: "C7".to_owned(),
            promise: Some("an edge that confirmed a purge serves nothing from before it.".to_owned()),
            seen: "ask 4 for /o/3 got version 1".to_owned(),
            lanes: vec![2],
            about: vec!["/o/3".to_owned()],
        }),
        left_out: 7,
    }
}

fn shade(name: &str, (from_ms, to_ms): (u64, u64), lanes: &[usize], observed: bool) -> Shade {
    Shade { name: name.to_owned(), from_ms, to_ms, lanes: lanes.to_vec(), observed }
}

/// What a browser has made of a page.
struct Opened {
    dom: String,
}

impl Opened {
    /// Opens the page with this fragment.
    fn new(timeline: &Timeline, fragment: &str) -> Self {
        Self::and_then(timeline, fragment, "")
    }

    /// Opens the page with this fragment, and runs a script in it, which may call `say`.
    fn and_then(timeline: &Timeline, fragment: &str, script: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("timeline.html");
        let wanted = format!(
            "<pre id=\"said\"></pre><script>
            const say = (...words) => byId('said').append(words.join(' ') + '\\n');
            const press = (key, place) => place.dispatchEvent(
                new KeyboardEvent('keydown', {{ key, bubbles: true, cancelable: true }}));
            {script}</script></body>"
        );
        let page = timeline.page();
        assert_eq!(page.matches("</body>").count(), 1);
        fs::write(&file, page.replace("</body>", &wanted)).expect("the folder was made for this file");
        let output = Command::new("timeout")
            .args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .args(["--virtual-time-budget=2000", "--window-size=1400,1000"])
            .arg(format!("--user-data-dir={}", folder.path().join("browser").display()))
            .arg(format!("file://{}#{fragment}", file.display()))
            .output()
            .expect("`timeout` is part of coreutils");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_ne!(
            output.status.code(),
            Some(127),
            "no chromium: `scripts/need chromium` installs it. {errors}"
        );
        assert!(output.status.success(), "chromium failed ({}): {errors}", output.status);
        let opened = Self { dom: String::from_utf8_lossy(&output.stdout).into_owned() };
        assert_eq!((opened.body("ready"), opened.body("errors")), ("true", "0"), "{}", opened.dom);
        opened
    }

    /// What stands in the body's `data-…`.
    fn body(&self, name: &str) -> &str {
        let body = self.between("<body ", ">");
        let (_, value) =
            body.split_once(&format!("data-{name}=\"")).expect("the page says so from the beginning");
        value.split('"').next().unwrap_or_default()
    }

    /// What the script said, line by line.
    fn said(&self) -> Vec<&str> {
        self.between("<pre id=\"said\">", "</pre>").lines().collect()
    }

    fn between(&self, begin: &str, end: &str) -> &str {
        let behind = self.dom.split_once(begin).map_or("", |(_, behind)| behind);
        behind.split_once(end).map_or("", |(inside, _)| inside)
    }
}

/// Says the rows that are shown, without faults and the broken rule.
const SAY_EVENTS: &str =
    "for (const row of list.querySelectorAll('.event:not([hidden]) .text')) say(row.textContent);";

/// Whoever opens the page is told what was broken, and how to see it again, and sees what the rule is about.
#[test]
fn the_page_opens_with_what_was_broken() {
    let opened = Opened::and_then(
        &sample(),
        "",
        "say(byId('headline').textContent);
        say(byId('finding').textContent);
        say(byId('command').textContent);
        say(byId('facts').textContent.includes('18446744073709551615'));
        say(byId('count').textContent);
        say(byId('about-label').textContent);
        say(byId('left-out').textContent);
        say(byId('nothing').hidden, list.querySelectorAll('.broken:not([hidden])').length);
        say(document.title);",
    );
    assert_eq!(
        opened.said(),
        [
            "Rule C7 was broken on edge-1, 400 ms into the run",
            "It promisesan edge that confirmed a purge serves nothing from before it.\
             Seen insteadask 4 for /o/3 got version 1",
            "tiergate-sim run scenarios/purges/cut.yaml --seed 18446744073709551615",
            "true",
            "8 of 14 events; 6 filtered out",
            "Only what C7 is about: /o/3 (6 others hidden)",
            "7 earlier events are not on this page: it holds the last 14.",
            "true 1",
            "C7 broken: a-purge-survives-a-cut-link, seed 18446744073709551615",
        ]
    );
    assert_eq!((opened.body("shown"), opened.body("hidden-by-about")), ("8", "6"));
}

/// A run in which every rule held says so, and shows all of it.
#[test]
fn a_run_that_broke_nothing_says_so() {
    let whole = Timeline { broken: None, ..sample() };
    let script = "say(byId('headline').textContent, byId('about-field').hidden, byId('jump').hidden);";
    let opened = Opened::and_then(&whole, "", script);
    assert_eq!(opened.said(), ["No rule was broken in 400 ms true true"]);
    assert_eq!(opened.body("shown"), "14");
    let empty =
        Timeline { broken: None, entries: Vec::new(), shades: Vec::new(), lanes: Vec::new(), ..sample() };
    let opened =
        Opened::and_then(&empty, "", "say(byId('nothing').hidden, byId('nothing-why').textContent);");
    assert_eq!(opened.said(), ["false This run has no events."]);
}

/// An address says which part of the run is shown. What makes no sense in it is left aside.
#[test]
fn the_fragment_chooses_what_is_shown() {
    let cases = [
        ("about=all", "14"),
        // The crash is about no object, so it is about each.
        ("object=/o/7", "4"),
        ("object=/o/33", "2"),
        ("object=/o/3", "8"),
        // No object is called so: all whose names contain it.
        ("object=3", "9"),
        ("about=all&text=EDGE-1+purge", "1"),
        ("about=all&off=client-0,origin", "6"),
        ("about=all&off=client-0,no-such-host", "9"),
        ("from=100&to=300", "2"),
        ("about=all&from=100&to=300", "4"),
        ("about=all&from=300&to=100", "14"),
        ("about=perhaps&theme=pink&event=-1&from=soon&to=", "8"),
    ];
    let show =
        |(fragment, _)| format!("fromFragment('#{fragment}'); show(); say(document.body.dataset.shown);");
    let opened = Opened::and_then(&sample(), "", &cases.map(show).concat());
    assert_eq!(opened.said(), cases.map(|(_, shown)| shown));
    // The same when the page is opened with it.
    assert_eq!(Opened::new(&sample(), cases[9].0).body("shown"), cases[9].1);
}

/// When nothing is left, the page says why and offers a way back.
#[test]
fn an_empty_list_is_explained() {
    let script = "say(byId('nothing').hidden, byId('nothing-why').textContent);
        byId(byId('nothing-all').hidden ? 'nothing-clear' : 'nothing-all').click();
        say(byId('nothing').hidden, document.body.dataset.shown);";
    let opened = Opened::and_then(&sample(), "text=unheard-of", script);
    assert_eq!(opened.said(), ["false None of the 14 events passes the filters.", "true 14"]);
    let opened = Opened::and_then(&sample(), "from=210&to=290", script);
    assert_eq!(
        opened.said(),
        [
            "false Nothing that passes the filters happened from 210 to 290 ms. Before or after it are 8 such events.",
            "true 8"
        ]
    );
}

/// Events of one moment stay in the order in which they came, in the list and from left to right.
#[test]
fn events_of_one_moment_keep_their_order() {
    let mut timeline = sample();
    timeline.entries.rotate_left(4);
    let script = format!(
        "{SAY_EVENTS} const at = items.filter((item) => item.at === 0 && item.kind === 'event');
        say(at.map((item) => item.pos.toFixed(1)));"
    );
    let opened = Opened::and_then(&timeline, "about=all&to=20", &script);
    assert_eq!(
        opened.said(),
        [
            "starts",
            "starts",
            "publishes version 1 of /o/3",
            "publishes version 1 of /o/33",
            "0.0,0.2,0.4,0.6"
        ]
    );
}

/// The filters, the names of the hosts and the keys do what they say, and the address follows.
#[test]
fn the_page_can_be_used() {
    let opened = Opened::and_then(
        &sample(),
        "",
        "say(toFragment(), document.body.dataset.shown);
        byId('about').click();
        say(toFragment(), document.body.dataset.shown);
        names.querySelector('[data-lane=\"0\"] .only').click();
        say(toFragment(), document.body.dataset.shown);
        byId('clear').click();
        list.querySelector('.event:not([hidden]) .object').click();
        say(toFragment(), document.body.dataset.shown, byId('object').value);
        press('End', plot);
        press('ArrowLeft', plot);
        say(view.selected, rows[view.selected].getAttribute('aria-current'), byId('live').textContent);
        press('+', plot);
        say(Math.round(view.from), Math.round(view.to), document.body.dataset.shown);
        press('0', plot);
        press('ArrowUp', list.querySelector('[aria-current]'));
        say(view.from, view.to, byId('live').textContent);
        byId('show-broken').click();
        say(items[view.selected].kind, document.activeElement === rows[view.selected]);
        byId('theme').click();
        say(document.documentElement.dataset.theme, view.theme);",
    );
    let said = opened.said();
    assert_eq!(
        said,
        [
            " 8",
            "about=all 14",
            "about=all&amp;off=edge-0,edge-1,shared-tier,disk+of+edge+0,origin,faults 5",
            "object=/o/3 8 /o/3",
            "17 true 400 ms, client-0: client 4 gets 200 for /o/3: all of version 1",
            "200 401 3",
            "0 401 260 ms, faults: partition_shared_tier ends: edge-1 and shared-tier",
            "broken true",
            "dark dark",
        ]
    );
}

/// The pointer zooms in the lanes, moves the window in the overview, and links dots and rows both ways.
#[test]
fn the_pointer_zooms_and_chooses() {
    let opened = Opened::and_then(
        &sample(),
        "about=all",
        "const point = (place, type, x, y, more) => {
            const box = place.getBoundingClientRect();
            place.setPointerCapture = () => {};
            place.dispatchEvent(new PointerEvent(type, {
                clientX: box.left + x, clientY: box.top + y, button: 0, bubbles: true, ...more }));
        };
        const drag = (place, from, to, more) => {
            point(place, 'pointerdown', from, 20, more);
            point(place, 'pointermove', to, 20, more);
            point(place, 'pointerup', to, 20, more);
        };
        const x = (time, surface, window) =>
            PAD + (time - window.from) / (window.to - window.from) * (surface.clientWidth - 2 * PAD);
        const shown = () => `${Math.round(view.from)} to ${Math.round(view.to)}`;
        drag(plot, x(100, plot, view), x(300, plot, view));
        say(shown(), toFragment().startsWith('about=all&from='));
        drag(plot, x(200, plot, view), x(150, plot, view), { shiftKey: true });
        say(shown());
        drag(overview, x(250, overview, whole), x(200, overview, whole));
        say(shown());
        drag(overview, x(view.to, overview, whole), x(350, overview, whole));
        show();
        say(shown(), document.body.dataset.shown);
        const dot = dots.find((dot) => dot.item.text.includes('purge'));
        point(plot, 'pointermove', dot.x, dot.y);
        say(tip.hidden, tip.textContent, rows[dot.item.number].className);
        point(plot, 'pointerdown', dot.x, dot.y);
        point(plot, 'pointerup', dot.x, dot.y);
        say(list.querySelector('[aria-current]').textContent);
        rows[dot.item.number + 1].click();
        say(items[view.selected].text);",
    );
    assert_eq!(
        opened.said(),
        [
            "100 to 300 true",
            "150 to 350",
            "100 to 300",
            "100 to 350 4",
            "false 200 ms, client-0an operator asks edge 1 to purge /o/3 event key hovered",
            "200 msclient-0an operator asks edge 1 to purge /o/3",
            "acknowledges the purge of /o/3",
        ]
    );
}

/// The address that the page writes opens the same view.
#[test]
fn an_address_can_be_sent() {
    let fragment = "object=/o/7&about=only&text=asks+edge&off=edge-0&from=10.5&to=200.25&theme=dark&event=3";
    let opened = Opened::and_then(
        &sample(),
        fragment,
        "const sent = toFragment();
        fromFragment('');
        const start = toFragment();
        fromFragment(sent);
        say(`[${start}]`, sent === toFragment());
        say(view.object, view.about, view.text, [...view.off], view.from, view.to, view.theme, view.selected);",
    );
    assert_eq!(opened.said(), ["[] true", "/o/7 true asks edge 1 10.5 200.25 dark 3"]);
}

/// No text of a run can end the script that holds it, or add to the page.
#[test]
fn texts_stay_texts() {
    let hostile = "</script><script>document.body.dataset.errors = 'hostile'</script><!-- <script> {{page.js}} & \u{2028}";
    let mut timeline = sample();
    hostile.clone_into(&mut timeline.description);
    hostile.clone_into(&mut timeline.entries[4].text);
    timeline.lanes[2].name = "<b>edge</b>".to_owned();
    let opened = Opened::and_then(
        &timeline,
        "",
        "say(run.description === run.entries[4].text, run.description.length);
        say(list.querySelectorAll('script, .host b').length, byId('facts').querySelectorAll('script').length);
        say(rows.filter((row) => row.textContent.includes('dataset.errors')).length);",
    );
    assert_eq!(opened.said(), [format!("true {}", hostile.chars().count()).as_str(), "0 0", "1"]);
    assert_eq!(timeline.page().matches("</script>").count(), 5);
}

/// The page is one file: it names no other, and its policy forbids to fetch one.
#[test]
fn the_page_fetches_nothing() {
    let page = sample().page();
    for outside in ["http:", "https:", "src=", "@import", "url(", "{{"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("content=\"default-src 'none';"));
}

/// Many events are drawn, and listed, in one go.
#[test]
fn thousands_of_events_are_shown() {
    let mut timeline = sample();
    let more = (0..5_000).map(|number| Entry {
        at_ns: number * MS / 5,
        lane: number as usize % 6,
        text: format!("event {number}"),
        about: vec![format!("/o/{}", number % 50)],
        weight: Weight::Usual,
    });
    timeline.entries.extend(more);
    let opened = Opened::and_then(&timeline, "about=all&from=0&to=1001", "say(dots.length);");
    assert_eq!(opened.body("shown"), "5014");
    assert_eq!(opened.said(), ["5014"]);
}

/// A lane that does not exist is the caller's mistake.
#[test]
#[should_panic(expected = "lane 6 of 6 is named in the timeline of a-purge-survives-a-cut-link")]
fn a_lane_must_exist() {
    let mut timeline = sample();
    timeline.entries[0].lane = 6;
    let _ = timeline.page();
}
