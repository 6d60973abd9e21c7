//! The part of the group that decides who shares what with whom: table, flights and their waiters.
//!
//! It knows neither a runtime nor a clock (times are passed in as nanoseconds of the group's own epoch), so that a model
//! checker can run it. How loads are polled, spawned and timed belongs to the modules around it.
//!
//! Order of locks: a shard's, then nothing of the kernel's. A flight's cabin is never locked while a shard is.

mod flight;
mod forgetting;
mod landing;
mod roster;
mod sight;
mod table;
mod waiters;

pub(crate) use flight::{Flight, Leg, Parked};
pub(crate) use landing::Landed;
pub(crate) use table::{Boarding, Refused, Table, Ticket};
pub(crate) use waiters::SlotIndex;
