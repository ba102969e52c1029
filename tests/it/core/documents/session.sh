# The world around the commands of a page. The test core::documents::sessions runs the blocks of
# each page behind these lines, in a folder of its own.
set -euo pipefail
gateway=
trap stop EXIT

stop() {
    [ -n "$gateway" ] || return 0
    kill "$gateway" 2> /dev/null || true
    wait "$gateway" || true
    gateway=
}

# Serves in the background, in place of the gateway that is running.
serve() {
    stop
    # The process in the background may open its files later than they are read here.
    : > diagnostics.log
    GATEWAY_LISTEN=$LISTEN command approov-gateway "$@" > access.log 2> diagnostics.log &
    gateway=$!
    until grep -q 'admin on' diagnostics.log; do
        kill -0 "$gateway" 2> /dev/null || { cat diagnostics.log; return 1; }
        sleep 0.02
    done
    [ "$1" = demo ] || return 0
    until grep -q 'Ctrl-C ends the demo' access.log; do
        kill -0 "$gateway" 2> /dev/null || { cat diagnostics.log; return 1; }
        sleep 0.02
    done
    cat access.log
    TOKEN=$(grep -o "eyJ[^']*" access.log | head -n 1)
}

approov-gateway() {
    case "${1-}" in
        run | demo) serve "$@" ;;
        reload) GATEWAY_LISTEN=$LISTEN command approov-gateway "$@" ;;
        # The file that is migrated is to work in the folder of the session.
        migrate) command approov-gateway "$@" | sed "s#/etc/approov-gateway#$PWD#" ;;
        *) command approov-gateway "$@" ;;
    esac
}

# The build under test, in place of a release build.
cargo() {
    [ "${*:1:3}" = 'run --release --' ] || { echo "cargo is not run in a test: $*"; return 1; }
    approov-gateway "${@:4}"
}

# Only a package makes the group.
install() {
    local arguments=("$@")
    [ "${arguments[2]} ${arguments[3]}" != '-g approov-gateway' ] || arguments=("${@:1:2}" "${@:5}")
    command install "${arguments[@]}"
}

# Approov's command needs an account.
approov() {
    case "$*" in
        'secret -plain -get base64') echo "$SECRET" ;;
        'api -add '*) ;;
        *) echo "no such command of Approov: $*"; return 1 ;;
    esac
}

