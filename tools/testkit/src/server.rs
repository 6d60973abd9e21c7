//! What the private servers of every kind have in common: a guarded process, its port, and names for databases.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::guarded::{Guarded, Program, create_folder};
use super::port::ReservedPort;

/// One server on a port of its own.
pub struct Server {
    process: Arc<Guarded>,
    port: ReservedPort,
    databases: AtomicU32,
}

impl Server {
    /// Runs `program`, which listens on `port`, in a new folder. Blocks.
    pub(crate) fn launch(port: ReservedPort, program: Program) -> Self {
        Self {
            process: Guarded::launch(create_folder(), program),
            port,
            databases: AtomicU32::new(0),
        }
    }

    /// A number that no other database of this server has.
    pub(crate) fn next_database(&self) -> u32 {
        self.databases.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The folder of the server and its data.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Shuts down at once, with what the server then says to its sessions.
    pub async fn stop(&self) {
        self.process.order("stop").await;
    }

    /// Kills the server and all its sessions, which are told nothing.
    pub async fn kill(&self) {
        self.process.order("kill").await;
    }

    /// Starts the ended server again, on its port and with what its folder holds.
    pub async fn start_again(&self) {
        self.process.start_again().await;
    }

    /// Stops the clock of the server and all its sessions: connections open, nothing answers.
    pub async fn freeze(&self) {
        self.process.order("freeze").await;
    }

    /// Undoes [`Server::freeze`].
    pub async fn thaw(&self) {
        self.process.order("thaw").await;
    }
}
