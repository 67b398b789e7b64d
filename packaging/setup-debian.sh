#!/bin/sh
# Installs what is needed on a Debian machine that has Rust, gcc and make.
# Usage: setup-debian.sh [build] [test] [outside] [fuzz]   (build and test when none is named)
#   build    what compiling needs: the compiler of etcd's protocol files
#   test     what the tests on loopback and the cluster of real machines need
#   outside  other people's tools that look at the edge router
#   fuzz     what libFuzzer is compiled with
# Does nothing, quickly and without a word, when all is there.
set -eu

# A package is there when its program is: what was built by hand counts too.
packages_of() {
    case $1 in
        build) echo 'protobuf-compiler=protoc libprotobuf-dev=/usr/include/google/protobuf/any.proto' ;;
        test)
            echo 'chromium=chromium curl=curl dbus=dbus-daemon etcd-server=etcd etcd-client=etcdctl'
            echo 'haproxy=haproxy iproute2=ip iptables=iptables jq=jq mmdebstrap=mmdebstrap'
            echo 'nghttp2-client=h2load nginx-light=nginx'
            echo 'pebble=pebble systemd-container=systemd-nspawn util-linux=nsenter wrk=wrk'
            ;;
        outside) echo 'nginx-light=nginx slowhttptest=slowhttptest sslscan=sslscan testssl.sh=testssl' ;;
        fuzz) echo 'g++=g++' ;;
        *)
            echo "setup-debian.sh: there is no section $1; sections are build, test, outside and fuzz" >&2
            exit 64
            ;;
    esac
}

is_there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] ;;
    esac
}

[ $# -gt 0 ] || set -- build test
missing=
for section in "$@"; do
    list=$(packages_of "$section")
    for entry in $list; do
        is_there "${entry#*=}" || missing="$missing ${entry%%=*}"
    done
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get > /dev/null; then
    echo "setup-debian.sh: missing, and no apt-get here to install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup-debian.sh: not root; install with: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# Services of these packages must not start on this machine: tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 0755 "$policy"
fi
echo "setup-debian.sh: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# The list is split on purpose: one word per package.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
