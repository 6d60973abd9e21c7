//! Which state of a template may be shown, and which may be stored.

pub mod entry;
pub mod local;
pub mod map;
