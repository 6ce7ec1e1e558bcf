//! The clients: they ask, read at their own pace, or do not read at all, and leave when they like.

use crate::explore::{
    campaign::marks::Mark,
    campaign::tally::WorldFault,
    checks::fresh::Told,
    world::draws::Draws,
    world::form::Form,
    world::plan::Work,
    world::posting::Post,
    world::profile::CALM_PAUSE,
    world::variety::{Wish, object_of},
    world::{Chances, Life, Step, World, up_to},
};
use crate::telling::Party;
use crate::telling::words::client;
use std::{sync::Arc, time::Duration};
use tiergate_engine::{
    AbortReason, CacheKey, Chunk, End, Head, Input, Instant, Method, OriginId, Outcome, Refusal, Reply,
    ReplyBody, RequestId, Symbol, TierId,
};
use tiergate_invariants::{Edge, Got, Span, Version, What};

/// The longest that a slow client takes for a chunk.
const SLOW: Duration = Duration::from_secs(2);
/// The one origin of this world.
const ORIGIN: OriginId = OriginId(0);

/// Every request of the run.
#[derive(Default)]
pub(in crate::explore) struct Clients {
    pub asks: Vec<Ask>,
}

/// One request and how far it has come.
pub(in crate::explore) struct Ask {
    pub edge: u32,
    pub object: usize,
    pub wish: Wish,
    form: Form,
    pace: Pace,
    stage: Stage,
    /// Sent when nothing is broken any more: it must be answered whole.
    pub after_healing: bool,
    /// What it has a right to, and what it was told: see `fresh`.
    pub told: Told,
}

/// How a client reads.
#[derive(Clone, Copy)]
enum Pace {
    /// The next chunk after at most this long.
    Within(Duration),
    /// Not at all.
    Never,
}

enum Stage {
    /// Not sent, or under way to the edge.
    Sent,
    /// The edge has it.
    Waiting(Life),
    /// A response is streaming.
    Reading(Life, Reading),
    /// The end is under way to the client.
    Ending(Life),
    /// Over, for the client.
    Over,
}

struct Reading {
    head: Arc<Head>,
    age: u64,
    pieces: Vec<Symbol>,
    demanded: bool,
}

impl World {
    /// Draws every request, with the purges and new versions around it. Returns when the last of them is over
    /// and the world may heal.
    pub(in crate::explore) fn plan_asks(&mut self) -> Instant {
        let work = self.plan.work;
        let pause = self.plan.calm.map_or(Duration::ZERO, |_| CALM_PAUSE);
        let mut at = self.now;
        let mut object = 0;
        for _ in 0..work.requests {
            self.chances.requests.begin();
            let random = self.chances.request();
            if random.chance(work.herd.0, 1_000) {
                at = at.after(Duration::from_nanos(random.below(200)));
            } else {
                at = at.after(pause).after(up_to(random, work.gap * 4));
                object = place(random.below(u64::from(work.objects)));
            }
            let edge =
                u32::try_from(random.below(u64::from(self.plan.edges))).expect("edges are counted in u32");
            let around = random.chance(work.around.0, 1_000);
            let publishes = random.chance(work.publish.0, 1_000);
            let aside = pause / 2 + up_to(random, work.latency * 6);
            if publishes {
                self.queue.schedule(at.after(aside), Step::Publish(object));
            }
            if self.is_meant(self.plan.faults.purges, WorldFault::Purged, Chances::request) {
                // People purge because they have just published.
                let purge_at = at.after(pause / 2).after(up_to(self.chances.request(), work.latency * 6));
                if self.chances.request().chance(1, 2) {
                    self.queue.schedule(purge_at, Step::Publish(object));
                }
                self.queue.schedule(purge_at, Step::Purge { edge, object });
            }
            let wish = self.draw_wish(Chances::request);
            let form = if around { Form::Around } else { self.draw_form(object, wish) };
            let ask = self.new_ask(edge, object, wish, form, at);
            self.queue.plan(at, Step::Ask(ask));
        }
        at.after(Duration::from_secs(1))
    }

    /// Somebody asks the same as `ask` did.
    pub(in crate::explore) fn ask_same(&mut self, ask: usize, told: Told, at: Instant) {
        let Ask { edge, object, wish, after_healing, .. } = self.clients.asks[ask];
        self.ask_plainly(edge, (object, wish), after_healing, told, at);
    }

    /// Somebody asks for an object, plainly, and reads on at once.
    pub(in crate::explore) fn ask_plainly(
        &mut self,
        edge: u32,
        (object, wish): (usize, Wish),
        after_healing: bool,
        told: Told,
        at: Instant,
    ) {
        let (form, pace, stage) = (Form::Plain, Pace::Within(self.plan.work.latency), Stage::Sent);
        let next = self.clients.asks.len();
        self.clients.asks.push(Ask { edge, object, wish, form, pace, stage, after_healing, told });
        self.queue.schedule(at, Step::Ask(next));
    }

    /// What a client says, in a world where that may matter.
    fn draw_wish(&mut self, from: fn(&mut Chances) -> &mut Draws) -> Wish {
        let Work { vary, wishes, .. } = self.plan.work;
        if vary.0 == 0 { Wish::default() } else { Wish::draw(from(&mut self.chances), wishes) }
    }

    fn draw_form(&mut self, object: usize, wish: Wish) -> Form {
        let Work { special, size_max, .. } = self.plan.work;
        if !self.chances.request().chance(special.0, 1_000) {
            return Form::Plain;
        }
        let newest = self.origin.tag(object, self.newest(object), wish);
        Form::special(self.chances.request(), size_max, newest)
    }

    /// A plain request, when nothing is broken any more.
    pub(in crate::explore) fn ask_after_healing(&mut self, edge: u32, object: usize, asks_again: u32) {
        let wish = self.draw_wish(|chances| &mut chances.variety);
        let ask = self.new_ask(edge, object, wish, Form::Plain, self.now);
        self.clients.asks[ask].after_healing = true;
        self.clients.asks[ask].told.asks_again = asks_again;
        self.queue.schedule(self.now, Step::Ask(ask));
    }

    fn new_ask(&mut self, edge: u32, object: usize, wish: Wish, form: Form, at: Instant) -> usize {
        let faults = self.plan.faults;
        let latency = self.plan.work.latency;
        let ask = self.clients.asks.len();
        let mut pace = Pace::Within(latency);
        let mut leaves = None;
        if self.is_meant(faults.client_leaves, WorldFault::ClientLeft, Chances::request) {
            leaves = Some(latency * 8);
        }
        if self.is_meant(faults.client_slow, WorldFault::ClientSlow, Chances::request) {
            pace = Pace::Within(SLOW);
        }
        if self.is_meant(faults.client_stuck, WorldFault::ClientStuck, Chances::request) {
            pace = Pace::Never;
            leaves = Some(Duration::from_secs(20));
        }
        if let Some(longest) = leaves {
            let after = up_to(self.chances.request(), longest);
            self.queue.schedule(at.after(after), Step::GoAway(ask));
        }
        let stage = Stage::Sent;
        let told = Told::default();
        self.clients.asks.push(Ask { edge, object, wish, form, pace, stage, after_healing: false, told });
        ask
    }

    pub(in crate::explore) fn on_ask(&mut self, ask: usize) {
        let Ask { edge, object, .. } = self.clients.asks[ask];
        let key = self.origin.objects[object].key;
        self.fact(What::ClientAsked {
            ask: ask as u64,
            edge: Edge(edge),
            key,
            request: Some(request_of(ask)),
        });
        self.ask_flat(ask, key);
        let form = self.clients.asks[ask].form.in_words();
        let wish = (self.plan.work.vary.0 > 0).then(|| self.clients.asks[ask].wish.in_words());
        for word in form.into_iter().chain(wish) {
            self.note(Party::Clients, || format!("{} wants {word}", client(ask as u64)));
        }
        self.expect(ask);
        if self.clients.asks[ask].told.is_sharp {
            return self.on_arrive(ask);
        }
        let at = self.soon();
        self.queue.schedule(at, Step::Arrive(ask));
    }

    fn ask_flat(&mut self, ask: usize, key: CacheKey) {
        let Ask { object, wish, .. } = self.clients.asks[ask];
        let dependence = self.origin.dependence(object, self.newest(object).0);
        let variant = dependence.map_or(0, |dependence| dependence.variant(wish));
        if let Some(flat) = &mut self.flat {
            flat.ask(self.now, ask as u64, (key, variant), request_of(ask));
        }
    }

    pub(in crate::explore) fn on_arrive(&mut self, ask: usize) {
        let Ask { edge, object, wish, .. } = self.clients.asks[ask];
        let Stage::Sent = self.clients.asks[ask].stage else {
            return; // It left on the way.
        };
        let life = self.life(edge);
        self.clients.asks[ask].stage = Stage::Waiting(life);
        self.on_come(ask);
        let object = &self.origin.objects[object];
        let key = object.key;
        let head = match &self.clients.asks[ask].form {
            Form::Plain if wish == Wish::default() => Arc::clone(&object.usual),
            form => wish.added_to(&form.request(&object.plain, &object.around)),
        };
        if let Some(flat) = self.flat.as_mut().filter(|_| head.fields.contains("authorization")) {
            flat.has_credentials(request_of(ask));
        }
        let Some(engine) = self.edges[edge as usize].engine.as_mut() else {
            return self.end(ask, Got::Nothing);
        };
        if self.plan.style.fast_path
            && head.method.is_lookup()
            && let Some(resident) = engine.fresh_hit(self.now, key, head.method, head.fields.iter())
        {
            let resident = resident.into_owned();
            let times = (resident.freshness.age(self.now), resident.freshness.fresh_for(self.now));
            self.on_told(ask, &resident.head, Outcome::Hit { tier: TierId::L0 }, times);
            self.tally.mark(Mark::FastPath);
            let age = resident.freshness.age(self.now).as_secs();
            let got = self.judged(ask, &resident.head, age, &resident.chunks);
            return self.end(ask, got);
        }
        self.feed(life, Input::Request { request: request_of(ask), key, origin: ORIGIN, head });
    }

    pub(in crate::explore) fn on_serve(&mut self, request: RequestId, reply: Reply<Symbol>) {
        let ask = ask_of(request);
        let age = reply.age.as_secs();
        let head = reply.head;
        if head.status < 100 {
            self.breaks("C8", format!("ask {ask} was answered with what is no response: {head:?}"));
        }
        if let Stage::Waiting(life) = self.clients.asks[ask].stage {
            self.check_window(ask, &head, reply.outcome, reply.age);
            self.on_told(ask, &head, reply.outcome, (reply.age, reply.fresh_for));
            self.check_merged(life.edge, &head, reply.outcome);
        }
        let is_bodiless = self.clients.asks[ask].form == Form::Head;
        match (&self.clients.asks[ask].stage, reply.body) {
            (Stage::Waiting(_), ReplyBody::Whole(resident)) => {
                let got = self.judged(ask, &head, age, &resident.chunks);
                self.end(ask, got);
            }
            (Stage::Waiting(life), ReplyBody::Streamed) if is_bodiless => {
                // The head is all it wants: it takes no chunk, and leaves.
                let life = *life;
                let got = self.judged(ask, &head, age, &[]);
                self.end(ask, got);
                let at = self.soon();
                self.queue.schedule(at, Step::Left(ask, life));
            }
            (Stage::Waiting(life), ReplyBody::Streamed) => {
                let reading = Reading { head, age, pieces: Vec::new(), demanded: false };
                self.clients.asks[ask].stage = Stage::Reading(*life, reading);
                self.schedule_demand(ask);
            }
            (Stage::Over, _) => {} // It left; the edge does not know yet.
            (Stage::Sent | Stage::Reading(..) | Stage::Ending(_), _) => {
                self.breaks("CON6", format!("ask {ask} was served twice, or before it came"));
            }
        }
    }

    fn schedule_demand(&mut self, ask: usize) {
        match self.clients.asks[ask].pace {
            Pace::Within(longest) => {
                self.tally.count(WorldFault::ClientSlow).fired += u64::from(longest == SLOW);
                let at = self.now.after(up_to(&mut self.chances.client, longest));
                self.queue.schedule(at, Step::Demand(ask));
            }
            Pace::Never => self.tally.count(WorldFault::ClientStuck).fired += 1,
        }
    }

    pub(in crate::explore) fn on_demand(&mut self, ask: usize) {
        if let Stage::Reading(life, reading) = &mut self.clients.asks[ask].stage {
            reading.demanded = true;
            let life = *life;
            if let Pace::Within(SLOW) = self.clients.asks[ask].pace {
                self.observe_fault(life, Some(WorldFault::ClientSlow));
            }
            self.feed(life, Input::Demand { request: request_of(ask) });
        }
    }

    pub(in crate::explore) fn on_body(&mut self, request: RequestId, chunk: Symbol) {
        let ask = ask_of(request);
        match &mut self.clients.asks[ask].stage {
            Stage::Reading(_, reading) => {
                let due = std::mem::replace(&mut reading.demanded, false);
                reading.pieces.push(chunk);
                if !due || chunk.size() == 0 {
                    self.breaks("M6", format!("ask {ask} got {} bytes without a demand", chunk.size()));
                }
                self.schedule_demand(ask);
            }
            Stage::Over => {} // It left; the edge does not know yet.
            Stage::Sent | Stage::Waiting(_) | Stage::Ending(_) => {
                self.breaks("CON6", format!("ask {ask} got a body that does not belong there"));
            }
        }
    }

    pub(in crate::explore) fn on_finish(&mut self, request: RequestId, end: End) {
        let ask = ask_of(request);
        if self.clients.asks[ask].form == Form::Head {
            return; // It was over with its head.
        }
        let got = match (&mut self.clients.asks[ask].stage, end) {
            (Stage::Reading(_, reading), End::Complete) => {
                let (head, pieces) = (Arc::clone(&reading.head), std::mem::take(&mut reading.pieces));
                let age = reading.age;
                self.judged(ask, &head, age, &pieces)
            }
            (
                Stage::Reading(..),
                End::Aborted(AbortReason::Origin(_) | AbortReason::TierRead(_) | AbortReason::ClientLeft),
            ) => Got::Broken,
            (Stage::Over, _) => return,
            (Stage::Sent | Stage::Waiting(_) | Stage::Ending(_), _) => {
                return self.breaks("CON6", format!("ask {ask} was finished twice, or before it was served"));
            }
        };
        self.end(ask, got);
    }

    pub(in crate::explore) fn on_refuse(&mut self, request: RequestId, refusal: Refusal) {
        let ask = ask_of(request);
        match self.clients.asks[ask].stage {
            Stage::Waiting(_) => self.end(ask, Got::Nothing),
            Stage::Over => {}
            Stage::Sent | Stage::Reading(..) | Stage::Ending(_) => {
                self.breaks("CON6", format!("ask {ask} was refused ({refusal:?}) after it was served"));
            }
        }
    }

    /// The edge proxies the request: the origin answers it at once, past the cache.
    pub(in crate::explore) fn on_pass(&mut self, request: RequestId) {
        let ask = ask_of(request);
        if let Stage::Waiting(life) = self.clients.asks[ask].stage {
            let Ask { object, wish, .. } = self.clients.asks[ask];
            if self.clients.asks[ask].form == Form::Around
                && self.origin.objects[object].around.method == Method::Post
            {
                return self.send_post(ask, life);
            }
            let got = self.answer_directly(life, object, wish);
            self.end(ask, got);
        }
    }

    /// What a request is for, and what its client says.
    pub(in crate::explore) fn asked_for(&self, ask: usize) -> (usize, Wish) {
        let Ask { object, wish, .. } = self.clients.asks[ask];
        (object, wish)
    }

    /// What the client of a POST gets, if it is still there.
    pub(in crate::explore) fn end_post(&mut self, post: Post, got: Got) {
        if let Stage::Waiting(life) = self.clients.asks[post.ask].stage
            && life == post.by
        {
            self.end(post.ask, got);
        }
    }

    /// The edge is done with the request; the client hears of it in a while.
    fn end(&mut self, ask: usize, got: Got) {
        let life = self.life(self.clients.asks[ask].edge);
        self.clients.asks[ask].stage = Stage::Ending(life);
        let at = self.soon();
        self.queue.schedule(at, Step::Got(ask, got));
    }

    pub(in crate::explore) fn on_got(&mut self, ask: usize, got: Got) {
        let Stage::Ending(life) = self.clients.asks[ask].stage else {
            return; // It left in the meantime.
        };
        if self.clients.asks[ask].after_healing && !matches!(got, Got::Whole { .. }) {
            self.breaks("CON6", format!("ask {ask} came after healing, and got {got:?}"));
        }
        self.ask_again(ask);
        if self.plan.style.leaves_after_end {
            self.queue.schedule(self.now, Step::Left(ask, life));
        }
        self.over(ask, got);
    }

    pub(in crate::explore) fn on_go_away(&mut self, ask: usize) {
        let life = match self.clients.asks[ask].stage {
            Stage::Sent => None,
            Stage::Waiting(life) | Stage::Reading(life, _) => Some(life),
            Stage::Ending(life) => self.plan.style.leaves_after_end.then_some(life),
            Stage::Over => return,
        };
        if let Pace::Within(_) = self.clients.asks[ask].pace {
            self.tally.count(WorldFault::ClientLeft).fired += 1;
        }
        if let Some(life) = life {
            let at = self.soon();
            self.queue.schedule(at, Step::Left(ask, life));
        }
        self.over(ask, Got::Left);
    }

    /// Why a client left that left before its response was over.
    pub(in crate::explore) fn why_it_left(&self, request: RequestId) -> WorldFault {
        match self.clients.asks[ask_of(request)].pace {
            Pace::Within(_) => WorldFault::ClientLeft,
            Pace::Never => WorldFault::ClientStuck,
        }
    }

    pub(in crate::explore) fn on_left(&mut self, ask: usize, life: Life) {
        self.feed(life, Input::Leave { request: request_of(ask) });
    }

    /// Every client of a crashed edge sees its connection break.
    pub(in crate::explore) fn break_clients(&mut self, edge: u32) {
        for ask in 0..self.clients.asks.len() {
            if self.clients.asks[ask].edge != edge {
                continue;
            }
            match self.clients.asks[ask].stage {
                Stage::Waiting(_) => self.end(ask, Got::Nothing),
                Stage::Reading(..) => self.end(ask, Got::Broken),
                Stage::Sent | Stage::Ending(_) | Stage::Over => {}
            }
        }
    }

    fn over(&mut self, ask: usize, got: Got) {
        let Ask { edge, object, .. } = self.clients.asks[ask];
        self.clients.asks[ask].stage = Stage::Over;
        self.tally.replies += 1;
        self.tally.whole += u64::from(matches!(got, Got::Whole { .. }));
        let is_whole = matches!(got, Got::Whole { .. }) || self.clients.asks[ask].form == Form::Head;
        if let Some(calm) = self.plan.calm.filter(|_| !is_whole) {
            self.breaks(calm.rule, format!("ask {ask} got {got:?}, and all is calm"));
        }
        let key = self.origin.objects[object].key;
        self.fact(What::ClientGot { ask: ask as u64, edge: Edge(edge), key, got });
    }

    /// What a client got whole. A HEAD's answer is none that has bytes to check.
    fn judged(&mut self, ask: usize, head: &Head, age: u64, pieces: &[Symbol]) -> Got {
        let form = self.clients.asks[ask].form.clone();
        self.check_form(self.clients.asks[ask].object, &form, head, pieces);
        self.check_softened(ask, pieces);
        self.tally.mark(mark_of(&form, head.status));
        if form == Form::Head {
            self.note(Party::Clients, || format!("{} is sent its head: {}", client(ask as u64), head.status));
            return Got::Nothing;
        }
        let bytes: Vec<Symbol> =
            pieces.iter().filter(|piece| piece.object != Symbol::TEXT).copied().collect();
        self.check_variant(ask, &bytes);
        self.whole(head.status, age, bytes)
    }

    fn whole(&self, status: u16, age: u64, pieces: Vec<Symbol>) -> Got {
        let spans = Symbol::compact(pieces)
            .into_iter()
            .map(|piece| Span {
                of: self
                    .origin
                    .objects
                    .get(object_of(piece.object))
                    .map(|object| (object.key, Version(piece.version))),
                offset: piece.offset,
                length: piece.size,
            })
            .collect();
        Got::Whole { status, age: Some(age), spans }
    }
}

const fn mark_of(form: &Form, status: u16) -> Mark {
    match (form, status) {
        (Form::Head, _) => Mark::AnsweredHead,
        (Form::IfRange(..), 206) => Mark::AnsweredUnchanged,
        (Form::Ranges(ranges), 206) if ranges.len() > 1 => Mark::AnsweredParts,
        (Form::Ranges(_), 206) => Mark::AnsweredPart,
        (Form::Ranges(_), 416) => Mark::AnsweredOutside,
        (Form::IfNot(_), 304) => Mark::AnsweredSame,
        (Form::Plain | Form::Around | Form::Ranges(_) | Form::IfRange(..) | Form::IfNot(_), _) => {
            Mark::AnsweredWhole
        }
    }
}

/// Engines never see one id twice, even in two lives.
fn request_of(ask: usize) -> RequestId {
    RequestId(ask as u64)
}

fn ask_of(request: RequestId) -> usize {
    place(request.0)
}

/// Tables in this world are far smaller than `usize`.
pub(in crate::explore) fn place(number: u64) -> usize {
    usize::try_from(number).expect("places come from tables in memory, so they fit usize")
}
