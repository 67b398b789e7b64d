#!/bin/sh
# Turns a fresh Debian tree into what a distribution would ship as a cloud image: nothing starts before the
# cloud-config says so, and nothing runs that a machine without a screen or a disk of its own has no use for.
# Usage: customize.sh TREE
set -eu
tree=$1

# Kept away from starting while the packages were installed; from now on the units decide.
rm -f "$tree/usr/sbin/policy-rc.d"

# systemctl prints a line per link; only a failure is worth reading.
quietly() {
    output=$("$@" 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
}

quietly chroot "$tree" systemctl disable etcd.service nginx.service haproxy.service podman.service \
    podman-restart.service podman-auto-update.service podman-auto-update.timer
quietly chroot "$tree" systemctl mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    getty.target console-getty.service systemd-networkd-wait-online.service systemd-timesyncd.service \
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    modprobe@.service systemd-modules-load.service systemd-update-utmp.service

# Kept over a crash, so that the story of the boot before is there to read.
mkdir -p "$tree/var/log/journal"

# cloud-init: one data source, no network set-up (addresses are there before the first process), few modules.
cat > "$tree/etc/cloud/cloud.cfg" <<'CLOUD'
datasource_list: [NoCloud]
disable_root: false
preserve_hostname: true
network: {config: disabled}
cloud_init_modules: [bootcmd, write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
system_info: {distro: debian}
CLOUD
rm -f "$tree"/etc/cloud/cloud.cfg.d/90_dpkg.cfg "$tree"/etc/cloud/cloud.cfg.d/05_logging.cfg
# No serial lines to look for, and no name server to ask.
rm -f "$tree/etc/resolv.conf"
: > "$tree/etc/resolv.conf"

# A machine gets its identity from the overlay.
rm -f "$tree/etc/machine-id" "$tree/var/lib/dbus/machine-id" "$tree/etc/hostname"
: > "$tree/etc/machine-id"

# Container addresses are routed between the machines, as a cloud's route table would do it; without this rule
# Docker lets only published ports in.
mkdir -p "$tree/etc/systemd/system/docker.service.d"
cat > "$tree/etc/systemd/system/docker.service.d/10-routed-containers.conf" <<'UNIT'
[Service]
ExecStartPost=/usr/sbin/iptables -I DOCKER-USER -i eth0 -j ACCEPT
UNIT
