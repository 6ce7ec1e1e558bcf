//! The durable tier's protocol on every interleaving of a few actors.
//!
//! The machines are the real ones of `engine/src/durable`; imitated are the index, the blob store and the
//! network between: answers get lost, requests are done later or twice, actors crash, the clock ticks, the
//! index drops what expired. One key, few actors, small budgets: what is proven is proven for these. Start at
//! `World`, then at the rules in `properties`. The last tests plant faults and want them found, so that the
//! net is known to hold.

mod world;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use tiergate_engine::durable::{Ask, BlobFate, Publish, PublishEnd, Told};
use world::{Broken, WHOLE, Who, World, Writer, completed, name, terms};

/// What one model tries.
#[derive(Clone, Debug)]
struct Setup {
    writers: usize,
    readers: usize,
    purgers: usize,
    /// How many of them, the first ones, have a body that goes into the row.
    in_rows: usize,
    /// Sweeps of the one collector, one after the other.
    sweeps: u8,
    budget: Budget,
    /// Do writers take what they find for stale and replace it?
    is_stale: bool,
    /// Do readers give what they find another head?
    freshens: bool,
    plant: Option<Plant>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    /// Answers that are lost, or whose request is done twice.
    losses: u8,
    crashes: u8,
    ticks: u8,
    renewals: u8,
    breaks: u8,
}

/// A fault put between the machines and their world. None needs a switch in the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    /// The collector sees no leases.
    CollectorIgnoresLeases,
    /// A writer whose swap got no answer takes that for a refusal and deletes its blob.
    DeletesOnUnknown,
    /// A writer does not see that a generation was raised.
    SwapIgnoresGeneration,
    /// The index writes whatever version it holds.
    SwapIgnoresVersion,
    /// The index drops entries before their time, and with them what they remember of a purge.
    IndexForgetsPurges,
    /// Requests may be done however late, longer than entries linger.
    RequestsOutliveEntries,
    /// The store says that a blob is there before all of it is.
    ManifestBeforeBlob,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// The request is done and its answer arrives.
    Answer(Who),
    /// As `Answer`, and the request is done once more later.
    AnswerTwice(Who),
    /// The request is done and the answer is lost.
    LoseAnswer(Who),
    /// No answer comes; the request may be done later.
    Delay(Who),
    /// A delayed request is done.
    Arrive(usize),
    Crash(Who),
    /// The origin's head came.
    Open(usize),
    /// A blob is whole.
    Finish(usize),
    /// An upload breaks off.
    Break(usize),
    /// A lease is to be renewed.
    Renew(usize),
    Tick,
    /// The index drops an entry whose time is up.
    Expire,
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let budget = world.budget;
        for who in world.everybody() {
            if let Some(ask) = world.asked(who) {
                actions.push(Action::Answer(who));
                if budget.losses > 0 {
                    let changes = matches!(ask, Ask::Swap { .. } | Ask::Delete { .. });
                    actions.push(Action::LoseAnswer(who));
                    if changes {
                        actions.extend([Action::AnswerTwice(who), Action::Delay(who)]);
                    }
                }
            }
            if budget.crashes > 0 && !world.is_over(who) {
                actions.push(Action::Crash(who));
            }
        }
        actions.extend((0..world.delayed.len()).map(Action::Arrive));
        for (n, writer) in world.writers.iter().enumerate() {
            if let Writer::Fetching(_) = writer {
                actions.push(Action::Open(n));
            }
            if let Writer::Publishing { is_uploading: true, ask, .. } = writer {
                actions.push(Action::Finish(n));
                if budget.breaks > 0 {
                    actions.push(Action::Break(n));
                }
                if budget.renewals > 0 && ask.is_none() {
                    actions.push(Action::Renew(n));
                }
            }
        }
        if budget.ticks > 0 && world.may_tick() {
            actions.push(Action::Tick);
        }
        let forgets = self.plant == Some(Plant::IndexForgetsPurges);
        if world
            .stored
            .as_ref()
            .is_some_and(|stored| forgets || terms().droppable_at(stored.expires) <= world.now())
        {
            actions.push(Action::Expire);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        let asked = |who| before.asked(who).cloned().expect("offered for those who asked");
        match action {
            Action::Answer(who) => {
                let told = world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, told, self);
            }
            Action::AnswerTwice(who) => {
                world.budget.losses -= 1;
                world.delay(Some(asked(who)));
                let told = world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, told, self);
            }
            Action::LoseAnswer(who) => {
                world.budget.losses -= 1;
                world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, Told::Unknown, self);
            }
            Action::Delay(who) => {
                world.budget.losses -= 1;
                world.delay(Some(asked(who)));
                world.tell(who, Told::Unknown, self);
            }
            Action::Arrive(at) => {
                let (_, ask) = world.delayed.remove(at);
                world.execute(None, &ask, self.plant);
            }
            Action::Crash(who) => {
                world.budget.crashes -= 1;
                world.crash(who);
            }
            Action::Open(n) => world.open_upload(n, self.in_rows > n),
            Action::Finish(n) => {
                if self.plant != Some(Plant::ManifestBeforeBlob) && world.blobs.contains_key(&name(n)) {
                    world.blobs.insert(name(n), WHOLE);
                }
                world.poke(n, false, |publish| publish.on_complete(completed(n, false)));
            }
            Action::Break(n) => {
                world.budget.breaks -= 1;
                world.poke(n, false, Publish::on_abandoned);
            }
            Action::Renew(n) => {
                world.budget.renewals -= 1;
                world.poke(n, true, Publish::on_renewal_due);
            }
            Action::Tick => {
                world.budget.ticks -= 1;
                world.tick(self.plant);
            }
            Action::Expire => world.stored = None,
        }
        world.settle();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(WHOLE_BLOBS, |_, world: &World| {
                world.entry().and_then(|entry| entry.manifest.as_ref()).is_none_or(|manifest| {
                    manifest.in_row.is_some()
                        || world.blobs.get(&manifest.record.name) == Some(&manifest.record.length)
                })
            }),
            Property::always(ONE_WINNER, |_, world: &World| world.broken != Some(Broken::Winners)),
            Property::always(DELETED, |_, world: &World| world.broken != Some(Broken::Deleted)),
            Property::always("D3: nothing is served past its expiry", |_, world: &World| {
                world.broken != Some(Broken::Expired)
            }),
            Property::always("ends are told as they are", |_, world: &World| {
                world.broken != Some(Broken::WrongEnd)
            }),
            Property::always("F1: nothing from before a confirmed purge is served", |_, world: &World| {
                world.broken != Some(Broken::Resurrected)
            }),
            Property::always(PURGED_IS_GONE, |_, world: &World| {
                world.entry().and_then(|entry| entry.manifest.as_ref()).is_none_or(|manifest| {
                    world.now() >= world.stored.as_ref().expect("it has an entry").expires
                        || world.fetched_at(manifest.record.name) >= world.confirmed
                })
            }),
            Property::always("D4: every orphan is reclaimed", |_, world: &World| {
                !world.is_quiet() || world.is_reclaimed_by_a_sweep()
            }),
            Property::sometimes("a writer wins", |_, world: &World| {
                world.ends.iter().flatten().any(|(end, _)| matches!(end, PublishEnd::Won { .. }))
            }),
        ];
        if self.writers > 1 && !self.is_stale && self.in_rows == 0 {
            properties.push(Property::sometimes("a writer loses and deletes its own", |_, world: &World| {
                let lost = |(end, fate): &(PublishEnd, BlobFate)| {
                    matches!(end, PublishEnd::Lost { .. }) && *fate == BlobFate::Deleted
                };
                world.ends.iter().flatten().any(lost)
            }));
        }
        if self.purgers > 0 && self.in_rows == 0 {
            properties.push(Property::sometimes("a purge stops an upload", |_, world: &World| {
                world.ends.contains(&Some((PublishEnd::Purged, BlobFate::Deleted)))
            }));
        }
        if self.in_rows > 0 {
            properties.push(Property::sometimes("a body in a row wins", |_, world: &World| {
                let won = |(end, fate): &(PublishEnd, BlobFate)| {
                    matches!(end, PublishEnd::Won { .. }) && *fate == BlobFate::InRow
                };
                world.ends.iter().flatten().any(won)
            }));
        }
        if self.purgers > 0 && self.in_rows > 0 {
            properties.push(Property::sometimes("a purge stops a body for a row", |_, world: &World| {
                world.ends.contains(&Some((PublishEnd::Purged, BlobFate::InRow)))
            }));
        }
        if self.sweeps > 0 && self.budget.crashes > 0 && self.in_rows < self.writers {
            properties
                .push(Property::sometimes("the collector reclaims", |_, world: &World| world.has_collected));
        }
        properties
    }
}

const WHOLE_BLOBS: &str = "D2: what is named is whole";
const ONE_WINNER: &str = "CON1: one winner for each version";
const DELETED: &str = "T8: nobody deletes what is named or leased";
const PURGED_IS_GONE: &str = "F1: nothing from before a confirmed purge is visible";

const CALM: Budget = Budget { losses: 0, crashes: 0, ticks: 0, renewals: 0, breaks: 0 };

const ALONE: Setup = Setup {
    writers: 1,
    readers: 0,
    purgers: 0,
    in_rows: 0,
    sweeps: 0,
    budget: CALM,
    is_stale: false,
    freshens: false,
    plant: None,
};

/// Everything holds, in as many different states as there are at least.
#[track_caller]
fn holds(setup: Setup) {
    let checker = setup.checker().spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    let discoveries = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (Expectation::Always, None) | (Expectation::Sometimes, Some(_)) => {}
            (Expectation::Always, Some(path)) => {
                // The states on the way are too long to read; the steps lead there again.
                let steps = path.clone().into_actions();
                panic!("`{}` is broken by {steps:#?}", property.name);
            }
            (Expectation::Sometimes, None) => panic!("`{}` never happened", property.name),
            (Expectation::Eventually, _) => unreachable!("no such rule here"),
        }
    }
}

/// The planted fault breaks this rule, and the machines without it do not.
#[track_caller]
fn finds(plant: Plant, rule: &'static str, setup: Setup) {
    let planted = Setup { plant: Some(plant), ..setup };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = planted.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(rule);
    println!("{plant:?} found after {} states: {:?}", checker.unique_state_count(), path.into_actions());
}

/// Two writers of one key, with every loss, crash and broken upload: one wins, or none.
#[test]
fn two_writers_have_one_winner() {
    let budget = Budget { losses: 2, crashes: 1, breaks: 1, ..CALM };
    holds(Setup { writers: 2, budget, ..ALONE });
}

/// Three writers race, one answer is lost.
#[test]
fn three_writers_have_one_winner() {
    holds(Setup { writers: 3, budget: Budget { losses: 1, ..CALM }, ..ALONE });
}

/// Writers that replace what they found stale or expired: the old manifest never blocks them (failure F6).
#[test]
fn stale_manifests_are_replaced() {
    let budget = Budget { losses: 1, ticks: 4, ..CALM };
    holds(Setup { writers: 2, is_stale: true, budget, ..ALONE });
}

/// A purge races a writer while leases, manifests and the purge's own memory run out: nothing old comes back.
#[test]
fn purges_are_final() {
    let budget = Budget { losses: 1, ticks: 5, ..CALM };
    holds(Setup { purgers: 1, budget, ..ALONE });
}

/// Two purges at once, and two writers.
#[test]
fn purges_beside_each_other_are_final() {
    holds(Setup { writers: 2, purgers: 2, ..ALONE });
}

/// A reader gives what it found another head while a purge or another writer takes its place, and while its
/// time runs out: it stays the manifest that it was, or is gone.
#[test]
fn a_freshened_manifest_is_the_same_one() {
    let losing = Budget { losses: 1, ticks: 3, ..CALM };
    let freshening = Setup { readers: 1, freshens: true, budget: losing, ..ALONE };
    holds(Setup { purgers: 1, ..freshening });
    let calm = Setup { budget: Budget { ticks: 2, ..CALM }, ..freshening };
    holds(Setup { writers: 2, is_stale: true, ..calm });
    holds(Setup { sweeps: 1, readers: 2, ..calm });
}

/// An upload that breaks off hands back its lease beside a purge, the collector and another upload.
#[test]
fn a_lease_that_is_handed_back_frees_nothing_else() {
    let breaking = Budget { losses: 1, breaks: 1, ticks: 2, renewals: 1, ..CALM };
    holds(Setup { sweeps: 1, budget: breaking, ..ALONE });
    holds(Setup { writers: 2, purgers: 1, budget: Budget { breaks: 2, ..CALM }, ..ALONE });
}

/// The collector beside a slow upload whose lease runs out, is renewed or not, and whose writer may crash.
#[test]
fn the_collector_deletes_orphans_only() {
    let budget = Budget { losses: 1, crashes: 1, ticks: 4, renewals: 1, ..CALM };
    holds(Setup { sweeps: 1, budget, ..ALONE });
}

/// The collector between two writers of which the second replaces what the first stored.
#[test]
fn the_collector_follows_replacements() {
    let budget = Budget { ticks: 2, ..CALM };
    holds(Setup { writers: 2, sweeps: 1, is_stale: true, budget, ..ALONE });
}

/// Bodies in rows beside each other, beside blobs, purges, the collector and 304s.
#[test]
fn bodies_in_rows_are_held_to_the_same() {
    let alone = Setup { in_rows: 1, ..ALONE };
    holds(Setup {
        writers: 2,
        in_rows: 2,
        budget: Budget { losses: 2, crashes: 1, ticks: 1, ..CALM },
        ..ALONE
    });
    holds(Setup { writers: 2, budget: Budget { losses: 2, breaks: 1, ..CALM }, ..alone });
    holds(Setup { purgers: 1, budget: Budget { losses: 2, ticks: 7, ..CALM }, ..alone });
    holds(Setup { writers: 2, is_stale: true, budget: Budget { losses: 1, ticks: 4, ..CALM }, ..alone });
    let freshening = Setup { readers: 1, freshens: true, purgers: 1, ..alone };
    holds(Setup { budget: Budget { losses: 1, ticks: 3, ..CALM }, ..freshening });
    holds(Setup { writers: 2, sweeps: 1, is_stale: true, budget: Budget { ticks: 2, ..CALM }, ..alone });
}

/// Everybody at once.
#[test]
fn all_hold_together() {
    let budget = Budget { ticks: 3, ..CALM };
    holds(Setup { readers: 1, purgers: 1, sweeps: 1, budget, ..ALONE });
}

/// Each fault breaks the rule that it should, on the same machines.
#[test]
fn planted_faults_are_found() {
    let collecting = Setup { sweeps: 1, ..ALONE };
    finds(Plant::CollectorIgnoresLeases, DELETED, collecting.clone());
    finds(Plant::CollectorIgnoresLeases, WHOLE_BLOBS, collecting);
    let losing = Setup { budget: Budget { losses: 1, ..CALM }, ..ALONE };
    finds(Plant::DeletesOnUnknown, WHOLE_BLOBS, losing);
    let purging = Setup { purgers: 1, ..ALONE };
    finds(Plant::SwapIgnoresGeneration, PURGED_IS_GONE, purging.clone());
    finds(Plant::IndexForgetsPurges, PURGED_IS_GONE, purging.clone());
    let in_row = Setup { in_rows: 1, ..purging };
    finds(Plant::SwapIgnoresVersion, PURGED_IS_GONE, in_row.clone());
    finds(Plant::IndexForgetsPurges, PURGED_IS_GONE, in_row);
    let late = Setup { sweeps: 1, budget: Budget { losses: 1, ticks: 4, ..CALM }, ..ALONE };
    finds(Plant::RequestsOutliveEntries, WHOLE_BLOBS, late);
    finds(Plant::SwapIgnoresVersion, ONE_WINNER, Setup { writers: 2, ..ALONE });
    finds(Plant::ManifestBeforeBlob, WHOLE_BLOBS, ALONE);
}
