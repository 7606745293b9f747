use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use ureq::{Agent, Body, http::Response};

const OK: u16 = 200;
const PARTIAL: u16 = 206;
const NOT_SATISFIABLE: u16 = 416;

/// Brings a file to `whole`, and what comes of it before that to `whole` and `.partial`, where the next try goes on.
///
/// # Errors
/// Says what failed and what to do.
pub(super) fn from_url(url: &str, whole: &Path, progress: &dyn Fn(&str)) -> Result<()> {
    if whole.is_file() {
        return Ok(());
    }
    let partial = whole.with_added_extension("partial");
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut have = fs::metadata(&partial).map_or(0, |meta| meta.len());
    let mut response = ask(&agent, url, have)?;
    if have > 0 && response.status() == NOT_SATISFIABLE && length(&response) != Some(have) {
        // What is here belongs to another file (RFC 9110 §15.5.17).
        fs::remove_file(&partial)?;
        have = 0;
        response = ask(&agent, url, have)?;
    }
    match response.status().as_u16() {
        // Nothing is left to fetch.
        NOT_SATISFIABLE if have > 0 => {}
        PARTIAL => save(response, url, &partial, have, progress)?,
        OK => save(response, url, &partial, 0, progress)?,
        status => bail!("{url} answers {status}: check the manifest's URL, or try again later"),
    }
    fs::rename(&partial, whole)?;
    Ok(())
}

fn ask(agent: &Agent, url: &str, have: u64) -> Result<Response<Body>> {
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    request.call().with_context(|| format!("cannot fetch {url}: check the network, try again"))
}

/// The whole file's length, as an answer to a range beyond its end has it (`bytes */LENGTH`).
fn length(response: &Response<Body>) -> Option<u64> {
    response.headers().get("content-range")?.to_str().ok()?.strip_prefix("bytes */")?.parse().ok()
}

/// Writes an answer behind what there is of its file.
fn save(mut response: Response<Body>, url: &str, partial: &Path, have: u64, progress: &dyn Fn(&str)) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(partial)?;
    file.set_len(have)?;
    let mut done = have;
    let total = response.body().content_length().map(|rest| rest + done);
    let name = url.rsplit('/').next().unwrap_or(url);
    let mut body = response.body_mut().as_reader();
    let (mut buffer, mut shown) = (vec![0; 1 << 16], 0);
    loop {
        let read =
            body.read(&mut buffer).with_context(|| format!("{url} broke off: run the command again to go on"))?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])?;
        done += read as u64;
        let percent = total.map_or(0, |total| done * 100 / total.max(1));
        if percent >= shown + 5 {
            shown = percent;
            progress(&format!("{name}: {percent} % of {} MB", total.unwrap_or(0) / 1_000_000));
        }
    }
    ensure!(total.is_none_or(|total| done == total), "{url} broke off: run the command again to go on");
    file.sync_all()?;
    Ok(())
}
