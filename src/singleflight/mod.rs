//! One load per key, shared by everyone who asks meanwhile.
