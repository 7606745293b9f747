//! Chromium on a page of ours, through `web/tests/viewer.mjs`, or with other players, through `web/tests/players.mjs`.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

/// An open page. Dropping it closes the browser.
pub struct Browser {
    child: Child,
    rows: mpsc::Receiver<Value>,
    /// Everything seen so far.
    pub seen: Vec<Value>,
}

impl Browser {
    /// Opens a page for so many seconds.
    pub fn open(url: &str, seconds: u32, options: &[&str]) -> Self {
        Self::run("viewer.mjs", url, seconds, options)
    }

    /// Plays a live in hls.js, video.js and Shaka for so many seconds.
    pub fn players(url: &str, seconds: u32, options: &[&str]) -> Self {
        Self::run("players.mjs", url, seconds, options)
    }

    fn run(script: &str, url: &str, seconds: u32, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/tests").join(script);
        let mut child = Command::new("node")
            .arg(script)
            .args([url, "--seconds", &seconds.to_string()])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, rows) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, rows, seen: Vec::new() }
    }

    /// Waits until the page shows what is asked for.
    pub fn until(&mut self, what: &str, mut shows: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let Ok(row) = self.rows.recv_timeout(Duration::from_secs(60)) else {
                for row in self.seen.iter().rev().step_by(4).take(30) {
                    let of = ["at", "state", "playlist", "time", "behind", "over"].map(|key| row[key].to_string());
                    eprintln!("{}", of.join(" "));
                }
                panic!("the page never showed {what}; at last it was {:?}", self.seen.last());
            };
            self.seen.push(row.clone());
            assert_eq!(row["problems"], serde_json::json!([]), "the page reports problems");
            if shows(&row) {
                return row;
            }
        }
    }

    /// The next look at the page.
    pub fn look(&mut self) -> Value {
        self.until("anything", |_| true)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // SIGTERM, so that node closes Chromium with it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
