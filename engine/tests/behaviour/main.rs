//! What the engine promises, one file a promise, on the rig: the real engine, a scripted world, virtual time.

mod adopting;
mod attach;
mod ban;
mod below;
mod bodies;
mod collapse;
mod cookies;
mod credentials;
mod door;
mod durable;
mod feed;
mod fill_on_range;
mod flat_map;
mod gates;
mod inspecting;
mod parts;
mod preconditions;
mod promotion;
mod purge;
mod residence;
mod resilience;
mod revalidation;
mod rig;
mod simulated_l3;
mod uncacheable;
mod variants;
