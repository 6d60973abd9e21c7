//! One call: how long it is waited for, and what comes of it for the connection.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use redis::{Cmd, RedisResult, Value};
use tokio::time::Instant;

use super::line::Meaning;
use super::slot::{Connection, Failure, Shared};

impl Shared {
    /// Sends a command for somebody who has waited since then, and waits for its reply until the slot's time-out is over.
    pub(super) async fn call_since(&self, began: Instant, command: &Cmd) -> Result<Value, Failure> {
        let Some(connection) = self.installed.load_full() else {
            return Err(Failure::Unavailable);
        };
        let mut line = connection.line.clone();
        let reply = pin!(async {
            self.pass().await?;
            command.query_async(&mut line).await
        });
        self.wait(&connection, began, reply).await
    }

    /// Waits until something may be sent.
    pub(super) async fn pass(&self) -> RedisResult<()> {
        let sent = self.faults.pass().await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
    }

    /// Waits for a reply, at most the slot's time-out from when it began, and notes what it says of the connection.
    pub(super) async fn wait<T>(
        &self,
        connection: &Arc<Connection>,
        began: Instant,
        reply: Pin<&mut impl Future<Output = RedisResult<T>>>,
    ) -> Result<T, Failure> {
        match self.deadlines.meet(began, reply).await {
            Some(Ok(value)) => {
                connection.silence.broken();
                Ok(value)
            }
            Some(Err(error)) => match connection.line.meaning(&error) {
                Meaning::Answer => {
                    connection.silence.broken();
                    Err(Failure::Server(error))
                }
                Meaning::Away => Err(Failure::Unavailable),
                Meaning::Lost(reason) => {
                    self.uninstall(connection, reason);
                    Err(Failure::Unavailable)
                }
            },
            None => {
                if connection.silence.goes_on_since(began) {
                    self.uninstall(connection, "it does not answer in time");
                }
                Err(Failure::Timeout)
            }
        }
    }
}
