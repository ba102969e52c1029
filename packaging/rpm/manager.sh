# How the test installs, upgrades and removes the .rpm. The test's system is a Debian, whose libraries rpm
# does not know, so that it does not check dependencies.
install_package() { rpm --install --nodeps /test/1.rpm; }
upgrade_package() { rpm --upgrade --nodeps /test/2.rpm; }
upgrade_package_again() { rpm --upgrade --nodeps /test/3.rpm; }
remove_package() {
    rpm --erase --nodeps approov-gateway
    # rpm keeps changed configuration, the secret and the user. An administrator removes them.
    rm -rf /etc/approov-gateway /var/log/approov-gateway
}
