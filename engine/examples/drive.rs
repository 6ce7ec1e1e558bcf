//! A whole driver on one page: three requests for one page, one of them while the first is still on its way.
//!
//! `cargo run -p tiergate-engine --example drive`

use std::{collections::VecDeque, sync::Arc, time::Duration};
use tiergate_engine::{
    Answer, CacheKey, Config, Effect, Engine, Head, Input, Instant, Method, OriginId, RawConfig, ReplyBody,
    RequestHead, RequestId, Seed, Symbol, WallTime,
};

/// The body that this origin sends, in two chunks: symbols stand for its bytes.
const CHUNKS: [Symbol; 2] = [
    Symbol { object: 1, version: 1, offset: 0, size: 700 },
    Symbol { object: 1, version: 1, offset: 700, size: 300 },
];

fn main() {
    let config = Config::try_from(RawConfig::default()).expect("the defaults hold together");
    let mut now = Instant::ZERO;
    let mut engine = Engine::new(config, Seed(7), now);
    let mut chunks = CHUNKS.into_iter();

    // What happened and has not been told yet. A real driver gets this from sockets, files and timers.
    let mut inbox = VecDeque::from([
        Input::WallClock { wall: WallTime::from_unix_millis(1_767_225_600_000) },
        get(RequestId(1)),
        get(RequestId(2)),
    ]);
    let mut is_first_round = true;
    loop {
        while let Some(input) = inbox.pop_front() {
            now = now.after(Duration::from_millis(1));
            engine.handle(now, input);
            // The drain rule: every effect and every event, then the next input.
            while let Some(effect) = engine.poll_effect() {
                inbox.extend(execute(effect, &mut chunks));
            }
            while let Some(event) = engine.poll_event() {
                println!("{:>5} ms  {event:?}", now.as_nanos() / 1_000_000);
            }
        }
        // Everything is at rest: the page is stored, so who asks now is answered at once.
        if !std::mem::replace(&mut is_first_round, false) {
            break;
        }
        inbox.push_back(get(RequestId(3)));
    }
    assert!(engine.audit().is_idle(), "everything has ended: {:?}", engine.audit());
}

/// Does one piece of work. The answer rule: whatever has an `op` is answered once.
fn execute(effect: Effect<Symbol>, chunks: &mut impl Iterator<Item = Symbol>) -> Option<Input<Symbol>> {
    match effect {
        Effect::Fetch { op, .. } => {
            let fields = [("cache-control", "max-age=60"), ("content-length", "1000")];
            let head = Head { status: 200, fields: fields.into_iter().collect() };
            Some(Answer::Head { head: Arc::new(head) }.to(op))
        }
        Effect::Pull { op, .. } => Some(match chunks.next() {
            Some(chunk) => Answer::Pulled { chunk }.to(op),
            None => Answer::PullEnded.to(op),
        }),
        Effect::Serve { request, reply } => match reply.body {
            ReplyBody::Whole(_) => None,
            ReplyBody::Streamed => Some(Input::Demand { request }),
        },
        Effect::Body { request, .. } => Some(Input::Demand { request }),
        Effect::Finish { .. } | Effect::Cancel { .. } => None,
        other => unreachable!("L0 alone asks for nothing else: {other:?}"),
    }
}

fn get(request: RequestId) -> Input<Symbol> {
    let head = RequestHead {
        method: Method::Get,
        authority: "example.net".into(),
        target: "/page".into(),
        fields: [("accept", "*/*")].into_iter().collect(),
    };
    let key = CacheKey::of(&head.authority, &head.target);
    Input::Request { request, key, origin: OriginId(0), head: Arc::new(head) }
}
