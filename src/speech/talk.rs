//! The pipes of one engine process.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::mpsc,
    time::Instant,
};

use super::wire::{Request, Response};
use crate::pipe;

/// The conversation with one process.
pub(super) struct Talk {
    pub to_engine: mpsc::UnboundedSender<Vec<u8>>,
    /// The model's name, once it is loaded.
    pub ready: Option<String>,
    /// When it was started, and once it is ready when it was.
    pub since: Instant,
}

impl Talk {
    /// A broken pipe shows where responses are read.
    pub fn say(&self, request: &Request) {
        let _ = self.to_engine.send(request.to_frame());
    }
}

/// Writes frames until the pipe breaks.
pub(super) async fn write(mut stdin: ChildStdin, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if stdin.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Reads responses until there are no more.
pub(super) async fn read(stdout: ChildStdout, responses: mpsc::Sender<Result<Response, String>>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let response = match pipe::read_async(&mut stdout).await {
            Ok(Some(body)) => Response::parse(&body),
            // A broken pipe is the process's end, which its exit status tells better.
            Ok(None) | Err(pipe::PipeError::Io(_)) => return,
            Err(error) => Err(error),
        };
        let broken = response.is_err();
        if responses.send(response.map_err(|error| error.to_string())).await.is_err() || broken {
            return;
        }
    }
}

/// Engines write lines; one without an end is cut.
pub(super) async fn log(stderr: ChildStderr, engine: &'static str) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut stderr).take(4_096).read_until(b'\n', &mut line).await {
        tracing::debug!(engine, line = %String::from_utf8_lossy(&line).trim_end(), "speech engine says");
        line.clear();
    }
}
