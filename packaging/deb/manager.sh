# How the test installs, upgrades and removes the .deb.
export DEBIAN_FRONTEND=noninteractive
install_package() { apt-get -qq -o Dpkg::Use-Pty=0 install -y /test/1.deb; }
upgrade_package() { apt-get -qq -o Dpkg::Use-Pty=0 install -y /test/2.deb; }
upgrade_package_again() { apt-get -qq -o Dpkg::Use-Pty=0 install -y /test/3.deb; }
remove_package() {
    apt-get remove -y approov-gateway
    test -f /etc/approov-gateway/gateway.yaml
    apt-get purge -y approov-gateway
    ! getent passwd approov-gateway
}
