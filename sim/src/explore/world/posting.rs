//! POSTs: the request goes past the cache, and what it is answered with says that it is what a GET would get.
//!
//! A POST changes nothing here: what it is answered with is what is published when it comes to the origin.
//! Its client has the answer with its head; what an edge does with the body is its own affair.

use crate::explore::{
    checks::fresh::Told,
    world::{Life, Step, World, body::Body, origin::Object, up_to},
};
use std::sync::Arc;
use tiergate_engine::{FillId, Head, Input, Instant, OriginId, WallTime};
use tiergate_invariants::{Got, Version};

/// A POST on its way: whose it is, by which edge, and when that sent it.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Post {
    pub ask: usize,
    pub by: Life,
    pub sent: (Instant, WallTime),
}

/// What it is answered with.
#[derive(Debug)]
pub(in crate::explore) struct PostAnswer {
    pub head: Arc<Head>,
    pub body: Body,
    pub got: Got,
}

impl World {
    /// An edge sends on what its engine has passed.
    pub(in crate::explore) fn send_post(&mut self, ask: usize, by: Life) {
        let sent = (self.now, self.wall());
        let at = self.soon();
        self.queue.schedule(at, Step::PostAsked(Post { ask, by, sent }));
    }

    /// It is here: what is published *now* is what the answer carries.
    pub(in crate::explore) fn on_post_asked(&mut self, post: Post) {
        let (object, wish) = self.asked_for(post.ask);
        // Some POSTs bring what another object is: it is no answer to a GET, and no rule knows it for one.
        let is_other = self.flat.is_none() && self.chances.origin.chance(1, 4);
        let about = if is_other { (object + 1) % self.origin.objects.len() } else { object };
        let Some((head, body, got)) = self.answer_around(post.by, about, wish) else {
            return self.end_post(post, Got::Nothing);
        };
        let got = if is_other { Got::Nothing } else { got };
        let mut located = Head::clone(&head);
        located.fields.push("content-location", format!("/{about}").as_bytes());
        let answer = PostAnswer { head: Arc::new(located), body, got };
        self.purge_what_was_posted(post, object);
        let at = self.soon();
        self.queue.schedule(at, Step::PostAnswered(post, Box::new(answer)));
    }

    /// Somebody may publish and purge while the answer is on its way, head or body, and ask again.
    fn purge_what_was_posted(&mut self, post: Post, object: usize) {
        let is_calm = self.healed || self.flat.is_some() || self.plan.faults.purges.0 == 0;
        if is_calm || !self.chances.origin.chance(1, 2) {
            return;
        }
        let (edge, latency) = (post.by.edge, self.plan.work.latency);
        let at = self.now.after(up_to(&mut self.chances.origin, latency * 4));
        self.queue.schedule(at, Step::Publish(object));
        self.queue.schedule(at, Step::Purge { edge, object });
        let (_, wish) = self.asked_for(post.ask);
        self.ask_plainly(edge, (object, wish), false, Told::default(), at.after(latency * 8));
    }

    /// Its answer's head is at the edge, which purges what that makes stale, and may adopt it.
    pub(in crate::explore) fn on_post_answered(&mut self, post: Post, answer: PostAnswer) {
        let (object, wish) = self.asked_for(post.ask);
        let Post { by, sent, .. } = post;
        if self.life(by.edge) == by && self.edges[by.edge as usize].engine.is_some() {
            let Object { key, around, .. } = &self.origin.objects[object];
            let (key, request) = (*key, wish.added_to(around));
            let dependence = self.origin.dependence(object, answer.body.version);
            let said = dependence.map_or(0, |dependence| dependence.variant(wish));
            if let Some(flat) = &mut self.flat {
                flat.post(self.now, (key, said), Version(answer.body.version));
            }
            let purge = self.open_own_purge(by.edge, key);
            let (origin, response) = (OriginId(0), answer.head);
            self.origin.offered = Some(answer.body);
            self.feed(by, Input::AnsweredAround { purge, key, origin, request, response, sent });
            self.origin.offered = None;
        }
        self.end_post(post, answer.got);
    }

    /// What just came by is what a fill stores from now on.
    pub(in crate::explore) fn on_adopt(&mut self, from: Life, fill: FillId) {
        match self.origin.offered.take() {
            Some(body) => drop(self.origin.streams.insert((from, fill), Some(body))),
            None => self.breaks("I13", format!("{fill:?} adopts what was not offered")),
        }
    }
}
