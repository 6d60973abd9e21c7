//! A Redis that knows what the service asks of one, and answers each command after the same pause, so that the service
//! has always gone to sleep meanwhile: what a lookup takes does not depend on who was faster.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(1);

type Stored = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Starts it; it lives as long as the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stored = Stored::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let stored = Arc::clone(&stored);
            thread::spawn(move || answer(stream, &stored));
        }
    });
    Ok(address)
}

fn answer(stream: TcpStream, stored: &Stored) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut commands = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let command = read(&mut commands)?;
        thread::sleep(PAUSE);
        stream.write_all(&reply(&command, stored))?;
    }
}

fn reply(command: &[Vec<u8>], stored: &Stored) -> Vec<u8> {
    let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
    match command {
        [name, key] if name == b"GET" => match stored.get(key) {
            Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
            None => b"$-1\r\n".to_vec(),
        },
        // A script, the number of its keys, a key, what is to be stored there.
        [name, _, _, key, value, ..] if name == b"EVAL" => {
            stored.insert(key.clone(), value.clone());
            b":1\r\n".to_vec()
        }
        [name] if name == b"PING" => b"+PONG\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}

fn read(commands: &mut impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    let parts = length(commands)?;
    (0..parts)
        .map(|_| {
            let mut part = vec![0; length(commands)? + 2];
            commands.read_exact(&mut part)?;
            part.truncate(part.len() - 2);
            Ok(part)
        })
        .collect()
}

/// The number of an array's parts (`*3`), or of a string's bytes (`$12`).
fn length(commands: &mut impl BufRead) -> io::Result<usize> {
    let mut line = String::new();
    if commands.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.trim_end()
        .get(1..)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
