//! The origin: objects with versions, and bodies that arrive in pieces, late, short, long or not at all.

use crate::explore::{
    campaign::tally::WorldFault,
    world::body::{Body, BodyEnd, NO_OBJECT},
    world::client::place,
    world::form::{OF_VERSION, tag},
    world::variety::{Dependence, Wish, number_of},
    world::{HEAD_STALL_MAX, Life, Step, World, up_to},
};
use crate::telling::Names;
use crate::telling::Party;
use crate::telling::words::bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tiergate_engine::{
    Answer, CacheKey, Fields, FillId, Head, Input, Instant, Method, OpId, OriginFailure, RequestHead, Symbol,
};
use tiergate_invariants::{Edge, Got, Span, Version, What};

/// The field in which each 304 differs from what was stored before it.
pub(in crate::explore) const CHECKED: &str = "x-checked";
/// How long an error page is.
const ERROR_PAGE: u64 = 9;
/// The longest that an object's own stale windows are.
const STALE_WINDOW_MAX_S: u64 = 3;
/// Longer than any lane may stall; an origin's own time-out would come about here.
const BODY_STALL_MAX: Duration = Duration::from_secs(5);

/// The origin.
#[derive(Default)]
pub(in crate::explore) struct Origin {
    pub objects: Vec<Object>,
    /// Fetches that are neither over nor cancelled. No body yet: no head was sent.
    pub streams: BTreeMap<(Life, FillId), Option<Body>>,
    /// The body of what an engine is just being told of that went around it.
    pub offered: Option<Body>,
    /// When each version was last answered with, to anybody.
    pub answered: BTreeMap<(usize, Version), Instant>,
    /// When each attempt that is put off is to be made.
    pub due: BTreeMap<(Life, FillId), Instant>,
    /// When the first attempt of each that waits for a head began.
    pub begun: BTreeMap<(Life, FillId), Instant>,
    /// How many 304s it has sent.
    checks: u64,
    /// How long whoever was sent an error was told to wait, and whether that was received.
    pub told_to_wait: BTreeMap<(Life, FillId), (Duration, bool)>,
}

/// What is served under one key.
pub(in crate::explore) struct Object {
    pub key: CacheKey,
    pub plain: Arc<RequestHead>,
    pub around: Arc<RequestHead>,
    /// The plain request with the wish of most clients.
    pub usual: Arc<RequestHead>,
    /// Version 1 first.
    versions: Vec<Edition>,
}

/// One version.
struct Edition {
    head: Arc<Head>,
    length: u64,
    announces_length: bool,
    has_tag: bool,
    is_weak: bool,
    depends_on: Dependence,
    /// The variants that were answered with.
    variants: Vec<Variant>,
}

struct Variant {
    number: u64,
    tag: String,
    /// The version's head, with the tag if it has one.
    head: Arc<Head>,
}

impl Edition {
    fn variant(&mut self, version: Version, number: u64) -> &Variant {
        let known = self.variants.iter().position(|variant| variant.number == number);
        let place = known.unwrap_or_else(|| {
            let (tag, mut head) = (tag(version, number, self.is_weak), Arc::clone(&self.head));
            if self.has_tag {
                Arc::make_mut(&mut head).fields.push("etag", tag.as_bytes());
            }
            self.variants.push(Variant { number, tag, head });
            self.variants.len() - 1
        });
        &self.variants[place]
    }
}

/// The surrogate key that an object has for itself.
pub(in crate::explore) fn own_tag(object: usize) -> String {
    format!("o{object}")
}

/// The one that it shares with others.
pub(in crate::explore) fn group_tag(object: usize) -> String {
    format!("g{}", object % 3)
}

impl Origin {
    /// How long each version of an object is, the first one first.
    pub(in crate::explore) fn lengths(&self, object: usize) -> impl Iterator<Item = u64> {
        self.objects[object].versions.iter().map(|edition| edition.length)
    }

    /// What a version of an object depends on.
    pub(in crate::explore) fn dependence(&self, object: usize, version: u32) -> Option<Dependence> {
        let place = place(u64::from(version)).checked_sub(1)?;
        self.objects[object].versions.get(place).map(|edition| edition.depends_on)
    }

    /// The entity tag of the variant of a published version that answers such a request.
    pub(in crate::explore) fn tag(&self, object: usize, version: Version, wish: Wish) -> String {
        let edition = &self.objects[object].versions[version.0 as usize - 1];
        tag(version, edition.depends_on.variant(wish), edition.is_weak)
    }

    /// The newest head of an object.
    pub(in crate::explore) fn newest_head(&self, object: usize) -> &Head {
        &self.objects[object].versions.last().expect("every object has a first version").head
    }

    /// Which object a request is for: its target is a number.
    pub(in crate::explore) fn object_of(&self, head: &RequestHead) -> usize {
        let number = head.target.trim_start_matches('/').parse();
        number.expect("every target in this world is a slash and a number")
    }
}

impl World {
    /// Every object in its first version.
    pub(in crate::explore) fn publish_all(&mut self) {
        for object in 0..self.plan.work.objects {
            let target = format!("/{object}");
            let request = |method, fields| {
                Arc::new(RequestHead {
                    method,
                    authority: "origin".into(),
                    target: target.as_str().into(),
                    fields,
                })
            };
            let plain = request(Method::Get, Fields::new());
            self.origin.objects.push(Object {
                key: CacheKey::of("origin", &target),
                usual: Wish::default().added_to(&plain),
                plain,
                around: match object % 4 {
                    0 => request(Method::Get, Fields::from_iter([("authorization", "Basic eDp5")])),
                    1 => request(Method::Other, Fields::new()),
                    2 => request(Method::Post, Fields::new()),
                    _ => request(Method::Get, Fields::from_iter([("if-match", "*")])),
                },
                versions: Vec::new(),
            });
            self.publish(place(u64::from(object)));
        }
    }

    /// The next version of an object.
    pub(in crate::explore) fn publish(&mut self, object: usize) {
        let work = self.plan.work;
        let depends_on = if work.vary.0 > 0 && self.plan.calm.is_some() {
            Dependence::of_object(object)
        } else if work.vary.0 > 0 && self.chances.variety.chance(work.vary.0, 1_000) {
            Dependence::draw(&mut self.chances.variety)
        } else {
            Dependence::Nothing
        };
        let limits = self.exact_lengths();
        // A stream of its own: how often the origin is asked must not change what it publishes.
        let random = &mut self.chances.edition;
        let length = match random.below(12) {
            _ if !limits.is_empty() && random.chance(work.exact.0, 1_000) => {
                limits[place(random.below(limits.len() as u64))]
            }
            0 => 0,
            1 => work.size_max,
            2..6 => random.below(work.size_max / 10 + 1),
            _ => random.below(work.size_max + 1),
        };
        let storable = !random.chance(work.unstorable.0, 1_000) && depends_on != Dependence::Unseen;
        let announces_length = !random.chance(work.chunked.0, 1_000);
        let mut lifetime = if storable { 1 + random.below(work.lifetime_max.as_secs()) } else { 0 };
        let window = random.below(STALE_WINDOW_MAX_S + 1);
        // What may not be stored gets no validator: with one, even a lifetime of zero may be stored.
        let mut has_tag = storable && random.chance(2, 3);
        let is_weak = has_tag && random.chance(1, 4);
        let mut said = format!("max-age={lifetime}");
        match random.below(8) {
            _ if self.plan.calm.is_some() => {}
            7 if storable => {
                // Stale at once, and yet of use for a while.
                lifetime = 0;
                said = format!("max-age=0, stale-while-revalidate={}", window.max(1));
            }
            6 if storable => {
                (has_tag, lifetime) = (true, 0);
                said.push_str(", no-cache");
            }
            5 => said.push_str(&format!(", stale-while-revalidate={window}")),
            4 => said.push_str(&format!(", stale-if-error={window}")),
            3 => said.push_str(", must-revalidate"),
            _ => {}
        }
        let mut fields = Fields::new();
        fields.push("surrogate-key", format!("{} {}", own_tag(object), group_tag(object)).as_bytes());
        if announces_length {
            fields.push("content-length", length.to_string().as_bytes());
        }
        if let Some(vary) = depends_on.vary() {
            fields.push("vary", vary.as_bytes());
        }
        match (storable, random.below(5)) {
            (true, _) => fields.push("cache-control", said.as_bytes()),
            (false, 0) => fields.push("cache-control", b"no-store, max-age=60"),
            (false, 1) => fields.push("cache-control", b"private, max-age=60"),
            (false, 2) => fields.push("cache-control", b"max-age=0"),
            (false, 3) => {
                fields.push("cache-control", b"max-age=60");
                fields.push("vary", b"*");
            }
            (false, _) => {}
        }
        let versions = &mut self.origin.objects[object].versions;
        fields.push(OF_VERSION, format!("v{}", versions.len() + 1).as_bytes());
        let head = Arc::new(Head { status: 200, fields });
        let variants = Vec::new();
        versions.push(Edition { head, length, announces_length, has_tag, is_weak, depends_on, variants });
        let what = What::Published {
            key: self.origin.objects[object].key,
            version: self.newest(object),
            length,
            storable,
            lifetime_ns: lifetime * 1_000_000_000,
        };
        self.fact(what);
    }

    /// Lengths that a tier may just take, or just not.
    fn exact_lengths(&self) -> Vec<u64> {
        let raw = &self.plan.raw;
        let gates = [raw.l0.as_ref().map(|tier| tier.gate), raw.l1.as_ref().map(|tier| tier.gate)];
        let most = gates.into_iter().flatten().filter(|gate| gate.0 <= self.plan.work.size_max);
        most.flat_map(|gate| [gate.0, gate.0 + 1]).collect()
    }

    pub(in crate::explore) fn newest(&self, object: usize) -> Version {
        let count = self.origin.objects[object].versions.len();
        Version(u32::try_from(count).expect("a run publishes at most one version for each request"))
    }

    pub(in crate::explore) fn on_fetch(&mut self, from: Life, op: OpId, fill: FillId, head: &RequestHead) {
        let object = self.origin.object_of(head);
        self.origin.streams.insert((from, fill), None);
        let at = self.soon();
        let wish = Wish::of(head);
        let known = head.fields.all("if-none-match").next().map(<[u8]>::to_vec);
        self.queue.schedule(at, Step::OriginAsked { from, op, fill, object, wish, known });
    }

    /// The request is here: what is published *now* is what the answer carries.
    pub(in crate::explore) fn on_origin_asked(
        &mut self,
        from: Life,
        op: OpId,
        fill: FillId,
        what: (usize, Wish),
        known: Option<&[u8]>,
    ) {
        let faults = self.plan.faults;
        if self.hits(faults.origin_fails, WorldFault::OriginFailed, |chances| &mut chances.origin) {
            let failure = [
                OriginFailure::Unreachable,
                OriginFailure::TimedOut,
                OriginFailure::Broken,
                OriginFailure::Malformed,
                OriginFailure::Unsendable,
            ][place(self.chances.origin.below(5))];
            self.note(Party::Origin, || format!("fails before its head: {failure:?}"));
            let at = self.soon();
            let input = Answer::FetchFailed { failure }.to(op);
            let brings = Some(WorldFault::OriginFailed);
            self.queue.schedule(at, Step::FromOrigin { to: from, fill, input, last: true, brings });
            return;
        }
        if self.hits(faults.origin_hangs, WorldFault::OriginHung, |chances| &mut chances.origin) {
            return self.note(Party::Origin, || "never answers".to_owned());
        }
        let errs = self.hits(faults.origin_errs, WorldFault::OriginErred, |chances| &mut chances.origin);
        if errs {
            self.note(Party::Origin, || "answers 503".to_owned());
        }
        let (head, body) = if errs { self.error_page(from, fill) } else { self.answer(from, what, known) };
        if let Some(stream) = self.origin.streams.get_mut(&(from, fill)) {
            *stream = Some(body);
        }
        let mut at = self.soon();
        let mut brings = errs.then_some(WorldFault::OriginErred);
        if self.hits(faults.origin_stalls, WorldFault::OriginStalled, |chances| &mut chances.origin) {
            at = at.after(up_to(&mut self.chances.origin, HEAD_STALL_MAX));
            brings = Some(WorldFault::OriginStalled);
        }
        let input = Answer::Head { head }.to(op);
        self.queue.schedule(at, Step::FromOrigin { to: from, fill, input, last: false, brings });
    }

    /// The answer to a request for an object by a client that says this.
    fn answer(
        &mut self,
        from: Life,
        (object, wish): (usize, Wish),
        known: Option<&[u8]>,
    ) -> (Arc<Head>, Body) {
        let version = self.newest(object);
        self.origin.answered.insert((object, version), self.now);
        self.purge_what_was_answered(from.edge, object);
        let edition = &mut self.origin.objects[object].versions[version.0 as usize - 1];
        let Edition { length, announces_length, depends_on, .. } = *edition;
        let variant = edition.variant(version, depends_on.variant(wish));
        let (number, head, is_known) =
            (variant.number, Arc::clone(&variant.head), known == Some(variant.tag.as_bytes()));
        self.fact(What::OriginAnswered {
            edge: Edge(from.edge),
            key: self.origin.objects[object].key,
            version,
        });
        if is_known {
            self.note(Party::Origin, || "that is what the edge has: 304".to_owned());
            let mut fields = head.fields.clone();
            self.origin.checks += 1;
            fields.push(CHECKED, self.origin.checks.to_string().as_bytes());
            // Where all is calm nothing is forgotten, and this makes an edge forget.
            if self.flat.is_none() && self.chances.origin.below(16) == 15 {
                self.note(Party::Origin, || "it shall not be stored any more".to_owned());
                fields.remove(|name| name == "cache-control");
                fields.push("cache-control", b"no-store");
            }
            return (Arc::new(Head { status: 304, fields }), Body::empty(version));
        }
        let faults = self.plan.faults;
        let chunks_max = self.plan.work.chunks_max;
        let mut body = Body {
            object: number_of(object, number),
            version: version.0,
            sent: 0,
            length,
            chunk: (length / (1 + self.chances.origin.below(chunks_max))).max(length / chunks_max + 1),
            end: BodyEnd::Clean,
            stalls_at: None,
        };
        if self.hits(faults.origin_cuts, WorldFault::OriginCut, |chances| &mut chances.origin) {
            body.cut(announces_length, self.chances.origin.below(length + 1));
            self.note(Party::Origin, || format!("will break off after {} of {}", body.length, bytes(length)));
        }
        if announces_length
            && self.hits(faults.origin_lies, WorldFault::OriginLied, |chances| &mut chances.origin)
        {
            body.lie(self.chances.origin.below(length + 1));
            self.note(Party::Origin, || {
                format!("will end with {} of the {} that it promises", bytes(body.length), length)
            });
        }
        if self.hits(faults.origin_stalls, WorldFault::OriginStalled, |chances| &mut chances.origin) {
            let at = self.chances.origin.below(length + 1);
            body.stalls_at = Some(at);
            self.note(Party::Origin, || format!("will stall after {}", bytes(at)));
        }
        (head, body)
    }

    pub(in crate::explore) fn on_pull(&mut self, from: Life, op: OpId, fill: FillId) {
        let mut at = self.soon();
        let mut brings = None;
        let faults = self.plan.faults;
        if self.hits(faults.origin_hangs, WorldFault::OriginHung, |chances| &mut chances.origin) {
            return self.note(Party::Origin, || "sends nothing more".to_owned());
        }
        if let Some(Some(body)) = self.origin.streams.get_mut(&(from, fill))
            && body.stalls_at.is_some_and(|stall| stall <= body.sent)
        {
            body.stalls_at = None;
            at = at.after(up_to(&mut self.chances.origin, BODY_STALL_MAX));
            brings = Some(WorldFault::OriginStalled);
        }
        self.queue.schedule(at, Step::OriginPulled { from, op, fill, brings });
    }

    /// The next piece, or the end, reaches the edge.
    pub(in crate::explore) fn on_origin_pulled(
        &mut self,
        from: Life,
        op: OpId,
        fill: FillId,
        mut brings: Option<WorldFault>,
    ) {
        let (input, last) = match self.origin.streams.get_mut(&(from, fill)) {
            Some(Some(body)) => {
                let next = body.next(op);
                if let (Input::Answer { answer: Answer::PullFailed { .. }, .. }, _) = next {
                    brings = Some(WorldFault::OriginCut);
                }
                next
            }
            Some(None) => {
                return self.breaks("drain", format!("fill {} was pulled before its head came", fill.0));
            }
            None => (Answer::PullFailed { failure: OriginFailure::Broken }.to(op), true),
        };
        self.on_from_origin(from, fill, input, last, brings);
    }

    pub(in crate::explore) fn on_from_origin(
        &mut self,
        to: Life,
        fill: FillId,
        input: Input<Symbol>,
        last: bool,
        brings: Option<WorldFault>,
    ) {
        let wanted = if last {
            self.origin.streams.remove(&(to, fill)).is_some()
        } else {
            self.origin.streams.contains_key(&(to, fill))
        };
        if wanted {
            self.observe_fault(to, brings);
        }
        if wanted || self.plan.style.answers_after_cancel {
            self.feed(to, input);
        }
    }

    /// An answer to a request that the edge only proxies.
    pub(in crate::explore) fn answer_directly(&mut self, from: Life, object: usize, wish: Wish) -> Got {
        self.answer_around(from, object, wish).map_or(Got::Nothing, |(.., got)| got)
    }

    /// The same with what went by.
    pub(in crate::explore) fn answer_around(
        &mut self,
        from: Life,
        object: usize,
        wish: Wish,
    ) -> Option<(Arc<Head>, Body, Got)> {
        if self.hits(self.plan.faults.origin_fails, WorldFault::OriginFailed, |chances| &mut chances.origin) {
            return None;
        }
        let (head, body) = self.answer(from, (object, wish), None);
        let promised = self.length_of(self.origin.objects[object].key, Version(body.version));
        let got = match body.end {
            // Its framing shows that there is more, or less.
            BodyEnd::Clean if promised != Some(body.length) => Got::Broken,
            BodyEnd::Clean => {
                let of = Some((self.origin.objects[object].key, Version(body.version)));
                let whole = Span { of, offset: 0, length: body.length };
                let spans = if body.length == 0 { Vec::new() } else { vec![whole] };
                Got::Whole { status: head.status, age: Some(0), spans }
            }
            BodyEnd::Failure(_) => Got::Broken,
        };
        Some((head, body, got))
    }

    /// A crashed edge drops its connections.
    pub(in crate::explore) fn drop_streams(&mut self, edge: u32) {
        self.origin.streams.retain(|(life, _), _| life.edge != edge);
    }
}

impl World {
    /// A 503, with a `Retry-After` or without.
    fn error_page(&mut self, to: Life, fill: FillId) -> (Arc<Head>, Body) {
        let mut fields = Fields::new();
        if let Some(seconds) = self.chances.origin.below(5).checked_sub(2) {
            self.origin.told_to_wait.insert((to, fill), (Duration::from_secs(seconds), false));
            fields.push("retry-after", seconds.to_string().as_bytes());
        }
        let head = Head { status: 503, fields };
        let body = Body {
            object: NO_OBJECT,
            version: 0,
            sent: 0,
            length: ERROR_PAGE,
            chunk: ERROR_PAGE,
            end: BodyEnd::Clean,
            stalls_at: None,
        };
        (Arc::new(head), body)
    }
}
