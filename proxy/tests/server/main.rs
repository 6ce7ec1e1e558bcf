//! The server as its users meet it: the real program, real sockets, an origin that does what each test says.
//!
//! `harness` has the pieces. No test sleeps or fixes a port: readiness is the line that the program prints,
//! and the order of events is made with channels.

mod admin;
mod answering;
mod attacking;
mod below_memory;
mod breaking;
mod disk;
mod durable;
mod encrypting;
mod flooding;
mod flooding_h2;
mod h2_client;
mod harness;
mod killing;
mod memcached;
mod moto;
mod poisoning;
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../../stores/tests/postgres_server/mod.rs"]
mod postgres_server;
mod posting;
mod purging_elsewhere;
mod raw;
mod recording;
mod redis;
mod shared_redis;
mod sharing;
mod smuggling;
mod speaking_h2;
mod starting;
mod stopping;
mod trusting;
