# Shared by the scripts: where things live, and how they speak. Source it from the checkout's root.

set -euo pipefail

export AMPHI_CACHE="${AMPHI_CACHE:-$HOME/.cache/amphi}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$AMPHI_CACHE/target}"
export AMPHI_MODELS_DIR="${AMPHI_MODELS_DIR:-$AMPHI_CACHE/models}"
# Both the linker and the rpath of `amphi-engine` ($ORIGIN/../lib) look here.
export AMPHI_LIB="$CARGO_TARGET_DIR/lib"
export LIBRARY_PATH="$AMPHI_LIB${LIBRARY_PATH:+:$LIBRARY_PATH}"
export AMPHI_VENV="$AMPHI_CACHE/venv"
export PATH="$AMPHI_CACHE/tools/bin:$HOME/.cargo/bin:$PATH"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
	printf '\033[1;31mfailed:\033[0m %s\n' "$1" >&2
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

# retry COMMAND…: three tries; registries have bad moments.
retry() {
	local try
	for try in 1 2 3; do
		"$@" && return 0
		say "try $try of 3 did not work: $*"
	done
	return 1
}

# packages LIST…: installs the Debian packages that are missing.
packages() {
	local missing=() name
	for name in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
	done
	[ "${#missing[@]}" = 0 ] && return 0
	command -v apt-get >/dev/null || fail "this machine has no apt-get" "install by hand: ${missing[*]}"
	say "installing ${#missing[@]} system packages: ${missing[*]}"
	retry root apt-get update -q || fail "apt-get update did not work" "check the network, then run the command again"
	retry root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
		fail "apt-get could not install ${missing[*]}" "read its message above, then run the command again"
}

# wheel NAME==VERSION SHA256 [PIP-OPTIONS…]: fetches a wheel from PyPI, checks it and prints its path.
wheel() {
	local package=$1 sum=$2 folder file
	shift 2
	folder="$AMPHI_CACHE/downloads/$package"
	file=$(compgen -G "$folder/*.whl" || true)
	if [ -z "$file" ] || ! echo "$sum  $file" | sha256sum --quiet -c - >/dev/null 2>&1; then
		rm -rf "$folder"
		say "fetching $package"
		retry python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$folder" "$@" "$package" >&2 ||
			fail "PyPI gave no $package" "check the network, then run the command again"
		file=$(compgen -G "$folder/*.whl")
		echo "$sum  $file" | sha256sum --quiet -c - >&2 ||
			fail "$package is not the file this version was made with (SHA-256 differs)" "do not use it; look at $file"
	fi
	echo "$file"
}
