# shellcheck shell=bash
# Shared by the scripts: where things live, and how they speak. Source it first, from the checkout's root.

set -euo pipefail

# Ctrl-C ends a script even when the program it waits for swallows the signal.
trap 'exit 130' INT
trap 'exit 143' TERM

export AMPHI_CACHE="${AMPHI_CACHE:-$HOME/.cache/amphi}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$AMPHI_CACHE/target}"
export AMPHI_MODELS_DIR="${AMPHI_MODELS_DIR:-$AMPHI_CACHE/models}"
# Both the linker and the rpath of `amphi-engine` ($ORIGIN/../lib) look here.
export AMPHI_LIB="$CARGO_TARGET_DIR/lib"
export LIBRARY_PATH="$AMPHI_LIB${LIBRARY_PATH:+:$LIBRARY_PATH}"
export AMPHI_VENV="$AMPHI_CACHE/venv"
# Node.js is in tools/node only where the machine's own does not do.
export PATH="$AMPHI_CACHE/tools/node/bin:$AMPHI_CACHE/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
# Scripts that call each other count from the first one's start.
export SCRIPTS_STARTED="${SCRIPTS_STARTED:-$EPOCHSECONDS}"

export NPM_CONFIG_UPDATE_NOTIFIER=false
# On a terminal, downloads draw their own bars; elsewhere a line per step is enough.
bold='' red='' plain='' quiet=(--quiet)
if [ -t 2 ]; then bold=$'\033[1m' red=$'\033[1;31m' plain=$'\033[0m' quiet=(); fi

# say TEXT…: a step, with the time since the start.
say() {
	local since=$((EPOCHSECONDS - SCRIPTS_STARTED))
	printf '%s==> [%d:%02d] %s%s\n' "$bold" $((since / 60)) $((since % 60)) "$*" "$plain" >&2
}

# fail WHAT [REMEDY…]: says what is wrong and what to do, and ends the script.
fail() {
	printf '%sfailed:%s %s\n' "$red" "$plain" "$1" >&2
	shift
	for line in "$@"; do printf '  %s\n' "$line" >&2; done
	exit 1
}

# root COMMAND…: as root, with sudo only where needed.
root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else
		command -v sudo >/dev/null || fail "installing packages needs root, and sudo is missing" "run as root: $*"
		sudo "$@"
	fi
}

# retry COMMAND…: three tries; registries have bad moments. Not for what fails the same way each time.
retry() {
	local try
	trap 'exit 130' INT # subshells have lost it
	for try in 1 2 3; do
		"$@" && return 0
		say "try $try of 3 did not work: $*"
	done
	return 1
}

# at_least WANTED FOUND: compares versions.
at_least() { printf '%s\n%s\n' "$1" "$2" | sort -V -C; }

# finished STAMP KEY: whether the step of this stamp came to its end, made from just this.
finished() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

# finish STAMP KEY: says so; the last thing a step does.
finish() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; }

# packages LIST…: installs the Debian packages that are missing.
packages() {
	local missing
	if ! command -v apt-get >/dev/null; then
		say "no apt-get on this machine; taken to be installed: $*"
		return 0
	fi
	missing=$(
		LC_ALL=C comm -23 <(printf '%s\n' "$@" | LC_ALL=C sort) \
			<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | LC_ALL=C sort -u)
	)
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # a word is a package
	set -- $missing
	say "installing $# system packages: $*"
	# An installation that was interrupted blocks the next.
	root dpkg --configure -a || fail "dpkg could not finish what was interrupted" "read its message above"
	retry root apt-get update -q || fail "apt-get update did not work" "check the network, then run the command again"
	retry root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q \
		--no-install-recommends "$@" ||
		fail "apt-get could not install $*" "read its message above, then run the command again"
}

# wheel NAME==VERSION SHA256 [PIP-OPTIONS…]: fetches a wheel for this machine from PyPI, checks it and prints its path.
wheel() {
	local package=$1 sum=$2 folder file machine
	shift 2
	machine=$(uname -m)
	folder="$AMPHI_CACHE/downloads/$package"
	file=$(compgen -G "$folder/*_$machine.whl" || true)
	if ! echo "$sum  $file" | sha256sum --status -c - 2>/dev/null; then
		rm -rf "$folder"
		say "fetching $package"
		retry python3 -m pip download "${quiet[@]}" --disable-pip-version-check --no-deps --only-binary=:all: \
			--platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" \
			--platform "manylinux2014_$machine" --platform "manylinux2010_$machine" \
			--dest "$folder" "$@" "$package" >&2 ||
			fail "PyPI gave no $package" "check the network, then run the command again"
		file=$(compgen -G "$folder/*.whl" || true)
		echo "$sum  $file" | sha256sum --status -c - ||
			fail "$package is not the file this version was made with (SHA-256 differs)" "do not use it; look at $file"
	fi
	echo "$file"
}
