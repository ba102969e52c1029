# What all packaging scripts share. Sourced, not run.
set -euo pipefail
export LC_ALL=C TZ=UTC PYTHONDONTWRITEBYTECODE=1
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packaging=$root/packaging
cd "$root"

name=approov-gateway
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
host=$(rustc -vV | sed -n 's/^host: //p')
target=${PACKAGE_TARGET:-$host}
revision=${PACKAGE_REVISION:-1}
profile=${PACKAGE_PROFILE:-release}
output=${PACKAGE_OUTPUT:-$root/target/packages}
work=$root/target/packaging/$target

# Packages need a contact. The project has no mail address: a publisher gives one, and SECURITY.md says where
# to report. The domain .invalid exists nowhere (RFC 2606).
contact=${PACKAGE_CONTACT:-The approov-gateway authors <noreply@approov-gateway.invalid>}

# Every file of every package has this time, so that two builds give the same bytes.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=1767225600
fi
export SOURCE_DATE_EPOCH

case $target in
    x86_64-*) deb_architecture=amd64 rpm_architecture=x86_64 oci_architecture=amd64 ;;
    aarch64-*) deb_architecture=arm64 rpm_architecture=aarch64 oci_architecture=arm64 ;;
    *) echo "no packages are made for $target" >&2; exit 2 ;;
esac

# is_native: this machine runs programs of the target.
is_native() { [ "${target%%-*}" = "${host%%-*}" ]; }

# Another machine: its libraries, and the words before a command that run its programs here.
sysroot=${PACKAGE_SYSROOT:-} emulator=()
if ! is_native; then
    sysroot=${sysroot:-/usr/${target/-unknown/}}
    emulator=("qemu-${target%%-*}-static" -L "$sysroot")
fi

say() { printf -- '-- %s\n' "$*"; }
fail() { printf 'packaging: %s\n' "$*" >&2; exit 1; }

# not_done WHY: this machine cannot do the rest of a test. That is no failure, unless PACKAGE_STRICT is set.
not_done() {
    printf -- '-- NOT DONE: %s\n' "$*"
    [ -z "${PACKAGE_STRICT:-}" ] || fail 'PACKAGE_STRICT is set'
    exit 77
}

# need PROGRAM HOW-TO-GET-IT
need() {
    command -v "$1" >/dev/null || { printf 'packaging: %s is missing; %s\n' "$1" "$2" >&2; return 1; }
}

# same_times FOLDER: gives every file and folder the time of the source.
same_times() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

# archive FILE FOLDER NAME: FOLDER/NAME as a .tar.gz with the same bytes each time.
archive() {
    tar --create --directory "$2" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
        --mtime="@$SOURCE_DATE_EPOCH" --mode='u=rwX,go=rX' "$3" | gzip -9n > "$1"
}

# need_emulator: fails if the target's programs cannot run here.
need_emulator() {
    is_native || need "${emulator[0]}" "apt-get install qemu-user-static libc6-$deb_architecture-cross libgcc-s1-$deb_architecture-cross"
}
