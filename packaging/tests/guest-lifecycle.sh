#!/usr/bin/env bash
# The life of a package in a booted systemd: install, first request, reload, upgrade under load, stop,
# purge. The caller defines how its package manager installs, upgrades and removes.
# shellcheck source=guest-common.sh
source /test/guest-common.sh
# shellcheck source=/dev/null
source /test/manager.sh

start_api
first=$(date +%s.%N)
install_package > /tmp/install.log 2>&1 || { cat /tmp/install.log; fail install; }
grep -q 'systemctl enable --now approov-gateway' /tmp/install.log || { cat /tmp/install.log; fail 'the next steps are not shown'; }
expect inactive active
expect disabled systemctl is-enabled approov-gateway.service
step 'installed, not started, says what to do next'

! systemctl start approov-gateway.service 2>/dev/null || fail 'it started without a secret'
eventually named sh -c 'journalctl --no-pager -u approov-gateway | grep -q /etc/approov-gateway/secret && echo named'
systemctl reset-failed approov-gateway.service
step 'does not start without a secret, and the journal names the missing file'

# The three lines that the package shows, with a secret made here and an API that runs here.
printf '#!/bin/sh\nhead -c 48 /dev/urandom | base64 -w0\n' > /usr/local/bin/approov
printf '#!/bin/sh\nexec "$@"\n' > /usr/local/bin/sudo
chmod 755 /usr/local/bin/approov /usr/local/bin/sudo
sed -n "s#YOUR-API-DOMAIN#http:\\\\/\\\\/127.0.0.1:$api#; s/^  //p" /test/next-steps > /tmp/three-lines
expect 3 grep -c . /tmp/three-lines
bash -e /tmp/three-lines > /tmp/three-lines.log 2>&1 || { cat /tmp/three-lines.log; fail 'the three lines'; }
expect 401 status
expect 200 with_token
seconds=$(awk -v a="$first" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
awk -v s="$seconds" 'BEGIN { exit !(s < 60) }' || fail "first 401 and 200 after $seconds s"
step "install, the three lines, first 401 and 200: $seconds s"

expect 'ready' approov-gateway health -c "$config"
runuser -u nobody -- cat /etc/approov-gateway/secret 2>/dev/null && fail 'every user can read the secret'
expect 0 sh -c 'ps -o uid= -p "$1" | grep -cx " *0"' - "$(main_pid)"
step 'ready; runs as its own user; others cannot read the secret'

echo 'rejection: { status: 403 }' >> "$config"
systemctl reload approov-gateway || fail reload
expect 403 status
echo 'rejectoin: { status: 418 }' >> "$config"
! systemctl reload approov-gateway 2>/dev/null || fail 'a wrong configuration was accepted'
expect 403 status
expect 200 with_token
sed -i '/^rejectoin/d' "$config"
systemctl reload approov-gateway || fail 'reload after the correction'
step 'reload takes a changed configuration and refuses a wrong one'

head -c 48 /dev/urandom | base64 -w0 | install -m 0640 -g approov-gateway /dev/stdin /etc/approov-gateway/secret
old=$(token)
systemctl reload approov-gateway || fail 'reload with another secret'
expect 200 with_token
expect 200 status -H "Approov-Token: $old"
step 'reload takes another secret'

under_load 'upgrade of the package' upgrade_package
expect 200 with_token
expect 403 status

sed -i 's#^rejection.*#&\nlog: { access_file: /var/log/approov-gateway/access.log }#' "$config"
systemctl restart approov-gateway
expect 200 with_token
eventually 1 sh -c 'grep -c . /var/log/approov-gateway/access.log'
logrotate --force /etc/logrotate.d/approov-gateway || fail logrotate
eventually 0 sh -c 'test -e /var/log/approov-gateway/access.log; echo $?'
expect 200 with_token
eventually 1 sh -c 'grep -c . /var/log/approov-gateway/access.log'
expect 1 sh -c 'grep -c . /var/log/approov-gateway/access.log.1'
step 'logrotate moves the access log and the gateway opens a new one'

exposure=$(systemd-analyze security --no-pager approov-gateway.service | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
step "systemd-analyze security: $exposure"
awk -v x="$exposure" -v most="${MOST_EXPOSURE:-1.3}" 'BEGIN { exit !(x <= most) }' || fail "exposure $exposure"

mkdir -p /etc/systemd/system/approov-gateway.socket.d
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:80\n' > /etc/systemd/system/approov-gateway.socket.d/port.conf
sed -i 's#127.0.0.1:8787#127.0.0.1:80#' "$config"
systemctl stop approov-gateway
systemctl daemon-reload
systemctl start approov-gateway.socket
public=127.0.0.1:80
expect 403 status
expect 200 with_token
step 'systemd passes port 80; the first request starts the gateway'
systemctl stop approov-gateway.socket
rm -r /etc/systemd/system/approov-gateway.socket.d
sed -i 's#127.0.0.1:80$#127.0.0.1:8787#' "$config"
systemctl daemon-reload
systemctl restart approov-gateway.service
public=127.0.0.1:8787
expect 200 with_token

credentials_from_systemd() {
    # The secret as a credential of systemd: the gateway's user cannot read the file.
    mkdir -p /etc/systemd/system/approov-gateway.service.d
    printf '[Service]\nLoadCredential=secret:/root/secret\nEnvironment=APPROOV_SECRET_BASE64_FILE=%%d/secret\n' \
        > /etc/systemd/system/approov-gateway.service.d/credential.conf
    install -m 0600 /etc/approov-gateway/secret /root/secret
    systemctl daemon-reload
    systemctl restart approov-gateway
    expect 200 with_token
    sed -i 's/^rejection: { status: 403 }/rejection: { status: 418 }/' "$config"
    systemctl reload approov-gateway || fail 'reload with a credential'
    expect 418 status
    step 'LoadCredential=: reload takes a changed configuration'
    under_load 'LoadCredential=: upgrade of the package' upgrade_package_again
    expect 200 with_token
    rm -r /etc/systemd/system/approov-gateway.service.d
    systemctl daemon-reload
}
if [ "${WITH_CREDENTIAL:-1}" = 1 ]; then credentials_from_systemd; fi

systemctl stop approov-gateway
expect inactive active
expect success systemctl show --property Result --value approov-gateway.service
step 'stopped'
remove_package > /tmp/remove.log 2>&1 || { cat /tmp/remove.log; fail remove; }
left=$(find / -xdev \( -path /proc -o -path /test -o -path /var/log/journal \) -prune -o -name '*approov-gateway*' -print | grep -v '^/var/lib/dpkg\|^/tmp/\|^/run/\|^/var/tmp/\|\.rpmsave$' || true)
[ -z "$left" ] || fail "the package left: $left"
step 'removed; no file is left'
