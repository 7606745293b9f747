//! What is made here, through decoders that are not ours.

mod floor;
mod pauses;
mod pictures;
mod sounds;
mod stand_in;

use std::process::Command;

/// Runs a program and returns what it printed. It must succeed, and ffmpeg must complain of nothing.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && (program != "ffmpeg" || said.is_empty()), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The checksum of every frame of a file that ffmpeg decodes, strictly.
fn checksums(input: &[&str]) -> Vec<String> {
    let mut args = vec!["-v", "error", "-err_detect", "explode", "-xerror"];
    args.extend(input);
    args.extend(["-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let text = run("ffmpeg", &args);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}
