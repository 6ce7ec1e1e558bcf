//! What the driver promises, on a scripted world with virtual time: `world` is that world, each other file a
//! group of promises.

mod around;
mod durable;
mod endings;
mod feed;
mod map_stores;
mod map_tier;
mod requests;
mod schedules;
mod tiers;
mod world;
