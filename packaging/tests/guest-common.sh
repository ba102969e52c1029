# What the tests inside a booted systemd share. Sourced, not run.
set -euo pipefail
export LC_ALL=C
public=127.0.0.1:8787
api=9000
config=/etc/approov-gateway/gateway.yaml

step() { printf '   %6.1f s  %s\n' "$(elapsed)" "$*"; }
elapsed() { awk -v now="$(date +%s.%N)" -v start="$started" 'BEGIN { print now - start }'; }
started=$(date +%s.%N)

fail() {
    echo "FAILED: $*"
    systemctl --no-pager --full --lines=0 status approov-gateway.service || true
    journalctl --no-pager -u approov-gateway -n 15 || true
    exit 1
}

# expect WHAT COMMAND… : the command prints WHAT.
expect() {
    local wanted=$1 got
    shift
    got=$("$@") || true
    [ "$got" = "$wanted" ] || fail "$*: $got instead of $wanted"
}

# eventually WHAT COMMAND… : the same within ten seconds.
eventually() {
    local wanted=$1 end=$((SECONDS + 10))
    shift
    until [ "$("$@" 2>/dev/null || true)" = "$wanted" ]; do
        [ "$SECONDS" -lt "$end" ] || fail "$* never printed $wanted"
        sleep 0.05
    done
}

# status [CURL ARGUMENTS] : the status of a request to the gateway.
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$@" "http://$public/posts/1"; }
token() { approov-gateway token --secret-base64-file /etc/approov-gateway/secret; }
with_token() { status -H "Approov-Token: $(token)"; }
active() { systemctl is-active approov-gateway.service; }
main_pid() { systemctl show --property MainPID --value approov-gateway.service; }

start_api() {
    systemd-run --quiet --unit=api --service-type=exec python3 /test/load.py api "$api"
    eventually 200 curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api/"
}

# under_load WHAT COMMAND… : clients send requests before, while and after the command runs; none is lost.
under_load() {
    local what=$1 before after result
    shift
    rm -f /tmp/end
    before=$(main_pid)
    python3 /test/load.py clients 8787 "$(token)" /tmp/end > /tmp/load.json &
    local clients=$!
    sleep 1 # Load before the command is part of the test.
    "$@" || fail "$what"
    sleep 1 # Load after it, too.
    touch /tmp/end
    wait "$clients" || fail "$what: $(cat /tmp/load.json)"
    after=$(main_pid)
    result=$(cat /tmp/load.json)
    [ "$before" != "$after" ] || fail "$what: process $before was not replaced"
    [ "$(active)" = active ] || fail "$what: the service is $(active)"
    step "$what: process $before replaced by $after, $result"
}
