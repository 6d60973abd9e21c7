//! The lab: see a stampede, and see it not happen.
#![doc = include_str!("interface.md")]
