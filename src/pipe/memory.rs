//! When an engine has grown so large that it is better started again.

use std::{fs, path::Path};

/// Watches one process's memory, in bytes.
#[derive(Debug)]
pub struct Growth {
    /// What it had when its model was loaded.
    loaded: u64,
    /// What it may have at most beside its streams, and for each of them.
    ceiling: (u64, u64),
}

/// However low the ceiling, a process may grow by this: it would be started again for ever.
const LEAST: u64 = 64 << 20;
/// Folders within a model's folder that are looked into.
const DEPTH: usize = 4;

impl Growth {
    /// Of a process that has just loaded its model. `ceiling` is the operator's; without one it is
    /// four times what the model has on disk and 512 MiB, and 256 MiB for each stream: Kaldi's
    /// graphs take twice their size in memory, and a stream's decoder up to 200 MiB. None where
    /// its memory cannot be read.
    pub fn new(pid: u32, model: &Path, ceiling: Option<u64>) -> Option<Self> {
        let ceiling = ceiling.map_or_else(|| (4 * size(model, DEPTH) + (512 << 20), 256 << 20), |ceiling| (ceiling, 0));
        Some(Self { loaded: resident(pid)?, ceiling })
    }

    /// Whether a process that has so much should be started again: it is early where the speakers
    /// pause, and waits for them no longer just below the ceiling.
    pub fn is_due(&self, resident: u64, streams: usize, pausing: bool) -> bool {
        let ceiling = self.ceiling.0 + self.ceiling.1 * streams as u64;
        let room = ceiling.saturating_sub(self.loaded).max(LEAST);
        let share = if pausing { 80 } else { 95 };
        resident >= self.loaded + room / 100 * share
    }
}

/// Bytes in a folder's files and those of its folders, `depth` deep: what links lead to counts, and may lead back.
fn size(folder: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => depth.checked_sub(1).map_or(0, |depth| size(&entry.path(), depth)),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Resident memory of a process (proc(5), `/proc/PID/status`, `VmRSS` in kB).
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_due_in_a_pause_before_it_must() {
        let growth = Growth { loaded: 500 << 20, ceiling: (1_000 << 20, 250 << 20) };
        let due = |mebibytes: u64, pausing| growth.is_due(mebibytes << 20, 2, pausing);
        assert!(!due(1_290, true));
        assert!(due(1_300, true) && !due(1_300, false));
        assert!(due(1_450, false));
    }

    #[test]
    fn a_ceiling_below_what_a_model_needs_leaves_it_room_to_work() {
        let growth = Growth { loaded: 500 << 20, ceiling: (1, 0) };
        assert!(!growth.is_due(550 << 20, 1, true));
        assert!(growth.is_due(552 << 20, 1, true) && growth.is_due(561 << 20, 1, false));
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let (store, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("am")).unwrap();
        fs::write(store.path().join("blob"), [0; 700]).unwrap();
        std::os::unix::fs::symlink(store.path().join("blob"), folder.path().join("am/final.mdl")).unwrap();
        fs::write(folder.path().join("words.txt"), [0; 50]).unwrap();
        assert_eq!((size(folder.path(), DEPTH), size(folder.path(), 0)), (750, 50));
        assert_eq!(size(&folder.path().join("none"), DEPTH), 0);
    }
}
