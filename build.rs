//! Notices new pages, and tells the linker where libsrt and libswscale are, and where `amphi-engine` finds libvosk and
//! libctranslate2, now and when it runs.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The pages are carried in the binary, and a page that is new is no file the compiler has seen.
    println!("cargo:rerun-if-changed=web/dist");
    println!("cargo:rerun-if-env-changed=LIBRARY_PATH");
    // The builds of them that GStreamer's plugins load, so that a process has one: on Debian libsrt with GnuTLS.
    for (library, least, package) in [("srt", "1.5", "libsrt-gnutls-dev"), ("libswscale", "5", "libswscale-dev")] {
        if let Err(error) = pkg_config::Config::new().atleast_version(least).probe(library) {
            panic!("{library} is missing: install {package}, or run scripts/setup\n{error}");
        }
    }
    // Only the engine links them; everything else builds on a machine that lacks both.
    if env::var_os("CARGO_FEATURE_ENGINE").is_none() {
        return;
    }
    if let Some(paths) = env::var_os("LIBRARY_PATH") {
        for path in env::split_paths(&paths).filter(|path| path.is_dir()) {
            println!("cargo:rustc-link-search=native={}", path.display());
        }
    }
    // `<target>/lib` lies one level above `<target>/release` and two above `<target>/debug/deps`.
    for origin in ["$ORIGIN/../lib", "$ORIGIN/../../lib"] {
        println!("cargo:rustc-link-arg-bin=amphi-engine=-Wl,-rpath,{origin}");
    }
}
